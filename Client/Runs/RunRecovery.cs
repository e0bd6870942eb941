using System.Diagnostics;
using System.Text.Json;
using Fleet.Checking;
using Fleet.Client.Cluster;
using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>What became of a run that was cut off.</summary>
/// <param name="OperationsFound">Stored before, and found in its spool.</param>
/// <param name="OperationsUnknown">Numbers that were reserved and have no record: nobody knows their outcome.</param>
public sealed record RecoveredRun(
    string Run, RunVerdict Verdict, int ExitCode, IReadOnlyList<string> Reasons, long OperationsFound,
    long OperationsUnknown, long Events, int Findings, string Location);

/// <summary>Finishes a run whose process was killed without more load: stores what its spool holds, judges,
/// seals.</summary>
public static class RunRecovery
{
    private const string SpoolSuffix = ".spool";

    /// <summary>Silos leave within twenty seconds of their driver's end, or end without.</summary>
    private static readonly TimeSpan SilosLeavePatience = TimeSpan.FromSeconds(40);

    private static readonly TimeSpan SiloLook = TimeSpan.FromMilliseconds(100);

    /// <summary>The directory in which the first process of a run keeps its spool.</summary>
    public static string SpoolDirectoryOf(StoreAddress store, string run) =>
        Path.Combine(store.Directory ?? Path.GetTempPath(), run + SpoolSuffix);

    /// <summary>The directory for a process that goes on with a run, which no process before it used.</summary>
    public static string NextSpoolDirectoryOf(StoreAddress store, string run) =>
        SpoolsAfterFirst(store, run).First(directory => !Directory.Exists(directory));

    /// <summary>Spools that processes of a run left here, the oldest first.</summary>
    public static IReadOnlyList<string> SpoolsOf(StoreAddress store, string run) =>
    [
        .. SpoolsAfterFirst(store, run).TakeWhile(Directory.Exists).Prepend(SpoolDirectoryOf(store, run))
            .Where(SpoolReader.Exists),
    ];

    private static IEnumerable<string> SpoolsAfterFirst(StoreAddress store, string run) =>
        Enumerable.Range(2, RunNames.SeatsMax).Select(number => Path.Combine(
            store.Directory ?? Path.GetTempPath(), $"{run}.{number}{SpoolSuffix}"));

    /// <exception cref="UsageException">The run is over, or its process still runs.</exception>
    /// <exception cref="StorageException">There is no such run, or its file is held by another process.</exception>
    public static async Task<RecoveredRun> ResumeAsync(
        IResultStore store, StoreAddress address, string run, IRunProgress progress, CancellationToken ct)
    {
        await using var writer = await store.ResumeRunAsync(run, ct);
        await DemandGoneAsync(writer, run, isGoneOnWith: false, progress, ct);
        progress.Begin("storing what the spool still holds");
        var spools = SpoolsOf(address, run);
        var stored = new List<DrainReport>();
        foreach (var spool in spools)
            stored.Add(await SpoolDrain.RecoverAsync(spool, writer, ct));

        progress.Begin("checking what is stored");
        var isComplete = stored.Count > 0 && stored.TrueForAll(one => one.IsExact);
        var probes = ProbesOf(writer.Info.Settings);
        var verdict = await StoredCheck.CheckPatientlyAsync(
            writer,
            reader => StoredCheck.CheckAsync(reader, null, isComplete, isQuiescent: false, probes, ct),
            progress,
            ct);
        var report = verdict.Report;
        List<string> reasons =
        [
            .. verdict.Disagreements.Select(one => $"Two checkers disagree: {one}"), .. report.Reasons,
            stored.Count == 0
                ? $"The run was cut off and its spool is not at {SpoolDirectoryOf(address, run)}: what it held is lost."
                : "The run was cut off: what was recorded until then is stored and judged.",
        ];
        var exit = verdict.Disagreements.Count > 0 || (stored.Count > 0 && !isComplete) ? ExitCode.Harness
            : report.ExitCode is ExitCode.Valid or ExitCode.Unknown ? ExitCode.Interrupted
            : report.ExitCode;
        await StoreAsync(writer, verdict, probes, ct);
        var location = await writer.SealAsync(
            new(report.Verdict, exit)
            {
                Complete = isComplete && report.Complete,
                Quiescent = false,
                EndedAt = DateTimeOffset.UtcNow,
            },
            ct);
        foreach (var spool in isComplete ? spools : [])
            Directory.Delete(spool, recursive: true);
        return new(
            run, report.Verdict, exit, reasons, stored.Sum(one => one.OperationsStored),
            stored.Sum(one => one.OperationsUnknown), stored.Sum(one => one.EventsStored), report.Findings.Count,
            location);
    }

