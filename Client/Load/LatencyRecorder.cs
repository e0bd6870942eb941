using Fleet.Kernel.History;
using Fleet.Storage.Results;
using HdrHistogram;

namespace Fleet.Client.Load;

/// <summary>Times of operations: from the intended moment (what a user would have waited) and from the sending
/// (service).</summary>
/// <remarks>
/// Microseconds, three significant digits, up to an hour; what is longer counts as an hour. Concurrency: any thread.
/// Limits: of fixed size, however long the run. The same settings everywhere, so that histograms of several generators
/// merge exactly.
/// </remarks>
public sealed class LatencyRecorder
{
    private const long HighestUs = 3_600_000_000;
    private const int Digits = 3;

    /// <summary>The kinds that are timed.</summary>
    public static readonly IReadOnlyList<OperationKind> Kinds =
        [OperationKind.Alloc, OperationKind.Access, OperationKind.Free, OperationKind.Unbind, OperationKind.Bind];

    private static readonly OperationKind[] KindsInOrder = [.. Kinds];

    private readonly Lock _gate = new();
    private readonly Series[] _response = [.. KindsInOrder.Select(_ => new Series())];
    private readonly Series[] _service = [.. KindsInOrder.Select(_ => new Series())];
    private readonly Series _lag = new();
    private readonly LongHistogram _merged = Create();
    private readonly List<LatencyWindow> _windows = [];

    public void Record(in Operation operation)
    {
        var place = Array.IndexOf(KindsInOrder, operation.Kind);
        if (place < 0)
            return;

        _response[place].Recorder.RecordValue(Microseconds(operation.DoneNs - operation.IntendedNs));
        _service[place].Recorder.RecordValue(Microseconds(operation.DoneNs - operation.SentNs));
        _lag.Recorder.RecordValue(Microseconds(operation.SentNs - operation.IntendedNs));
    }

    /// <summary>Every histogram so far with the name that thresholds and stores give it; copies.</summary>
    public IReadOnlyList<(string Metric, string Of, HistogramBase Histogram)> All()
    {
        lock (_gate)
        {
            Collect();
            return [.. Named().Select(one => (one.Metric, one.Of, one.Series.Total.Copy()))];
        }
    }

    /// <summary>Begins a view of what is recorded from now on, besides the total.</summary>
    public LatencyWindow OpenWindow()
    {
        lock (_gate)
        {
            Collect();
            var window = new LatencyWindow([.. Named().Select(one => (one.Metric, one.Of, Create()))]);
            _windows.Add(window);
            return window;
        }
    }

    /// <summary>Brings a window up to now.</summary>
    public void Update(LatencyWindow window)
    {
        lock (_gate)
        {
            Collect();
        }
    }

    /// <summary>Milliseconds at a percentile of a metric over all operations, or of one; null where nothing was
    /// recorded.</summary>
    public double? PercentileMs(string metric, string? of, double percentile)
    {
        lock (_gate)
        {
            Collect();
            var series = Named().Where(one => one.Metric == metric && (of is null || of == one.Of)).ToList();
            if (series is [var only])
                return PercentileMs(only.Series.Total, percentile);

            _merged.Reset();
            foreach (var one in series)
                _merged.Add(one.Series.Total);
            return PercentileMs(_merged, percentile);
        }
    }

    /// <summary>Adds another generator's histogram; the sum is exact, as both have the same settings.</summary>
    public void Merge(string metric, string of, HistogramBase histogram)
    {
        lock (_gate)
        {
            foreach (var one in Named())
            {
                if (one.Metric == metric && one.Of == of)
                    one.Series.Total.Add(histogram);
            }
        }
    }

    /// <summary>An empty histogram with the settings that all of them have.</summary>
    public static LongHistogram Create() => new(HighestUs, Digits);

    public static string NameOf(OperationKind kind) => kind switch
    {
        OperationKind.Alloc => "alloc",
        OperationKind.Access => "access",
        OperationKind.Free => "free",
        OperationKind.Bind => "bind",
        OperationKind.Unbind => "unbind",
        OperationKind.AddResource => "add_resource",
        OperationKind.Remove => "remove",
        OperationKind.Query => "query",
        _ => "none",
    };

    /// <summary>Milliseconds at a percentile; null where nothing was recorded.</summary>
    public static double? PercentileMs(HistogramBase histogram, double percentile) =>
        histogram.TotalCount == 0 ? null
        : percentile >= 100 ? histogram.GetMaxValue() / 1000.0
        : histogram.GetValueAtPercentile(percentile) / 1000.0;

    /// <summary>A histogram as the rows that a store keeps.</summary>
    public static IEnumerable<LatencyBucket> BucketsOf(string metric, string of, HistogramBase histogram)
    {
        var name = of.Length == 0 ? metric : $"{of}/{metric}";
        foreach (var value in histogram.RecordedValues())
        {
            var low = histogram.LowestEquivalentValue(value.ValueIteratedTo);
            var high = histogram.HighestEquivalentValue(value.ValueIteratedTo);
            yield return new(name, "all", low * 1000, (high * 1000) + 999, value.CountAddedInThisIterationStep);
        }
    }

    private static long Microseconds(long ns) => Math.Clamp(ns / 1000, 0, HighestUs);

    private IEnumerable<(string Metric, string Of, Series Series)> Named()
    {
        for (var place = 0; place < KindsInOrder.Length; place++)
        {
            var of = NameOf(KindsInOrder[place]);
            yield return ("response", of, _response[place]);
            yield return ("service", of, _service[place]);
        }

        yield return ("lag", "", _lag);
    }

    /// <summary>Moves what was recorded since the last time into the total and every window.</summary>
    private void Collect()
    {
        var place = 0;
        foreach (var (_, _, series) in Named())
        {
            var interval = series.Take();
            if (interval.TotalCount > 0)
            {
                series.Total.Add(interval);
                foreach (var window in _windows)
                    window.Histograms[place].Histogram.Add(interval);
            }

            place++;
        }
    }

    /// <summary>Writers take no lock and are never seen half way: a reader swaps what they write to.</summary>
    private sealed class Series
    {
        private readonly Recorder _recorder = HistogramFactory.With64BitBucketSize()
            .WithValuesUpTo(HighestUs).WithPrecisionOf(Digits).WithThreadSafeWrites().WithThreadSafeReads().Create();
        private HistogramBase? _interval;

        public Recorder Recorder => _recorder;

        public LongHistogram Total { get; } = Create();

        public HistogramBase Take() => _interval = _recorder.GetIntervalHistogram(_interval);
    }
}

/// <summary>What was recorded since it was last cleared; one owner.</summary>
/// <param name="histograms">One for each that the recorder has, in its order.</param>
public sealed class LatencyWindow(IReadOnlyList<(string Metric, string Of, LongHistogram Histogram)> histograms)
{
    public IReadOnlyList<(string Metric, string Of, LongHistogram Histogram)> Histograms { get; } = histograms;

    public LongHistogram Of(string metric, string of) =>
        Histograms.First(one => one.Metric == metric && one.Of == of).Histogram;

    public void Clear()
    {
        foreach (var (_, _, histogram) in Histograms)
            histogram.Reset();
    }
}
