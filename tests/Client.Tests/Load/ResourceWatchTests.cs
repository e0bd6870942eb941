using Fleet.Client.Load;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class ResourceWatchTests
{
    // Goal: a straight line is found under noise and spikes, and its interval holds it.
    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    [InlineData(-3)]
    public void A_slope_is_found_under_noise_and_spikes(double perSecond)
    {
        var random = new RandomStream(5, "noise", 0);
        var readings = Enumerable.Range(0, 300).Select(second =>
        {
            var spike = random.NextShare() < 0.05 ? 500 : 0;
            return ((double)second, 1000 + (perSecond * second) + (20 * random.NextShare()) + spike);
        }).ToList();

        var slope = RobustSlope.Of(readings)!.Value;

        Assert.InRange(slope.PerSecond, perSecond - 0.02, perSecond + 0.02);
        Assert.InRange(perSecond, slope.Low, slope.High);
    }

    [Fact]
    public void A_few_readings_have_no_slope() =>
        Assert.Null(RobustSlope.Of([.. Enumerable.Range(0, RobustSlope.BlocksMin - 1).Select(x => ((double)x, 1.0))]));

    // Goal: memory stays fixed however long it watches, and a leak is told from a level.
    [Fact]
    public async Task A_gauge_that_grows_is_told_from_one_that_only_warmed_up()
    {
        var at = TimeSpan.Zero;
        var watch = new ResourceWatch(_ => Task.FromResult<IReadOnlyList<(string, double)>>(
            [("leak", 1000 + at.TotalSeconds), ("warm", Math.Min(at.TotalSeconds, 400) + 1000)]));
        for (var sample = 0; sample < 2.2 * ResourceWatch.SamplesMax; sample++) // Twice half of them is dropped.
        {
            at = TimeSpan.FromSeconds(sample);
            await watch.SampleAsync(at, default);
        }

        var gauges = watch.Summarize().ToDictionary(gauge => gauge.Name);

        Assert.Equal(("grows", 3600), (gauges["leak"].Trend, Math.Round(gauges["leak"].PerHour!.Value)));
        Assert.Equal("flat", gauges["warm"].Trend);
        Assert.All(
            gauges.Values.Where(gauge => gauge.Name != ResourceWatch.Heap), // It is read once in ten seconds.
            gauge => Assert.InRange(gauge.Samples, 100, ResourceWatch.SamplesMax));
        Assert.True(watch.MaxOf(ResourceWatch.Memory) > 0);
    }
}
