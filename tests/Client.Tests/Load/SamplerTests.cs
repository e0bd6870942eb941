using CsCheck;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class SamplerTests
{
    private const int Draws = 40_000;

    [Fact]
    public void A_seed_makes_every_choice_again()
    {
        var left = new RandomStream(7, "client", 3);
        var right = new RandomStream(7, "client", 3);
        var other = new RandomStream(7, "client", 4);

        Assert.All(Enumerable.Range(0, 100), _ => Assert.Equal(left.NextBits(), right.NextBits()));
        Assert.NotEqual(left.NextBits(), other.NextBits());
    }

    // Goal: draws follow the weights, and what has no weight is never drawn.
    [Fact]
    public void Draws_follow_their_weights() =>
        Gen.Select(Gen.Int[0, 5].Array[1, 6].Where(weights => weights.Sum() > 0), Gen.ULong).Sample(
            (weights, seed) =>
            {
                var sampler = new WeightedSampler(weights.Select(weight => (double)weight));
                var random = new RandomStream(seed, "test", 0);
                var counts = new int[weights.Length];
                for (var draw = 0; draw < Draws; draw++)
                    counts[sampler.Next(random)]++;
                for (var place = 0; place < weights.Length; place++)
                {
                    var expected = (double)Draws * weights[place] / weights.Sum();
                    Assert.InRange(
                        counts[place], expected == 0 ? 0 : expected * 0.85 - 60, expected == 0 ? 0
                            : expected * 1.15 + 60);
                }
            },
            iter: 50);

    [Fact]
    public void The_most_popular_device_comes_first()
    {
        var zipf = WeightedSampler.Of(new DeviceChoice.Zipf(1), 100);
        var hot = WeightedSampler.Of(new DeviceChoice.Hot(2, 0.9), 100);
        var random = new RandomStream(1, "test", 0);

        var byZipf = Enumerable.Range(0, Draws).Select(_ => zipf.Next(random)).CountBy(device => device).ToDictionary();
        var toHot = Enumerable.Range(0, Draws).Count(_ => hot.Next(random) < 2);

        Assert.InRange((double)byZipf[0] / byZipf[9], 7, 14);
        Assert.InRange((double)toHot / Draws, 0.88, 0.92);
    }

    [Fact]
    public void Holds_stay_within_their_bounds()
    {
        var random = new RandomStream(1, "test", 0);
        var exponential = new HoldTime.Exponential(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(50));
        var uniform = new HoldTime.Uniform(TimeSpan.FromMilliseconds(3), TimeSpan.FromMilliseconds(4));

        var holds = Enumerable.Range(0, Draws).Select(_ => exponential.Next(random).TotalMilliseconds).ToList();

        Assert.Equal(50, holds.Max());
        Assert.InRange(holds.Average(), 17, 19.5);
        Assert.All(Enumerable.Range(0, 100), _ => Assert.InRange(uniform.Next(random).TotalMilliseconds, 3, 4));
    }
}
