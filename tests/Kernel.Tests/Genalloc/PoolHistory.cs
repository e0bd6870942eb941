namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>One operation of a caller on a pool of one chunk, with the moments of its call and its return.</summary>
/// <param name="First">Granule at which the block begins; null for an allocation that was refused.</param>
/// <param name="Called">Before everything that it did; moments are numbered and never equal.</param>
/// <param name="Returned">After everything that it did.</param>
internal sealed record PoolOperation(bool IsAlloc, int Granules, int? First, long Called, long Returned)
{
    public bool Overlaps(PoolOperation other) => Called < other.Returned && other.Called < Returned;
}

/// <summary>Judges histories of a first-fit pool of one chunk, of at most 128 granules.</summary>
/// <remarks>
/// Every operation must seem to happen at one moment between its call and its return, with the allowances of
/// kernel-model B.2 and I21: beside others an allocation may be refused although there was room, and may land at
/// another free place than the lowest; alone it may not. Method: Wing and Gong's search; states that failed are
/// remembered.
/// </remarks>
internal sealed class PoolHistory(int granules, PoolOperation[] operations)
{
    private readonly HashSet<(ulong Done, UInt128 Busy)> _failed = [];
    private readonly bool[] _isAlone =
        [.. operations.Select(one => !operations.Any(other => other != one && one.Overlaps(other)))];

    /// <summary>Whether some order of the operations explains every answer.</summary>
    public bool IsLinearizable(UInt128 busy) => Explains(0, busy);

    private bool Explains(ulong done, UInt128 busy)
    {
        if (System.Numerics.BitOperations.PopCount(done) == operations.Length)
        {
            return true;
        }

        if (_failed.Contains((done, busy)))
        {
            return false;
        }

        // What may come next was called before anything that is left returned.
        var until = operations.Where((_, i) => (done & (1UL << i)) == 0).Min(one => one.Returned);
        for (var i = 0; i < operations.Length; i++)
        {
            if ((done & (1UL << i)) == 0 && operations[i].Called < until
                && After(operations[i], _isAlone[i], busy) is { } next && Explains(done | (1UL << i), next))
            {
                return true;
            }
        }

        _failed.Add((done, busy));
        return false;
    }

    /// <summary>The granules in use after an operation; null where it cannot have happened now.</summary>
    private UInt128? After(PoolOperation one, bool isAlone, UInt128 busy)
    {
        if (one.First is not { } first)
        {
            return isAlone && Lowest(one.Granules, busy) is not null ? null : busy;
        }

        var block = Block(first, one.Granules);
        if (!one.IsAlloc)
        {
            return (busy & block) == block ? busy & ~block : null;
        }

        var isTaken = (busy & block) != 0 || first + one.Granules > granules;
        return isTaken || (isAlone && Lowest(one.Granules, busy) != first) ? null : busy | block;
    }

    private int? Lowest(int count, UInt128 busy)
    {
        for (var first = 0; first + count <= granules; first++)
        {
            if ((busy & Block(first, count)) == 0)
            {
                return first;
            }
        }

        return null;
    }

    private static UInt128 Block(int first, int count) => ((UInt128.One << count) - 1) << first;
}
