using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>What a run is, known when it starts.</summary>
/// <param name="Run">Name, unique in its store; letters, digits, dash, dot and underscore.</param>
public sealed record RunInfo(string Run)
{
    public string Scenario { get; init; } = "";

    public string Profile { get; init; } = "";

    /// <summary>The seed that every choice of the run came from.</summary>
    public ulong Seed { get; init; }

    /// <summary><c>live</c>, <c>simulation</c>, <c>exploration</c>, <c>kernel-trace</c> or <c>hand</c>.</summary>
    public string Source { get; init; } = "live";

    /// <summary><c>per-object</c> or <c>total</c>, as the header of history-format has it.</summary>
    public string Order { get; init; } = "per-object";

    public string Clock { get; init; } = "";

    public long ClockBoundNs { get; init; }

    /// <summary>Reading of <see cref="Clock"/> at the start; views show times since then.</summary>
    public long EpochNs { get; init; }

    public DateTimeOffset StartedAt { get; init; }

    public string CommandLine { get; init; } = "";

    /// <summary>Everything else that was chosen, one JSON object.</summary>
    public string Settings { get; init; } = "{}";
}

/// <summary>How a run ended.</summary>
public sealed record RunOutcome(RunVerdict Verdict, int ExitCode)
{
    /// <summary>No record was lost.</summary>
    public bool Complete { get; init; }

    /// <summary>Every client was drained, every session closed or reaped; only waits remained.</summary>
    public bool Quiescent { get; init; }

    public DateTimeOffset EndedAt { get; init; }

    /// <summary>What the report says beyond the tables, one JSON object.</summary>
    public string Summary { get; init; } = "{}";
}

public enum RunState : byte
{
    /// <summary>Still going, or cut off: nothing can be said about it yet.</summary>
    Running,
    Sealed,
}

/// <summary>One run of a store.</summary>
/// <param name="Outcome">Null until it is sealed.</param>
/// <param name="Location">Where it is: a file, or a store address without its password.</param>
public sealed record StoredRun(RunInfo Info, RunState State, RunOutcome? Outcome, string Location)
{
    public long Operations { get; init; }

    public long Events { get; init; }

    public long Findings { get; init; }
}

/// <summary>One process of a run and the clock that it reads.</summary>
/// <param name="Proc">Number in the run, from 1.</param>
/// <param name="Pid">Number by which the machine knows it.</param>
public sealed record ProcessInfo(int Proc, string Name, string Clock, string Host, int Pid);

/// <summary>What one checker decided about one rule.</summary>
/// <param name="Checker"><c>online</c>, <c>stored</c> or <c>sql</c>.</param>
public sealed record RuleEvidence(string Checker, string Rule, long Ok, long Violated, long Undecided);

/// <summary>How often a rare situation was met.</summary>
public sealed record ProbeCount(string Name, long Count, bool Required);

/// <summary>One step of a latency histogram.</summary>
/// <param name="Metric">What was measured, such as <c>alloc/intended</c>.</param>
/// <param name="LowNs">Inclusive.</param>
/// <param name="HighNs">Inclusive.</param>
public sealed record LatencyBucket(string Metric, string Phase, long LowNs, long HighNs, long Count);

/// <summary>One reading of a gauge or counter.</summary>
/// <param name="TimeNs">Of the clock of the run.</param>
public sealed record MetricPoint(long TimeNs, string Name, double Value);

/// <summary>One fault that was injected.</summary>
/// <param name="Expects">What it is expected to cause.</param>
public sealed record FaultRecord(long TimeNs, string Kind, string Target, string Expects, string Text);

/// <summary>A finding with its number in the run, from 1.</summary>
/// <param name="Checker"><c>online</c>, <c>stored</c> or <c>sql</c>.</param>
public sealed record StoredFinding(int Id, string Checker, Finding Finding);
