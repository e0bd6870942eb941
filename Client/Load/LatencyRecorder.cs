using Fleet.Kernel.History;
using HdrHistogram;

namespace Fleet.Client.Load;

/// <summary>Times of operations: from the intended moment (what a user would have waited) and from the sending (service).</summary>
/// <remarks>
/// Microseconds, three significant digits, up to an hour; what is longer counts as an hour. Concurrency: any thread. The same
/// settings everywhere, so that histograms of several generators merge exactly.
/// </remarks>
public sealed class LatencyRecorder
{
    private const long HighestUs = 3_600_000_000;

    private static readonly OperationKind[] Kinds =
        [OperationKind.Alloc, OperationKind.Access, OperationKind.Free, OperationKind.Unbind, OperationKind.Bind];

    private readonly HistogramBase[] _response = [.. Kinds.Select(_ => Create())];
    private readonly HistogramBase[] _service = [.. Kinds.Select(_ => Create())];
    private readonly HistogramBase _lag = Create();

    public void Record(in Operation operation)
    {
        var place = Array.IndexOf(Kinds, operation.Kind);
        if (place < 0)
            return;

        _response[place].RecordValue(Microseconds(operation.DoneNs - operation.IntendedNs));
        _service[place].RecordValue(Microseconds(operation.DoneNs - operation.SentNs));
        _lag.RecordValue(Microseconds(operation.SentNs - operation.IntendedNs));
    }

    /// <summary>Every histogram with the name that thresholds and stores give it.</summary>
    public IEnumerable<(string Metric, string Of, HistogramBase Histogram)> All()
    {
        for (var place = 0; place < Kinds.Length; place++)
        {
            var of = NameOf(Kinds[place]);
            yield return ("response", of, _response[place]);
            yield return ("service", of, _service[place]);
        }

        yield return ("lag", "", _lag);
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

    private static HistogramBase Create() => HistogramFactory.With64BitBucketSize()
        .WithValuesUpTo(HighestUs).WithPrecisionOf(3).WithThreadSafeWrites().Create();
}
