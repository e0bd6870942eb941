using CsCheck;
using Fleet.Kernel;

namespace Fleet.Agreement.Tests;

internal enum MoveKind { Alloc, Free, FreeAgain, Write, Read, Unbind, Bind }

/// <summary>One operation of a sequence.</summary>
/// <param name="Pick">Which allocation, modulo those there are.</param>
/// <param name="Pages">Of an alloc; 0 asks for no memory at all.</param>
internal readonly record struct Move(MoveKind Kind, int Pick, int Pages)
{
    public static Gen<Move> Any { get; } = Gen.Select(
        Gen.Frequency(
            (8, Gen.Const(MoveKind.Alloc)), (5, Gen.Const(MoveKind.Free)), (1, Gen.Const(MoveKind.FreeAgain)),
            (3, Gen.Const(MoveKind.Write)), (3, Gen.Const(MoveKind.Read)), (2, Gen.Const(MoveKind.Unbind)),
            (2, Gen.Const(MoveKind.Bind))),
        Gen.Int[0, 63],
        Gen.Int[1, 18],
        (kind, pick, pages) => new Move(kind, pick, pages));
}

/// <summary>What an operation came to, as every engine tells it.</summary>
/// <param name="IsOpen">An unbind waits: this one, or one before it.</param>
internal readonly record struct Result(
    Errno Err, long Number, ulong Address, int Resource, int Owner, ulong Tag, bool IsOpen)
{
    public static Result None => new(Errno.OK, 0, 0, -1, -1, 0, false);
}

/// <summary>One engine with one device of its own.</summary>
internal interface IEngine
{
    ValueTask<Result> Alloc(ulong sizeBytes);

    ValueTask<Result> Free(Held held);

    ValueTask<Result> Access(Held held, ulong tag);

    ValueTask<Result> Bind();

    ValueTask<Result> Unbind();

    /// <summary>Whether the ticket that was begun last has not ended, once everything is still.</summary>
    /// <param name="isExpected">What the engine before said; a live one has no other way to know when to look.</param>
    ValueTask<bool> IsOpen(bool isExpected);
}

/// <summary>An allocation as the first engine gave it.</summary>
internal sealed record Held(long Number, ulong Address, ulong SizeBytes, int Resource);
