using System.Collections.Immutable;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class ThresholdTests
{
    private readonly LoadCounters _counters = new();
    private readonly LatencyRecorder _latency = new();

    [Theory]
    [InlineData("metric: response.p50, of: alloc, below: 51ms", ThresholdState.Met, 50.0)]
    [InlineData("metric: response.p99, of: alloc, below: 50ms", ThresholdState.Missed, 99.0)]
    [InlineData("metric: response.max, of: alloc, below: 101ms", ThresholdState.Met, 100.0)]
    [InlineData("metric: service.max, of: alloc, below: 51ms", ThresholdState.Met, 50.0)]
    [InlineData("metric: lag.max, below: 10ms", ThresholdState.Missed, 50.0)]
    [InlineData("metric: lag, below: 1s", ThresholdState.Met, 49.5)]
    [InlineData("metric: unbind.p99, below: 1s", ThresholdState.NoData, null)]
    [InlineData("metric: refusals, of: alloc, below: 0.2", ThresholdState.Met, 0.1)]
    [InlineData("metric: errors, of: alloc, below: 0.05", ThresholdState.Missed, 0.05)]
    [InlineData("metric: unknown, below: 0.1", ThresholdState.Met, 0.02)]
    [InlineData("metric: achieved, above: 0.98", ThresholdState.Missed, 0.9)]
    [InlineData("metric: rate, above: 9", ThresholdState.Met, 10.0)]
    [InlineData("metric: findings, below: 1", ThresholdState.Met, 0.0)]
    [InlineData("metric: probes, of: free-ends-wait, above: 3", ThresholdState.Missed, 3.0)]
    [InlineData("metric: memory.max, below: 1GiB", ThresholdState.Met, 1048576.0)]
    [InlineData("metric: memory.slope, below: 1MiB", ThresholdState.Missed, 2097152.0)]
    [InlineData("metric: handles.slope, below: 5", ThresholdState.NoData, null)]
    [InlineData("metric: findings, below: 1, after: 11s", ThresholdState.TooEarly, null)]
    public void Each_metric_is_held_against_its_figure(string text, ThresholdState state, double? value)
    {
        Measure();

        var result = Assert.Single(ThresholdWatch.Judge(Read(text), Figures()));

        Assert.Equal(state, result.State);
        Assert.Equal(value ?? -1, result.Value ?? -1, value > 1000 ? 0.0 : 0.2);
    }

    [Theory]
    [InlineData("metric: response.p98, below: 5ms", "thresholds.0.metric is 'response.p98'; accepted: response.p50, ")]
    [InlineData("metric: achieved, above: 98", "thresholds.0.above is '98'; accepted: a number from 0 to 1")]
    [InlineData("metric: memory.slope, below: 5", "thresholds.0.below is '5'; accepted: a size such as")]
    [InlineData("metric: probes, of: nothing, above: 5", "thresholds.0.of is 'nothing'; accepted: alloc-between-")]
    [InlineData("metric: probes, above: 5", "thresholds.0.of is missing; accepted: a probe: ")]
    [InlineData("metric: lag, below: 5ms, above: 1ms", "thresholds.0 needs one of below and above; accepted: ")]
    [InlineData(
        "metric: memory.slope, below: 5MiB, abortOnFail: true",
        "thresholds.0.abortOnFail is true for memory.slope, which is known only at the end; accepted: ")]
    [InlineData("metric: lag, of: alloc, below: 5ms", "unknown key 'thresholds.0.of'; accepted: ")]
    public void A_threshold_that_cannot_be_held_is_refused_with_what_could(string text, string sentence) =>
        Assert.Contains(
            sentence, Assert.Throws<UsageException>(() => Read(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_probe_that_nobody_counts_is_refused() =>
        Assert.Contains(
            "probes.require is 'never'; accepted: alloc-between-kill-and-wait-end, ",
            Assert.Throws<UsageException>(() => ScenarioFile.ReadScenario(
                "smoke", [ScenarioOverride.Parse("probes={ require: [never] }")])).Message,
            StringComparison.Ordinal);

    // Goal: what one reader takes is not missing from another's view, nor from the total.
    [Fact]
    public void Windows_and_the_total_see_every_value_once()
    {
        var left = _latency.OpenWindow();
        Record(OperationKind.Alloc, 10, 10, Errno.OK);
        var right = _latency.OpenWindow();
        Record(OperationKind.Alloc, 20, 10, Errno.OK);
        _latency.Update(left);
        _latency.Update(right);

        Assert.Equal(2, left.Of("response", "alloc").TotalCount);
        Assert.Equal(1, right.Of("response", "alloc").TotalCount);
        Assert.Equal(2, _latency.All().First(one => one is { Metric: "response", Of: "alloc" }).Histogram.TotalCount);

        left.Clear();
        Record(OperationKind.Alloc, 30, 10, Errno.OK);
        _latency.Update(left);
        Assert.Equal(1, left.Of("response", "alloc").TotalCount);
        Assert.Equal(30, _latency.PercentileMs("response", "alloc", 100)!.Value, 0.1);
    }

    [Fact]
    public void Histograms_of_two_generators_merge_exactly()
    {
        var other = new LatencyRecorder();
        var random = new RandomStream(1, "test", 0);
        var both = new LatencyRecorder();
        for (var number = 0; number < 2_000; number++)
        {
            var operation = Of(OperationKind.Free, 0.01 + (100 * random.NextShare()), 0, Errno.OK);
            (number % 3 == 0 ? other : _latency).Record(operation);
            both.Record(operation);
        }

        foreach (var (metric, of, histogram) in other.All())
            _latency.Merge(metric, of, histogram);

        foreach (var (merged, whole) in _latency.All().Zip(both.All()))
            Assert.Equal(CountsOf(whole.Histogram), CountsOf(merged.Histogram));
    }

    /// <summary>100 allocs of 1…100 ms, sent half of that late: 10 refused, 5 in error; 2 unknown.</summary>
    private void Measure()
    {
        for (var ms = 1; ms <= 100; ms++)
            Record(OperationKind.Alloc, ms, ms / 2.0, ms <= 10 ? Errno.ENODEV : ms <= 15 ? Errno.EFAULT : Errno.OK);
    }

    private void Record(OperationKind kind, double responseMs, double lateMs, Errno errno)
    {
        var operation = Of(kind, responseMs, lateMs, errno);
        if (responseMs is 99 or 100)
            operation.Outcome = OperationOutcome.Unknown;
        _counters.Count(operation);
        _latency.Record(operation);
    }

    private static Operation Of(OperationKind kind, double responseMs, double lateMs, Errno errno) => new()
    {
        Kind = kind,
        Err = errno,
        Outcome = errno is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
        SentNs = (long)(lateMs * 1e6),
        DoneNs = (long)(responseMs * 1e6),
    };

    private static List<(long, long)> CountsOf(HdrHistogram.HistogramBase histogram) =>
        [.. histogram.RecordedValues().Select(value => (value.ValueIteratedTo, value.CountAtValueIteratedTo))];

    private ThresholdFigures Figures() => new(
        _counters, _latency, TimeSpan.FromSeconds(10), 0.9, TimeSpan.FromMilliseconds(3), 0,
        new Dictionary<string, long> { ["free-ends-wait"] = 3 }, 1 << 20,
        [
            new(ResourceWatch.Memory, "bytes", 1, 1, 1, 2 << 20, 1, 2, "grows", 100),
            new("handles", "count", 1, 1, 1, null, null, null, "too short", 3),
        ]);

    private static ImmutableArray<Threshold> Read(string text) => ScenarioFile.ReadScenario(
        "smoke", [ScenarioOverride.Parse($"thresholds=[ {{ {text} }} ]")]).Thresholds;
}
