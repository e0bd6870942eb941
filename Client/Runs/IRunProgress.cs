using System.Collections.Immutable;
using Fleet.Client.Load;
using Fleet.Kernel.History;

namespace Fleet.Client.Runs;

/// <summary>One kind of operation over the last interval.</summary>
/// <param name="P50Ms">Response time; null where none ended in the interval, as the other two.</param>
public readonly record struct KindMoment(
    string Kind, double RatePerSecond, double? P50Ms, double? P99Ms, double? MaxMs, long Total);

/// <summary>What a run looks like at one moment.</summary>
public sealed record RunMoment
{
    public required string Phase { get; init; }

    /// <summary>Of the phase; null where nobody knows.</summary>
    public required TimeSpan? PhaseLeft { get; init; }

    public required bool IsPaused { get; init; }

    /// <summary>Since the load began.</summary>
    public required TimeSpan Elapsed { get; init; }

    public required long Operations { get; init; }

    /// <summary>Over the last interval.</summary>
    public required double RatePerSecond { get; init; }

    /// <summary>What the schedule asks for now; null in a closed loop.</summary>
    public required double? DuePerSecond { get; init; }

    /// <summary>Share of what was due that was sent; null in a closed loop.</summary>
    public required double? Achieved { get; init; }

    public required ImmutableArray<KindMoment> Kinds { get; init; }

    /// <summary>How late operations were sent over the last interval.</summary>
    public required double? LagP99Ms { get; init; }

    public required long Live { get; init; }

    public required long UnbindsInFlight { get; init; }

    public required long Unbinds { get; init; }

    /// <summary>The longest binds and unbinds under way, with what they wait for.</summary>
    public required ImmutableArray<OpenTicket> Open { get; init; }

    /// <summary>Of the process's clock, for how long the tickets are open.</summary>
    public required long NowNs { get; init; }

    public required long Unknown { get; init; }

    public required long Findings { get; init; }

    /// <summary>Records that are in the spool and not in the store yet.</summary>
    public required long Backlog { get; init; }

    public required double? MemoryBytes { get; init; }

    public required ImmutableArray<ThresholdResult> Thresholds { get; init; }

    /// <summary>Faults that struck so far, with the last one.</summary>
    public required long Faults { get; init; }

    public required string FaultLast { get; init; }

    public double? AllocP50Ms => Kinds.FirstOrDefault(kind => kind.Kind == "alloc").P50Ms;

    public double? AllocP99Ms => Kinds.FirstOrDefault(kind => kind.Kind == "alloc").P99Ms;
}

/// <summary>Watches a run: a person's screen, a log, or nobody.</summary>
public interface IRunProgress
{
    /// <summary>A part of the run begins: one short sentence.</summary>
    void Begin(string part);

    void Show(RunMoment moment);

    /// <summary>Another process of the run says something: one line.</summary>
    void Say(string line);

    /// <summary>The first finding of its kind; called while the fleet runs, so it must be quick.</summary>
    void Found(Finding finding);
}

/// <summary>Watches nothing.</summary>
public sealed class SilentProgress : IRunProgress
{
    public void Begin(string part)
    {
    }

    public void Show(RunMoment moment)
    {
    }

    public void Say(string line)
    {
    }

    public void Found(Finding finding)
    {
    }
}
