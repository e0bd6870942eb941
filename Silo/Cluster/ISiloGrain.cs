using Fleet.Checking;
using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Silo.Cluster;

/// <summary>One silo of a cluster as those who drive a run see it; key = its address.</summary>
[Alias("fleet.ISiloGrain")]
public interface ISiloGrain : IGrainWithStringKey
{
    /// <summary>What its online checker decided and its lifecycle log stored so far.</summary>
    [Alias("Report")]
    ValueTask<SiloReport> Report();

    /// <summary>Closes the history of the run here: what is under way becomes durable, and nothing after it.</summary>
    /// <returns>What the silo did, to the last event.</returns>
    [Alias("Seal")]
    ValueTask<SiloReport> Seal();
}

/// <summary>What one silo did so far.</summary>
/// <param name="Proc">Number of its process in the run.</param>
/// <param name="EventsCommitted">Events that its grains were told are durable.</param>
/// <param name="MessageFaults">Messages that the run's plan delayed, lost or doubled here, by kind.</param>
[GenerateSerializer, Immutable, Alias("fleet.SiloReport")]
public sealed record SiloReport(
    [property: Id(0)] int Proc,
    [property: Id(1)] string Name,
    [property: Id(2)] long EventsCommitted,
    [property: Id(3)] RuleCount[] Rules,
    [property: Id(4)] Dictionary<string, long> Probes,
    [property: Id(5)] OnlineFinding[] Findings,
    [property: Id(6)] Dictionary<string, long> MessageFaults)
{
    internal static SiloReport Of(
        int proc, string name, long eventsCommitted, OnlineSnapshot snapshot, Dictionary<string, long> faults) => new(
        proc, name, eventsCommitted, [.. snapshot.Rules.Select(RuleCount.Of)], snapshot.Probes.ToDictionary(),
        [.. snapshot.Findings.Select(OnlineFinding.Of)], faults);

    /// <summary>What several silos decided, as if it had been one checker: each object lives on one of them.</summary>
    public static OnlineSnapshot Merge(IReadOnlyCollection<SiloReport> reports) => new(
        [
            .. reports.SelectMany(report => report.Rules).GroupBy(rule => (rule.Rule, rule.Number))
                .Select(rule => new RuleEvidence(
                    rule.Key.Rule, rule.Key.Number, rule.Sum(one => one.Ok), rule.Sum(one => one.Violated),
                    rule.Sum(one => one.Undecided))),
        ],
        reports.SelectMany(report => report.Probes).GroupBy(probe => probe.Key, StringComparer.Ordinal)
            .ToDictionary(probe => probe.Key, probe => probe.Sum(one => one.Value)),
        [
            .. reports.SelectMany(report => report.Findings).GroupBy(finding => (finding.Rule, finding.Signature))
                .Select(finding => finding.First().ToFinding() with { Count = finding.Sum(one => one.Count) }),
        ]);
}

/// <summary>The evidence of one rule on the wire.</summary>
[GenerateSerializer, Immutable, Alias("fleet.RuleCount")]
public readonly record struct RuleCount(
    [property: Id(0)] string Rule,
    [property: Id(1)] int Number,
    [property: Id(2)] long Ok,
    [property: Id(3)] long Violated,
    [property: Id(4)] long Undecided)
{
    internal static RuleCount Of(RuleEvidence rule) =>
        new(rule.Rule, rule.Number, rule.Ok, rule.Violated, rule.Undecided);
}

/// <summary>A finding on the wire, without its records: the stored history has them.</summary>
[GenerateSerializer, Immutable, Alias("fleet.OnlineFinding")]
public sealed record OnlineFinding(
    [property: Id(0)] string Rule,
    [property: Id(1)] byte Class,
    [property: Id(2)] string Object,
    [property: Id(3)] string Signature,
    [property: Id(4)] string Text,
    [property: Id(5)] long Count,
    [property: Id(6)] string? Remedy)
{
    internal static OnlineFinding Of(Finding finding) => new(
        finding.Rule, (byte)finding.Class, finding.Object, finding.Signature, finding.Text, finding.Count,
        finding.Remedy);

    internal Finding ToFinding() => new(Rule, (FindingClass)Class, Object, Signature, Text, [])
    {
        Count = Count,
        Remedy = Remedy,
    };
}
