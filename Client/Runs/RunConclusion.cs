using System.Globalization;
using Fleet.Checking;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;

namespace Fleet.Client.Runs;

/// <summary>What a run comes to: its verdict with every reason, and the exit code.</summary>
/// <param name="resumed">How often it was gone on with.</param>
/// <param name="seconds">What its parts took.</param>
internal sealed class RunConclusion(
    RunRequest request, LiveResult live, StoredVerdict verdict, RunCounts counts, int resumed,
    IReadOnlyDictionary<string, double> seconds)
{
    /// <summary>A run that sent less than this share of what was due says nothing about the load that it should have
    /// been.</summary>
    private const double RateSharePassed = 0.95;

    private Scenario Scenario => request.Scenario;

    public RunSummary Summarize(bool interrupted)
    {
        var (generator, monitor, online) = (live.Generator, live.Monitor, live.Online);
        var counters = generator.Counters;
        var report = verdict.Report;
        List<string> disagreements = [.. verdict.Disagreements, .. Disagreement(report, online)];
        var reasons = disagreements.Select(one => $"Two checkers disagree: {one}").Concat(report.Reasons).ToList();
        if (!counts.AreEqual)
        {
            reasons.Insert(
                0, $"{counts.OperationsAcknowledged} operations were acknowledged, {counts.OperationsSpooled} spooled, "
                + $"{counts.OperationsStored} are stored; {counts.EventsAcknowledged} events were acknowledged, "
                + $"{counts.EventsStored} are stored: the history lost or doubled records.");
        }

        var achieved = generator.AchievedShare;
        var results = monitor.Judge(isOver: true, online.Probes);
        var isUndecided = results.Any(result => result.State is ThresholdState.NoData);
        var isMissed = results.Any(result => result.State is ThresholdState.Missed);
        var rateMissed = achieved < RateSharePassed;
        if (rateMissed)
            reasons.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                        $"Only {achieved:P1} of the operations that were due were sent: the rate was missed."));
        var failures = Unexplained(counters, report);
        reasons.AddRange(failures);
        reasons.AddRange(live.Others.Lost);
        if (!generator.IsDrained)
            reasons.Add("Clients were not drained in time: rules that need a quiet end decide nothing.");
        reasons.AddRange(results.Where(result => result.State is ThresholdState.Missed or ThresholdState.NoData)
            .Select(result => ThresholdSummary.From(result).Sentence));
        if (live.AbortedBy is { } metric)
            reasons.Add($"The load was ended early, because the threshold on {metric} was missed.");
        var exit = disagreements.Count > 0 || !counts.AreEqual || report.ExitCode == ExitCode.Harness ? ExitCode.Harness
            : report.Verdict is RunVerdict.Invalid ? ExitCode.Invalid
            : interrupted ? ExitCode.Interrupted
            : failures.Count > 0 || live.Others.Lost.Count > 0 ? ExitCode.Infrastructure
            : report.Verdict is RunVerdict.Unknown || rateMissed || isUndecided ? ExitCode.Unknown
            : isMissed ? ExitCode.Threshold
            : ExitCode.Valid;
        var runVerdict = report.Verdict is RunVerdict.Valid && (rateMissed || isUndecided) ? RunVerdict.Unknown
            : report.Verdict;
        var expected = Scenario.Expect.TryGetValue(request.Profile.Name, out var word) ? word.ToString()
            .ToLowerInvariant() : null;
        return new()
        {
            Run = request.Name,
            Scenario = Scenario.Name,
            Profile = request.Profile.Name,
            Seed = Scenario.Seed,
            Verdict = runVerdict,
            ExitCode = exit,
            Expected = expected,
            AsExpected = expected is null ? null : expected == runVerdict.ToString().ToLowerInvariant(),
            Reasons = reasons,
            Hosts = live.Hosts.Count,
            Devices = request.Plan.Devices.Length,
            Resources = request.Plan.ResourceCount,
            Clients = Scenario.Load.Clients,
            Operations = [.. OperationsOf(counters)],
            OperationsTotal = counters.Operations,
            OperationsPerSecond = generator.SendingTime > TimeSpan.Zero
                ? counters.Operations / generator.SendingTime.TotalSeconds : 0,
            Unbinds = counters.Of(OperationKind.Unbind),
            UnbindsWithHolders = counters.UnbindsWithHolders,
            EventsStored = counts.EventsStored,
            Counts = counts,
            Silos = request.Silos,
            Reaped = live.Reaped,
            Stuck =
            [
                .. generator.Stuck.Select(stuck => new StuckSummary(
                    stuck.Device, LatencyRecorder.NameOf(stuck.Kind), stuck.Since.TotalSeconds, stuck.WaitsFor)),
            ],
            Probes = report.Probes.Where(probe => probe.Value > 0 || Scenario.RequiredProbes.Contains(probe.Key))
                .ToDictionary(),
            Latency = [.. generator.Latency.All().Where(one => one.Histogram.TotalCount > 0)
                .Select(one => LatencySummary.From(one.Metric, one.Of, one.Histogram))],
            Thresholds = [.. results.Select(ThresholdSummary.From)],
            Achieved = achieved,
            Due = generator.Achieved.Due,
            Sent = generator.Achieved.Sent,
            Phases = [.. generator.Phases],
            Resumed = resumed,
            Errors = ErrorsOf(counters),
            Gauges = [.. monitor.Gauges],
            TimerLagMaxMs = generator.TimerLagMax.TotalMilliseconds,
            Punctuality = generator.Punctuality,
            Failures = counters.Failures.ToDictionary(),
            BindErrors = counters.BindErrors.ToDictionary(error => error.Key.ToString(), error => error.Value),
            Findings =
            [
                .. report.Findings.Select((finding, place) => new FindingSummary(
                    place + 1, finding.Rule, finding.Class.ToString()
                        .ToLowerInvariant(), finding.Object, finding.Count, finding.Text, finding.Remedy)),
            ],
            Seconds = seconds,
            Faults = FaultSummary.Of(live.Faults) with
            {
                Messages = live.MessageFaults,
                ResolvedExecuted = counters.ResolvedExecuted,
                ResolvedNotSeen = counters.ResolvedNotSeen,
                Unresolved = counters.Unresolved,
            },
            Interrupted = interrupted,
            Report = report,
        };
    }

    /// <summary>What went wrong beside the model, and no strike was expected to cause.</summary>
    private List<string> Unexplained(LoadCounters counters, CheckReport report)
    {
        var expected = live.Faults?.Expected ?? new HashSet<string>();
        var unexplained = new List<string>();
        if (!counters.Failures.IsEmpty && !expected.Contains(FaultEffects.UnknownOutcomes))
            unexplained.Add("Calls failed that no fault of the plan explains.");
        var found = report.Findings.Count(finding => finding.Class is FindingClass.Infrastructure);
        if (report.ExitCode == ExitCode.Infrastructure && !expected.Contains(FaultEffects.Infrastructure))
            unexplained.Add($"{found} infrastructure finding(s) that no fault of the plan explains.");
        var gone = (live.Faults?.Unstruck ?? []).Union(live.Gone).ToList();
        if (gone.Count > 0 && !expected.Contains(FaultEffects.Failover))
            unexplained.Add($"{string.Join(", ", gone)} ended though no fault of the plan explains it.");
        return unexplained;
    }

    /// <summary>What the checker saw while it happened has to be in the stored history too.</summary>
    private static IEnumerable<string> Disagreement(CheckReport report, OnlineSnapshot online)
    {
        var stored = report.Findings.Select(finding => finding.Rule).ToHashSet(StringComparer.Ordinal);
        return online.Findings.Select(finding => finding.Rule).Distinct().Where(rule => !stored.Contains(rule))
            .Select(rule => $"{rule} was found while the fleet ran, and not in the stored history.");
    }

    private static IEnumerable<OperationSummary> OperationsOf(LoadCounters counters) =>
        from kind in Enum.GetValues<OperationKind>()
        where counters.Of(kind) > 0
        select new OperationSummary(
            LatencyRecorder.NameOf(kind),
            counters.Of(kind, OperationOutcome.Ok),
            counters.Of(kind, OperationOutcome.Fail),
            counters.Of(kind, OperationOutcome.Unknown));

    private static Dictionary<string, IReadOnlyDictionary<string, long>> ErrorsOf(LoadCounters counters) =>
        LatencyRecorder.Kinds
            .Select(kind => (Kind: LatencyRecorder.NameOf(kind), Errors: counters.ErrorsOf(kind).ToList()))
            .Where(kind => kind.Errors.Count > 0)
            .ToDictionary(
                kind => kind.Kind,
                kind => (IReadOnlyDictionary<string, long>)kind.Errors.ToDictionary(
                    error => error.Errno.ToString(), error => error.Count));
}
