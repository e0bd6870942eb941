using System.Collections.Immutable;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;

namespace Fleet.Client.Load;

/// <summary>How a threshold stands.</summary>
public enum ThresholdState
{
    Met,
    Missed,

    /// <summary>Nothing was measured that it could be held against.</summary>
    NoData,

    /// <summary>The load has not run for as long as the threshold wants to wait.</summary>
    TooEarly,
}

/// <param name="Value">Null where nothing was measured.</param>
public sealed record ThresholdResult(Threshold Threshold, double? Value, ThresholdState State);

/// <summary>What thresholds are held against, at one moment.</summary>
/// <param name="Elapsed">Since the first phase began; stands still once the load drains.</param>
/// <param name="Achieved">Share of what was due that was sent; null in a closed loop.</param>
/// <param name="Probes">Counts by name.</param>
/// <param name="Gauges">Null while the run goes on: slopes are known at its end.</param>
public sealed record ThresholdFigures(
    LoadCounters Counters,
    LatencyRecorder Latency,
    TimeSpan Elapsed,
    double? Achieved,
    TimeSpan TimerLag,
    long Findings,
    IReadOnlyDictionary<string, long> Probes,
    double? MemoryMaxBytes,
    IReadOnlyList<GaugeSummary>? Gauges);

/// <summary>Holds a scenario's thresholds against the figures of its run.</summary>
public static class ThresholdWatch
{
    public static ImmutableArray<ThresholdResult> Judge(
        ImmutableArray<Threshold> thresholds, ThresholdFigures figures) =>
        [.. thresholds.Select(threshold => Judge(threshold, figures))];

    private static ThresholdResult Judge(Threshold threshold, ThresholdFigures figures)
    {
        if (figures.Elapsed < threshold.After)
            return new(threshold, null, ThresholdState.TooEarly);

        var value = ValueOf(ThresholdMetric.Find(threshold.Metric)!, threshold.Of, figures);
        var state = value switch
        {
            null => ThresholdState.NoData,
            { } one when one >= threshold.Below || one <= threshold.Above => ThresholdState.Missed,
            _ => ThresholdState.Met,
        };
        return new(threshold, value, state);
    }

    private static double? ValueOf(ThresholdMetric metric, string? of, ThresholdFigures figures)
    {
        if (metric.Percentile is { } percentile)
        {
            return metric.Family == "unbind"
                ? figures.Latency.PercentileMs("response", "unbind", percentile)
                : figures.Latency.PercentileMs(metric.Family, of, percentile);
        }

        var counters = figures.Counters;
        IReadOnlyList<OperationKind> kinds = of is null || metric.Subject is not MetricSubject.Operation
            ? Enum.GetValues<OperationKind>()
            : [LatencyRecorder.Kinds.First(kind => LatencyRecorder.NameOf(kind) == of)];
        var total = kinds.Sum(counters.Of);
        return metric.Name switch
        {
            "timer" => figures.TimerLag.TotalMilliseconds,
            "achieved" => figures.Achieved,
            "rate" => figures.Elapsed > TimeSpan.Zero ? total / figures.Elapsed.TotalSeconds : null,
            "errors" => Share(Failed(isRefusal: false) + (of is null ? counters.FailureCount : 0)),
            "refusals" => Share(Failed(isRefusal: true)),
            "unknown" => Share(kinds.Sum(kind => counters.Of(kind, OperationOutcome.Unknown))),
            "findings" => figures.Findings,
            "probes" => figures.Probes.GetValueOrDefault(of!),
            "memory.max" => figures.MemoryMaxBytes,
            _ => figures.Gauges?.FirstOrDefault(gauge => gauge.Name == metric.Family)?.PerHour,
        };

        long Failed(bool isRefusal) => kinds.Sum(kind => counters.ErrorsOf(kind)
            .Where(error => LoadCounters.IsRefusal(error.Errno) == isRefusal).Sum(error => error.Count));

        double? Share(long part) => total == 0 ? null : (double)part / total;
    }
}
