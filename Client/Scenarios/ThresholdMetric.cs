using System.Collections.Immutable;
using static System.FormattableString;

namespace Fleet.Client.Scenarios;

/// <summary>What a metric is counted in; it decides how a scenario writes its limit.</summary>
public enum MetricUnit
{
    Milliseconds,
    Share,
    PerSecond,
    Bytes,
    BytesPerHour,
    CountPerHour,
    Count,
}

/// <summary>What <c>of</c> may name beside a metric.</summary>
public enum MetricSubject
{
    None,
    Operation,
    Probe,
}

/// <summary>One figure of a run that a threshold may bound.</summary>
/// <param name="Family">Name without the percentile.</param>
/// <param name="Percentile">100 for the maximum; null where the metric has none.</param>
public sealed record ThresholdMetric(
    string Name, string Family, double? Percentile, MetricUnit Unit, MetricSubject Subject)
{
    private static readonly ImmutableArray<(string Name, double Percentile)> Percentiles =
        [("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99), ("p999", 99.9), ("max", 100)];

    /// <summary>Every metric that a threshold may name.</summary>
    /// <remarks>
    /// <c>response</c> counts from the intended moment, <c>service</c> from the sending, <c>lag</c> is the difference:
    /// what the generator itself was late. <c>unbind</c> is the response time of unbinds. A slope is taken at the end,
    /// over what was sampled after the run had warmed up.
    /// </remarks>
    public static ImmutableArray<ThresholdMetric> All { get; } =
    [
        .. Timed("response", MetricSubject.Operation),
        .. Timed("service", MetricSubject.Operation),
        .. Timed("lag", MetricSubject.None),
        .. Timed("unbind", MetricSubject.None),
        new("timer", "timer", null, MetricUnit.Milliseconds, MetricSubject.None),
        new("errors", "errors", null, MetricUnit.Share, MetricSubject.Operation),
        new("refusals", "refusals", null, MetricUnit.Share, MetricSubject.Operation),
        new("unknown", "unknown", null, MetricUnit.Share, MetricSubject.Operation),
        new("achieved", "achieved", null, MetricUnit.Share, MetricSubject.None),
        new("rate", "rate", null, MetricUnit.PerSecond, MetricSubject.Operation),
        new("memory.max", "memory", null, MetricUnit.Bytes, MetricSubject.None),
        new("memory.slope", "memory", null, MetricUnit.BytesPerHour, MetricSubject.None),
        new("heap.slope", "heap", null, MetricUnit.BytesPerHour, MetricSubject.None),
        new("database.slope", "database", null, MetricUnit.BytesPerHour, MetricSubject.None),
        new("handles.slope", "handles", null, MetricUnit.CountPerHour, MetricSubject.None),
        new("threads.slope", "threads", null, MetricUnit.CountPerHour, MetricSubject.None),
        new("activations.slope", "activations", null, MetricUnit.CountPerHour, MetricSubject.None),
        new("findings", "findings", null, MetricUnit.Count, MetricSubject.None),
        new("probes", "probes", null, MetricUnit.Count, MetricSubject.Probe),
    ];

    private static readonly ImmutableDictionary<string, ThresholdMetric> ByName =
        All.ToImmutableDictionary(metric => metric.Name, StringComparer.Ordinal)
            .Add("lag", All.First(metric => metric.Name == "lag.p99"));

    /// <summary>True for a figure that exists only once a run is over.</summary>
    public bool IsSlope => Unit is MetricUnit.BytesPerHour or MetricUnit.CountPerHour;

    public static ThresholdMetric? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>A value of this metric as a person reads it.</summary>
    public string Show(double value) => Unit switch
    {
        MetricUnit.Milliseconds => Invariant($"{value:#,0.##} ms"),
        MetricUnit.Share => Invariant($"{value:0.###%}"),
        MetricUnit.PerSecond => Invariant($"{value:#,0.#}/s"),
        MetricUnit.Bytes => Invariant($"{value / (1 << 20):#,0.#} MiB"),
        MetricUnit.BytesPerHour => Invariant($"{value / (1 << 20):#,0.##} MiB/h"),
        MetricUnit.CountPerHour => Invariant($"{value:#,0.#}/h"),
        _ => Invariant($"{value:#,0.##}"),
    };

    private static IEnumerable<ThresholdMetric> Timed(string family, MetricSubject subject) =>
        Percentiles.Select(percentile => new ThresholdMetric(
            $"{family}.{percentile.Name}", family, percentile.Percentile, MetricUnit.Milliseconds, subject));
}
