using System.Numerics;

namespace Fleet.Kernel.Host;

/// <summary>
/// A set of at most one bit, kept as a byte: every object has some, and where nobody schedules they are empty.
/// </summary>
internal static class SetOfOne
{
    /// <param name="kept">0 for the empty set, else the number of its bit from 1.</param>
    public static ulong Of(byte kept) => kept == 0 ? 0 : 1UL << (kept - 1);

    /// <exception cref="ArgumentException">A set of several.</exception>
    public static byte Kept(ulong set)
    {
        if (BitOperations.PopCount(set) > 1)
        {
            throw new ArgumentException($"{set:x} is a set of several.", nameof(set));
        }

        return (byte)(set == 0 ? 0 : BitOperations.TrailingZeroCount(set) + 1);
    }
}
