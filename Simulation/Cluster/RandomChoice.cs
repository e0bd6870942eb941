using Fleet.Kernel;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Cluster;

/// <summary>The choices of one concern: one more draw in one place moves no other choice.</summary>
/// <remarks>Concurrency: the simulation's one thread.</remarks>
internal sealed class RandomChoice
{
    private ChoiceStream _stream;

    public RandomChoice(ulong seed, string concern, int number = 0)
    {
        var hash = StateHash.Seed;
        StateHash.Mix(ref hash, seed);
        foreach (var letter in concern)
        {
            StateHash.Mix(ref hash, (ulong)letter);
        }

        StateHash.Mix(ref hash, (long)number);
        _stream = new(hash);
    }

    /// <summary>From 0 up to, not including, 1.</summary>
    public double Share() => (_stream.Next() >> 11) * (1.0 / (1UL << 53));

    public int Below(int bound) => _stream.Below(bound);

    /// <summary>Nanoseconds between the two, evenly.</summary>
    public long Between(TimeSpan least, TimeSpan most) =>
        Nanoseconds(least) + (long)(Share() * (Nanoseconds(most) - Nanoseconds(least)));

    /// <summary>Nanoseconds with the given mean, as between events that do not know each other.</summary>
    public long Exponential(TimeSpan mean) => (long)(-Math.Log(1 - Share()) * Nanoseconds(mean));

    public static long Nanoseconds(TimeSpan span) => span.Ticks * 100;
}

/// <summary>Draws places in proportion to their weights.</summary>
internal sealed class WeightedChoice
{
    private readonly double[] _upTo;

    public WeightedChoice(IEnumerable<double> weights)
    {
        var sum = 0.0;
        _upTo = [.. weights.Select(weight => sum += weight)];
    }

    public int Next(RandomChoice random)
    {
        var drawn = random.Share() * _upTo[^1];
        var (low, high) = (0, _upTo.Length - 1);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            (low, high) = _upTo[middle] > drawn ? (low, middle) : (middle + 1, high);
        }

        return low;
    }
}
