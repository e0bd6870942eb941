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

    /// <summary>A stripe has 2 MB of histograms.</summary>
    private static readonly int StripeCount = Math.Clamp(Environment.ProcessorCount, 1, 4);

    /// <summary>The kinds that are timed.</summary>
    public static readonly IReadOnlyList<OperationKind> Kinds =
        [OperationKind.Alloc, OperationKind.Access, OperationKind.Free, OperationKind.Unbind, OperationKind.Bind];

    private static readonly OperationKind[] KindsInOrder = [.. Kinds];

    private readonly Lock _gate = new();
    private readonly (string Metric, string Of)[] _names =
    [
        .. KindsInOrder.SelectMany(kind => new[] { ("response", NameOf(kind)), ("service", NameOf(kind)) }),
        ("lag", ""),
    ];

    private readonly Stripe[] _stripes;
    private readonly LongHistogram[] _totals;
    private LongHistogram[] _spare;
    private readonly LongHistogram _merged = Create();
    private readonly List<LatencyWindow> _windows = [];

    public LatencyRecorder()
    {
        _stripes = [.. Enumerable.Range(0, StripeCount).Select(_ => new Stripe(NewSeries()))];
        (_totals, _spare) = (NewSeries(), NewSeries());
    }

    public void Record(in Operation operation)
    {
        var place = Array.IndexOf(KindsInOrder, operation.Kind);
        if (place < 0)
            return;

        // A thread keeps to one stripe, so the lock is nearly always free.
        var stripe = _stripes[(uint)Environment.CurrentManagedThreadId % (uint)_stripes.Length];
        lock (stripe.Gate)
        {
            var series = stripe.Series;
            series[2 * place].RecordValue(Microseconds(operation.DoneNs - operation.IntendedNs));
            series[(2 * place) + 1].RecordValue(Microseconds(operation.DoneNs - operation.SentNs));
            series[^1].RecordValue(Microseconds(operation.SentNs - operation.IntendedNs));
        }
    }

    /// <summary>Every histogram so far with the name that thresholds and stores give it; copies.</summary>
    public IReadOnlyList<(string Metric, string Of, HistogramBase Histogram)> All()
    {
        lock (_gate)
        {
            Collect();
            return [.. _names.Zip(_totals, (name, total) => (name.Metric, name.Of, total.Copy()))];
        }
    }

    /// <summary>Begins a view of what is recorded from now on, besides the total.</summary>
    public LatencyWindow OpenWindow()
    {
        lock (_gate)
        {
            Collect();
            var window = new LatencyWindow([.. _names.Select(name => (name.Metric, name.Of, Create()))]);
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
            var totals = _totals.Where(
                (_, i) => _names[i].Metric == metric && (of is null || of == _names[i].Of)).ToList();
            if (totals is [var only])
                return PercentileMs(only, percentile);

            _merged.Reset();
            totals.ForEach(_merged.Add);
            return PercentileMs(_merged, percentile);
        }
    }

    /// <summary>Adds another generator's histogram; the sum is exact, as both have the same settings.</summary>
    public void Merge(string metric, string of, HistogramBase histogram)
    {
        lock (_gate)
        {
            var place = Array.IndexOf(_names, (metric, of));
            if (place >= 0)
                _totals[place].Add(histogram);
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

    private LongHistogram[] NewSeries() => [.. _names.Select(_ => Create())];

    /// <summary>Moves what was recorded since the last time into the totals and every window.</summary>
    /// <remarks>A stripe's writers wait only while its histograms are exchanged for empty ones.</remarks>
    private void Collect()
    {
        foreach (var stripe in _stripes)
        {
            var taken = _spare;
            lock (stripe.Gate)
            {
                (taken, stripe.Series) = (stripe.Series, taken);
            }

            for (var place = 0; place < taken.Length; place++)
            {
                if (taken[place].TotalCount > 0)
                {
                    _totals[place].Add(taken[place]);
                    foreach (var window in _windows)
                        window.Histograms[place].Histogram.Add(taken[place]);
                    taken[place].Reset();
                }
            }

            _spare = taken;
        }
    }

    /// <summary>What some of the threads write to; never seen half way.</summary>
    private sealed class Stripe(LongHistogram[] series)
    {
        public Lock Gate { get; } = new();

        public LongHistogram[] Series { get; set; } = series;
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
