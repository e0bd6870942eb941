using System.Globalization;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>What is stored beside the history: verdicts of the checkers, latency, what struck.</summary>
internal static class RunEvidence
{
    public static async Task StoreAsync(
        Scenario scenario, IRunWriter writer, StoredVerdict verdict, LiveResult live)
    {
        var (online, generator) = (live.Online, live.Generator);
        var ct = CancellationToken.None;
        var report = verdict.Report;
        await writer.AddEvidenceAsync([.. verdict.Sql.Select(result => result.Evidence)], ct);
        await writer.AddFindingsAsync("stored", report.Findings, ct);
        await writer.AddEvidenceAsync([.. report.Rules.Select(rule => ToEvidence("stored", rule))], ct);
        await writer.AddEvidenceAsync([.. online.Rules.Select(rule => ToEvidence("online", rule))], ct);
        await writer.AddProbesAsync(
            [.. report.Probes.Select(
                probe => new ProbeCount(probe.Key, probe.Value, scenario.RequiredProbes.Contains(probe.Key)))], ct);
        await writer.AddLatencyAsync(
            [.. generator.Latency.All().SelectMany(
                one => LatencyRecorder.BucketsOf(one.Metric, one.Of, one.Histogram))], ct);
        await writer.AddFaultsAsync(
            [
                .. live.Faults?.Records ?? [],
                .. MessageRecords(scenario, live, writer.Info.EpochNs),
                .. scenario.Faults.Where(fault => fault.Kind is FaultKind.Inject).Select(fault => new FaultRecord(
                    writer.Info.EpochNs,
                    "inject",
                    Kernel.Host.FailPoints.WireName(fault.Point!.Value),
                    string.Join(' ', fault.Expect),
                    $"{fault.Errno} {fault.When}")),
            ],
            ct);
    }

    /// <summary>Messages are too many for a record each: one for each kind, with how often it struck.</summary>
    private static IEnumerable<FaultRecord> MessageRecords(
        Scenario scenario, LiveResult live, long sinceNs) =>
        live.MessageFaults.Select(struck => new FaultRecord(
            sinceNs,
            struck.Key,
            "messages",
            string.Join(' ', scenario.Faults.Where(fault => fault.Kind is FaultKind.Message)
                .SelectMany(fault => fault.Expect).Distinct()),
            string.Create(CultureInfo.InvariantCulture, $"struck {struck.Value:N0} messages")));

    private static Storage.Results.RuleEvidence ToEvidence(string checker, Checking.Rules.RuleEvidence rule) =>
        new(checker, rule.Rule, rule.Ok, rule.Violated, rule.Undecided);
}
