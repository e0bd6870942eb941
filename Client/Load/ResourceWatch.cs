using System.Diagnostics;
using System.Globalization;

namespace Fleet.Client.Load;

/// <summary>What a gauge of the process came to over a run.</summary>
/// <param name="Unit"><c>bytes</c> or <c>count</c>.</param>
/// <param name="PerHour">Null where too little was sampled after the warm-up.</param>
/// <param name="LowPerHour">Lower end of the 95 % interval.</param>
/// <param name="Trend"><c>flat</c>, <c>grows</c>, <c>falls</c>, or <c>too short</c>.</param>
public sealed record GaugeSummary(
    string Name, string Unit, double First, double Last, double Max, double? PerHour, double? LowPerHour,
    double? HighPerHour, string Trend, int Samples);

/// <summary>Samples what must not grow in a run of days: memory, handles, threads, activations, the database.</summary>
/// <remarks>
/// Limits: at most <see cref="SamplesMax"/> samples of each gauge, whatever the run's length: when they are full, every
/// second one is dropped and the interval doubles. Concurrency: one sampler, any reader.
/// </remarks>
public sealed class ResourceWatch(Func<CancellationToken, Task<IReadOnlyList<(string Gauge, double Value)>>> more)
{
    public const int SamplesMax = 600;

    public const string Memory = "memory";
    public const string Heap = "heap";
    public const string Database = "database";

    /// <summary>Pools, caches and compiled code fill up first: this share of a run is no evidence of a leak.</summary>
    private const double WarmUpShare = 0.34;

    /// <summary>A slope that changes a gauge by less than this share of its level in an hour is called flat.</summary>
    private const double FlatShare = 0.02;

    /// <summary>What a gauge does in less than this, per hour, says nothing about hours.</summary>
    private const double SecondsMin = 60;

    /// <summary>A collection in the background takes some milliseconds of a core, and stops nobody for long.</summary>
    private static readonly TimeSpan CollectInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Gauge> _gauges = new(StringComparer.Ordinal);
    private TimeSpan? _collectedAt;
    private long _lastIndex;

    /// <summary>Reads every gauge once.</summary>
    public async Task<IReadOnlyList<(string Gauge, double Value)>> SampleAsync(TimeSpan elapsed, CancellationToken ct)
    {
        var readings = new List<(string Gauge, double Value)>();
        using (var process = Process.GetCurrentProcess())
        {
            readings.Add((Memory, PrivateBytes() ?? process.WorkingSet64));
            if (LiveBytes(elapsed) is { } live)
                readings.Add((Heap, live));
            readings.Add(("handles", process.HandleCount));
            readings.Add(("threads", process.Threads.Count));
        }

        readings.AddRange(await more(ct));
        lock (_gate)
        {
            foreach (var (name, value) in readings)
            {
                if (!_gauges.TryGetValue(name, out var gauge))
                    _gauges[name] = gauge = new();
                gauge.Add(elapsed, value);
            }
        }

        return readings;
    }

    /// <summary>The largest value seen; null where the gauge was never read.</summary>
    public double? MaxOf(string gauge)
    {
        lock (_gate)
        {
            return _gauges.TryGetValue(gauge, out var one) ? one.Max : null;
        }
    }

    /// <summary>The newest value; null where the gauge was never read.</summary>
    public double? LastOf(string gauge)
    {
        lock (_gate)
        {
            return _gauges.TryGetValue(gauge, out var one) ? one.Samples[^1].Value : null;
        }
    }

    public IReadOnlyList<GaugeSummary> Summarize()
    {
        lock (_gate)
        {
            return [.. _gauges.Select(gauge => Summarize(gauge.Key, gauge.Value))];
        }
    }

    /// <summary>What was alive after the last full collection in the background: what nobody needs any more and nobody
    /// collected yet is no leak, and would drown one.</summary>
    /// <returns>Null while there was none since the last reading.</returns>
    private double? LiveBytes(TimeSpan elapsed)
    {
        var last = GC.GetGCMemoryInfo(GCKind.Background);
        if (_collectedAt is null || elapsed - _collectedAt >= CollectInterval)
        {
            _collectedAt = elapsed;
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
        }

        if (last.Index == _lastIndex)
            return null;

        _lastIndex = last.Index;
        return last.HeapSizeBytes - last.FragmentedBytes;
    }

    /// <summary>Memory of this process alone: mapped files, such as a spool, are the kernel's to take back.</summary>
    public static double? PrivateBytes()
    {
        const string path = "/proc/self/status";
        const string key = "RssAnon:";
        var line = File.Exists(path)
            ? File.ReadLines(path).FirstOrDefault(one => one.StartsWith(key, StringComparison.Ordinal))
            : null;
        return line is not null && long.TryParse(
            line.AsSpan(key.Length).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture, out var kib)
            ? kib * 1024.0
            : null;
    }

    private static GaugeSummary Summarize(string name, Gauge gauge)
    {
        var warm = gauge.Samples[^1].Seconds * WarmUpShare;
        var settled = gauge.Samples.Where(sample => sample.Seconds >= warm).ToList();
        var slope = settled[^1].Seconds - settled[0].Seconds >= SecondsMin ? RobustSlope.Of(settled) : null;
        var level = settled.Average(sample => Math.Abs(sample.Value));
        var trend = slope switch
        {
            null => "too short",
            { } one when Math.Abs(one.PerSecond * 3600) <= level * FlatShare => "flat",
            { Low: > 0 } => "grows",
            { High: < 0 } => "falls",
            _ => "flat",
        };
        return new(
            name, name is Memory or Heap or Database ? "bytes" : "count", gauge.Samples[0].Value,
            gauge.Samples[^1].Value, gauge.Max, slope?.PerSecond * 3600, slope?.Low * 3600, slope?.High * 3600, trend,
            settled.Count);
    }

    private sealed class Gauge
    {
        private long _seen;
        private int _every = 1;

        public List<(double Seconds, double Value)> Samples { get; private set; } = [];

        public double Max { get; private set; } = double.NegativeInfinity;

        public void Add(TimeSpan elapsed, double value)
        {
            Max = Math.Max(Max, value);
            if (_seen++ % _every != 0)
                return;

            Samples.Add((elapsed.TotalSeconds, value));
            if (Samples.Count < SamplesMax)
                return;

            Samples = [.. Samples.Where((_, place) => place % 2 == 0)];
            _every *= 2;
        }
    }
}
