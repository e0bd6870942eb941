using System.Collections.Immutable;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Load;

/// <summary>Draws values in proportion to their weights.</summary>
/// <remarks>A value after its making; any thread with its own stream. Memory: one double per value.</remarks>
public sealed class WeightedSampler
{
    private readonly double[] _upTo;

    public WeightedSampler(IEnumerable<double> weights)
    {
        var sum = 0.0;
        _upTo = [.. weights.Select(weight => sum += weight)];
    }

    public int Next(RandomStream random)
    {
        var place = Array.BinarySearch(_upTo, random.NextShare() * _upTo[^1]);

        // A draw that hits a boundary exactly belongs to the next value; values without weight are never drawn.
        place = place < 0 ? ~place : place + 1;
        place = Math.Min(place, _upTo.Length - 1);
        while (place > 0 && _upTo[place] == _upTo[place - 1])
            place--;
        return place;
    }

    /// <summary>The devices' popularity, most popular first.</summary>
    public static WeightedSampler Of(DeviceChoice choice, int devices) => new(WeightsOf(choice, devices));

    public static IEnumerable<double> WeightsOf(DeviceChoice choice, int devices) => choice switch
    {
        DeviceChoice.Zipf zipf => Enumerable.Range(1, devices).Select(rank => Math.Pow(rank, -zipf.Exponent)),
        DeviceChoice.Hot hot when hot.Devices < devices => Enumerable.Range(0, devices)
            .Select(place => place < hot.Devices ? hot.Share / hot.Devices : (1 - hot.Share) / (devices - hot.Devices)),
        _ => Enumerable.Repeat(1.0, devices),
    };
}

/// <summary>Draws allocation sizes.</summary>
public sealed class SizeSampler(ImmutableArray<Weighted<long>> sizes)
{
    private readonly WeightedSampler _weights = new(sizes.Select(size => size.Weight));

    public long NextBytes(RandomStream random) => sizes[_weights.Next(random)].Value;
}

/// <summary>Draws how long an allocation is held.</summary>
public static class HoldSampler
{
    public static TimeSpan Next(this HoldTime hold, RandomStream random) => hold switch
    {
        HoldTime.Uniform uniform => uniform.Min + ((uniform.Max - uniform.Min) * random.NextShare()),
        HoldTime.Exponential exponential =>
            Shorter(exponential.Max, exponential.Mean * -Math.Log(1 - random.NextShare())),
        HoldTime.Constant constant => constant.Value,
        _ => throw new ArgumentOutOfRangeException(nameof(hold)),
    };

    private static TimeSpan Shorter(TimeSpan left, TimeSpan right) => left < right ? left : right;
}
