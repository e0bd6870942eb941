using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Security;
using Fleet.Checking.History;
using Fleet.Client.Commands;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Kernel.History;
using Fleet.Simulation.Cluster;

namespace Fleet.Client.Simulate;

/// <summary>What a simulated run came to, as it is printed and given to scripts.</summary>
public sealed record SimulationSummary(
    string Scenario,
    string Profile,
    ulong Seed,
    RunVerdict Verdict,
    int ExitCode,
    string? Expected,
    bool? AsExpected,
    IReadOnlyList<string> Reasons,
    int Devices,
    int Clients,
    int Silos,
    OperationSummary[] Operations,
    long Unbinds,
    long UnbindsWithHolders,
    long Events,
    StuckSimulation[] Stuck,
    IReadOnlyDictionary<string, long> Probes,
    IReadOnlyDictionary<string, long> Faults,
    FindingSummary[] Findings,
    LatencySummary[] Latency,
    ThresholdSummary[] Thresholds,
    double SimulatedSeconds,
    double RealSeconds,
    double SimulatedOverReal,
    string Digest,
    bool? SameTwice,
    string Command);

/// <summary>One scenario on a virtual cluster; twice where two runs have to agree.</summary>
/// <param name="Silos">Silos of the virtual cluster.</param>
/// <param name="HistoryPath">Where the history is written; null for nowhere.</param>
/// <param name="Directory">Where both histories are kept when two runs differ.</param>
public sealed record SimulatedRun(
    RunRequest Request, int Silos, bool Twice, string? HistoryPath, string Directory)
{
    /// <summary>Silos of the virtual cluster where nobody says how many.</summary>
    public const int SilosDefault = 3;

    /// <exception cref="UsageException">The history cannot be written.</exception>
    public SimulationSummary Run()
    {
        var plan = SimulationRequest.PlanOf(Request, Silos);
        var began = Stopwatch.GetTimestamp();
        var result = ClusterSimulation.Run(plan);
        var real = Stopwatch.GetElapsedTime(began);
        if (HistoryPath is not null)
            Write(result, HistoryPath);

        bool? isSame = null;
        string[] kept = [];
        if (Twice)
        {
            var second = ClusterSimulation.Run(SimulationRequest.PlanOf(Request, Silos));
            isSame = second.Digest == result.Digest;
            if (isSame is false)
                kept = [Keep(result, "first"), Keep(second, "second")];
        }

        return Summarize(result, real, isSame, kept);
    }

    private SimulationSummary Summarize(SimulationResult result, TimeSpan real, bool? isSame, string[] kept)
    {
        var scenario = Request.Scenario;
        var expected = scenario.Expect.TryGetValue(Request.Profile.Name, out var word)
            ? word.ToString().ToLowerInvariant() : null;
        var reasons = result.Reasons.ToList();
        if (isSame is false)
            reasons.Insert(0, $"Two runs with one seed differ; both histories are kept: {string.Join(", ", kept)}.");

        var report = result.Report;
        var (latency, thresholds) = Judge(result);
        var isMissed = thresholds.Any(one => one.State is ThresholdState.Missed);
        reasons.AddRange(thresholds.Where(one => one.State is ThresholdState.Missed).Select(one => one.Sentence));
        return new(
            scenario.Name,
            Request.Profile.Name,
            scenario.Seed,
            result.Verdict,
            isSame is false ? ExitCode.Harness
                : result.ExitCode == ExitCode.Valid && isMissed ? ExitCode.Threshold
                : result.ExitCode,
            expected,
            expected is null ? null : expected == result.Verdict.ToString().ToLowerInvariant(),
            reasons,
            Request.Plan.Devices.Length,
            scenario.Load.Clients,
            Silos,
            [
                .. result.Operations.Select(
                    one => new OperationSummary(LatencyRecorder.NameOf(one.Kind), one.Ok, one.Fail, one.Unknown)),
            ],
            result.Operations.Where(one => one.Kind is OperationKind.Unbind)
                .Sum(one => one.Ok + one.Fail + one.Unknown),
            result.UnbindsWithHolders,
            result.History.Events,
            [.. result.Stuck],
            report?.Probes.Where(probe => probe.Value > 0 || scenario.RequiredProbes.Contains(probe.Key))
                .ToDictionary() ?? [],
            result.Faults,
            [
                .. (report?.Findings ?? []).Select((finding, place) => new FindingSummary(
                    place + 1, finding.Rule, finding.Class.ToString().ToLowerInvariant(), finding.Object,
                    finding.Count, finding.Text, finding.Remedy)),
            ],
            [
                .. latency.All().Where(one => one.Histogram.TotalCount > 0)
                    .Select(one => LatencySummary.From(one.Metric, one.Of, one.Histogram)),
            ],
            [.. thresholds],
            result.Simulated.TotalSeconds,
            real.TotalSeconds,
            result.Simulated / real,
            result.Digest.ToString("x16", CultureInfo.InvariantCulture),
            isSame,
            WithSeed(Request.CommandLine, scenario.Seed));
    }

    /// <summary>Times of the virtual clock, and the scenario's thresholds held against them.</summary>
    /// <remarks>
    /// Of what only a process has (memory, handles, timers), and of the rate, which a virtual generator always keeps,
    /// nothing is measured: those thresholds are left out.
    /// </remarks>
    internal (LatencyRecorder Latency, IReadOnlyList<ThresholdSummary> Thresholds) Judge(SimulationResult result)
    {
        var (latency, counters) = (new LatencyRecorder(), new LoadCounters());
        foreach (var operation in result.History.Recorded())
        {
            counters.Count(operation);
            if (operation.Outcome is not OperationOutcome.Unknown && operation.SentNs > 0)
                latency.Record(operation);
        }

        var figures = new ThresholdFigures(
            counters, latency, result.Simulated, null, TimeSpan.Zero, result.Report?.Findings.Count ?? 0,
            result.Report?.Probes.ToDictionary() ?? [], null, null);
        return (
            latency,
            [
                .. ThresholdWatch.Judge(Request.Scenario.Thresholds, figures)
                    .Where(one => one.State is ThresholdState.Met or ThresholdState.Missed
                        && one.Threshold.Metric is not "timer")
                    .Select(ThresholdSummary.From),
            ]);
    }

    /// <summary>The command that gives the same history: a seed that was drawn is named in it.</summary>
    private static string WithSeed(string command, ulong seed)
    {
        var words = command.Split(' ').ToList();
        if (words.IndexOf("--seed") is >= 0 and var place)
            words.RemoveRange(place, Math.Min(2, words.Count - place));
        return string.Create(CultureInfo.InvariantCulture, $"{string.Join(' ', words)} --seed {seed}");
    }

    private string Keep(SimulationResult result, string which)
    {
        var path = Path.Combine(
            Directory,
            $"simulation-{Request.Scenario.Name}-{Request.Profile.Name}-{Request.Scenario.Seed}-{which}.jsonl.gz");
        System.IO.Directory.CreateDirectory(Directory);
        Write(result, path);
        return path;
    }

    private static void Write(SimulationResult result, string path)
    {
        try
        {
            using var file = File.Create(path);
            if (path.EndsWith(".gz", StringComparison.Ordinal))
            {
                using var zipped = new GZipStream(file, CompressionLevel.Fastest);
                Write(result, zipped);
            }
            else
            {
                Write(result, file);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SecurityException)
        {
            throw new UsageException(
                $"The history cannot be written to {ForeignText.Quote(path)} ({ForeignText.Clean(e.Message)}); "
                + "accepted: a file in a directory that exists, *.jsonl or *.jsonl.gz.", e);
        }
    }

    private static void Write(SimulationResult result, Stream stream)
    {
        using var writer = new HistoryWriter(stream, result.History.Header, result.History.Objects);
        result.History.Write(writer);
    }
}
