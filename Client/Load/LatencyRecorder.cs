using Fleet.Kernel.History;
using HdrHistogram;

namespace Fleet.Client.Load;

/// <summary>Times of operations: from the intended moment (what a user would have waited) and from the sending
/// (service).</summary>
/// <remarks>
/// Microseconds, three significant digits, up to an hour; what is longer counts as an hour. Concurrency: any thread.
/// The same
/// settings everywhere, so that histograms of several generators merge exactly.
/// </remarks>
public sealed class LatencyRecorder
{
    private const long HighestUs = 3_600_000_000;

    private static readonly OperationKind[] Kinds =
        [OperationKind.Alloc, OperationKind.Access, OperationKind.Free, OperationKind.Unbind, OperationKind.Bind];

    private readonly Lock _gate = new();
    private readonly Series[] _response = [.. Kinds.Select(_ => new Series())];
    private readonly Series[] _service = [.. Kinds.Select(_ => new Series())];
    private readonly Series _lag = new();

    public void Record(in Operation operation)
    {
        var place = Array.IndexOf(Kinds, operation.Kind);
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
            var all = new List<(string, string, HistogramBase)>();
            for (var place = 0; place < Kinds.Length; place++)
            {
                var of = NameOf(Kinds[place]);
                all.Add(("response", of, _response[place].Collect().Copy()));
                all.Add(("service", of, _service[place].Collect().Copy()));
            }

            all.Add(("lag", "", _lag.Collect().Copy()));
            return all;
        }
    }

    /// <summary>Percentiles of one operation's response time since this was asked last.</summary>
    public (double P50Ms, double P99Ms) Recent(OperationKind kind)
    {
        lock (_gate)
        {
            var interval = _response[Array.IndexOf(Kinds, kind)].Interval();
            return interval.TotalCount == 0
                ? default
                : (interval.GetValueAtPercentile(50) / 1000.0, interval.GetValueAtPercentile(99) / 1000.0);
        }
    }

    /// <summary>One histogram of a metric over all operations, or of one.</summary>
    public HistogramBase Of(string metric, string? of)
    {
        var merged = Create();
        foreach (var (name, kind, histogram) in All())
        {
            if (name == metric && (of is null || of == kind || kind.Length == 0))
                merged.Add(histogram);
        }

        return merged;
    }

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

    private static long Microseconds(long ns) => Math.Clamp(ns / 1000, 0, HighestUs);

    private static LongHistogram Create() => new(HighestUs, 3);

    /// <summary>Writers take no lock and are never seen half way: a reader swaps what they write to.</summary>
    private sealed class Series
    {
        private readonly LongHistogram _total = Create();
        private HistogramBase? _interval;

        public Recorder Recorder { get; } = HistogramFactory.With64BitBucketSize()
            .WithValuesUpTo(HighestUs).WithPrecisionOf(3).WithThreadSafeWrites().WithThreadSafeReads().Create();

        public HistogramBase Interval()
        {
            _interval = Recorder.GetIntervalHistogram(_interval);
            _total.Add(_interval);
            return _interval;
        }

        public LongHistogram Collect()
        {
            _ = Interval();
            return _total;
        }
    }
}