    /// <summary>What is stored is judged as a whole; a process that still writes would add to it afterwards.</summary>
    /// <remarks>Silos that the run started leave when it ends, and get the time for that; those of somebody else's
    /// cluster stay.</remarks>
    /// <param name="isGoneOnWith">The first generator is followed: the others of the run may live.</param>
    /// <exception cref="UsageException">A process of the run lives.</exception>
    public static async Task DemandGoneAsync(
        IRunWriter writer, string run, bool isGoneOnWith, IRunProgress progress, CancellationToken ct)
    {
        var ownsSilos = JoinedRun.ClusterOf(writer.Info) == run;
        var here = (await writer.Reader.ProcessesAsync(ct)).Where(
            process => process.Host == Environment.MachineName && process.Pid != Environment.ProcessId).ToList();
        var silos = here.Where(process => ownsSilos && RunNames.NumberOf(process.Name) == 0).ToList();
        var generators = here.Where(process => RunNames.NumberOf(process.Name) > 0
            && (!isGoneOnWith || CutOffRun.IsOfFirst(process, isEmbedded: false)));
        DemandGone(generators, run);
        if (silos.Exists(silo => IsAlive(silo.Pid)))
            progress.Begin("waiting until the silos of the lost process have left");
        using var timer = new PeriodicTimer(SiloLook);
        var began = TimeProvider.System.GetTimestamp();
        while (silos.Exists(silo => IsAlive(silo.Pid))
            && TimeProvider.System.GetElapsedTime(began) < SilosLeavePatience)
            await timer.WaitForNextTickAsync(ct);
        DemandGone(silos, run);
    }

    private static void DemandGone(IEnumerable<ProcessInfo> processes, string run)
    {
        foreach (var process in processes)
        {
            if (IsAlive(process.Pid))
            {
                throw new UsageException(
                    $"The run {run} is still going: its process {process.Name} ({process.Pid}) lives; accepted: a run "
                    + "that was cut off.");
            }
        }
    }

    public static bool IsAlive(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            return ProcessMark.Of(pid) is not null && process.ProcessName is "dotnet" or "fleet" or "Fleet.Silo";
        }
        catch (ArgumentException)
        {
            return false; // No process has this number.
        }
    }

    private static IReadOnlyList<string> ProbesOf(string settings)
    {
        try
        {
            using var json = JsonDocument.Parse(settings);
            return json.RootElement.TryGetProperty("probes", out var probes)
                ? [.. probes.EnumerateArray().Select(probe => probe.GetString() ?? "")]
                : [];
        }
        catch (JsonException)
        {
            return []; // Of another version: nothing is required of it.
        }
    }

    private static async Task StoreAsync(
        IRunWriter writer, StoredVerdict verdict, IReadOnlyList<string> required, CancellationToken ct)
    {
        var report = verdict.Report;
        var latency = new LatencySink();
        await writer.Reader.StreamUnplacedAsync(latency, ct);
        await writer.Reader.StreamAsync(latency, ct);
        await writer.AddLatencyAsync(
            [.. latency.Recorder.All().SelectMany(one => LatencyRecorder.BucketsOf(one.Metric, one.Of, one.Histogram))],
            ct);
        await writer.AddEvidenceAsync([.. verdict.Sql.Select(result => result.Evidence)], ct);
        await writer.AddFindingsAsync("stored", report.Findings, ct);
        await writer.AddEvidenceAsync(
            [.. report.Rules.Select(rule => new RuleEvidence(
                "stored", rule.Rule, rule.Ok, rule.Violated, rule.Undecided))], ct);
        await writer.AddProbesAsync(
            [.. report.Probes.Select(probe => new ProbeCount(
                probe.Key, probe.Value, required.Contains(probe.Key)))], ct);
    }

    /// <summary>Times the stored operations again; those of unknown outcome have no end.</summary>
    private sealed class LatencySink : IHistorySink
    {
        public LatencyRecorder Recorder { get; } = new();

        public void Observe(HistoryEvent record)
        {
        }

        public void Observe(in Operation record)
        {
            if (record.Outcome is not OperationOutcome.Unknown)
                Recorder.Record(record);
        }
    }
}
