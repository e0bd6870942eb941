namespace Fleet.Client.Load;

/// <summary>Random choices of one concern, drawn from the run's one seed.</summary>
/// <remarks>
/// Each concern (a client, the choice of faults, …) has a stream of its own, so that one more draw in one place moves
/// no other
/// choice. Source: xoshiro256** seeded by splitmix64 (Blackman, Vigna). Not for secrets. Concurrency: one owner.
/// </remarks>
public sealed class RandomStream
{
    private ulong _a;
    private ulong _b;
    private ulong _c;
    private ulong _d;

    /// <param name="number">Distinguishes streams of one concern, for example the client's number.</param>
    public RandomStream(ulong seed, string concern, int number)
    {
        var state = seed;
        foreach (var letter in concern)
            state = Mix(unchecked(state + letter));
        state = Mix(unchecked(state + ((ulong)(uint)number * 0x9e3779b97f4a7c15)));
        _a = Step(ref state);
        _b = Step(ref state);
        _c = Step(ref state);
        _d = Step(ref state);
    }

    public ulong NextBits()
    {
        unchecked
        {
            var result = ulong.RotateLeft(_b * 5, 7) * 9;
            var shifted = _b << 17;
            _c ^= _a;
            _d ^= _b;
            _b ^= _c;
            _a ^= _d;
            _c ^= shifted;
            _d = ulong.RotateLeft(_d, 45);
            return result;
        }
    }

    /// <summary>From 0 up to, not including, 1.</summary>
    public double NextShare() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>From 0 up to, not including, <paramref name="count"/>; without bias that a run could notice.</summary>
    public int NextIndex(int count) => (int)Math.BigMul(NextBits(), (ulong)count, out _);

    private static ulong Step(ref ulong state)
    {
        state = unchecked(state + 0x9e3779b97f4a7c15);
        return Mix(state);
    }

    private static ulong Mix(ulong value)
    {
        unchecked
        {
            value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
            value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
            return value ^ (value >> 31);
        }
    }
}
