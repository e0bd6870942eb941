using System.Numerics;

namespace Fleet.Kernel;

/// <summary>Folds words of state into a 64-bit digest that is the same in every process and every run.</summary>
/// <remarks>
/// For a model checker that must recognise a state it has seen. Order of the words matters; 0 is a word like any other.
/// The library's own hash codes differ from process to process, so they are banned here.
/// </remarks>
public static class StateHash
{
    /// <summary>The digest of nothing.</summary>
    public const ulong Seed = 0x9E37_79B9_7F4A_7C15;

    /// <summary>Folds one word in; a bijection of <paramref name="hash"/> for a given word.</summary>
    public static void Mix(ref ulong hash, ulong value) =>
        hash = unchecked(
            (BitOperations.RotateLeft(hash ^ (value * 0xC2B2_AE3D_27D4_EB4F), 31) * 0x9E37_79B1_85EB_CA87)
            + 0x27D4_EB2F_1656_67C5);

    /// <summary>Folds one signed word in.</summary>
    public static void Mix(ref ulong hash, long value) => Mix(ref hash, unchecked((ulong)value));
}
