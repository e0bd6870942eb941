namespace Fleet.Simulation.Exploration;

/// <summary>
/// A stream of choices that a seed decides: the same in every process, on every machine, in every release.
/// </summary>
/// <remarks>
/// SplitMix64: one add and one mix for each number; period 2^64. Source: Steele, Lea, Flood, OOPSLA 2014.
/// </remarks>
public struct ChoiceStream(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        unchecked
        {
            _state += 0x9E37_79B9_7F4A_7C15;
            var z = _state;
            z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
            z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
            return z ^ (z >> 31);
        }
    }

    /// <summary>A number below <paramref name="bound"/>; the bias of 2^-32 at most is of no matter here.</summary>
    public int Below(int bound) => (int)((Next() >> 32) * (ulong)bound >> 32);
}
