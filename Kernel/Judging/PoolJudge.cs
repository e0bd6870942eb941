using System.Numerics;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Judging;

/// <summary>Judges the allocator and who pins what: I16 to I18, I21 to I23.</summary>
/// <remarks>
/// Keeps the chunks in the order in which they were added and looks for the place of an allocation by itself, granule
/// by granule. What a sequential history decides is judged only where no other alloc or free of the pool overlapped; an
/// equivalent schedule may overlap where this one does not, so the reduction can hide such a case but not invent one.
/// Concurrency: the scheduler's thread.
/// </remarks>
internal sealed class PoolJudge(WorldJudge judge)
{
    private readonly List<Chunk> _chunks = [];
    private readonly ulong[] _expected = new ulong[WorldJudge.ActorsMax];
    private readonly RefObject?[] _lastTried = new RefObject?[WorldJudge.ActorsMax];
    private readonly RefObject?[] _lastPut = new RefObject?[WorldJudge.ActorsMax];
    private ulong _alone;
    private ulong _testedClear;
    private ulong _returned;
    private ulong _putAfterReturn;
    private int _open;

    private readonly record struct Chunk(ulong Start, ulong SizeBytes, RefObject? Owner)
    {
        internal bool Contains(ulong address) => address >= Start && address - Start < SizeBytes;
    }

    /// <summary>The p2pdma field was cleared and not set again.</summary>
    internal bool IsCleared { get; set; }

    internal void Reset()
    {
        _chunks.Clear();
        Array.Clear(_lastTried);
        Array.Clear(_lastPut);
        _alone = 0;
        _testedClear = 0;
        _returned = 0;
        _putAfterReturn = 0;
        _open = 0;
        IsCleared = false;
    }

    internal void OnChunk(ulong start, ulong sizeBytes, RefObject? owner) => _chunks.Add(new(start, sizeBytes, owner));

    /// <summary>Nothing that an actor's alloc or free left behind is looked at again: states may be told apart by it.
    /// </summary>
    internal void OnReturned(int actor)
    {
        _lastTried[actor] = null;
        _lastPut[actor] = null;
        _expected[actor] = 0;
        _testedClear &= ~(1UL << actor);
        _alone &= ~(1UL << actor);
    }

    /// <summary>A client's first look at the field.</summary>
    internal void OnFieldTest(int actor) =>
        _testedClear = IsCleared ? _testedClear | (1UL << actor) : _testedClear & ~(1UL << actor);

    internal void OnTryGetLive(int actor, RefObject tried) => _lastTried[actor] = tried;

    internal void OnPut(int actor, RefObject put)
    {
        _lastPut[actor] = put;
        _putAfterReturn = (_returned & (1UL << actor)) != 0
            ? _putAfterReturn | (1UL << actor)
            : _putAfterReturn & ~(1UL << actor);
    }

    internal void OnAllocBegin(int actor, P2pPool pool, ulong sizeBytes)
    {
        _alone = _open++ == 0 ? 1UL << actor : 0;
        _expected[actor] = PlaceFor(pool, sizeBytes);
    }

    internal void OnAllocEnd(int actor, P2pPool pool, bool succeeded, ulong address)
    {
        _open--;
        if ((_alone & (1UL << actor)) != 0)
        {
            judge.BreakIf(!succeeded && _expected[actor] != 0, KernelRule.SpuriousNullAllowed);
            judge.BreakIf(succeeded && address != _expected[actor], KernelRule.SelectRule);
        }

        CheckAvailable(pool);
    }

    internal void OnFreeBegin(int actor, P2pPool pool)
    {
        _alone = 0;
        _open++;
        _returned &= ~(1UL << actor);
    }

    internal void OnFreeEnd(int actor, ulong address, RefObject? owner, bool succeeded)
    {
        _open--;
        if (!succeeded)
        {
            return;
        }

        _returned |= 1UL << actor;
        foreach (var chunk in _chunks)
        {
            judge.BreakIf(
                chunk.Contains(address) && !ReferenceEquals(chunk.Owner, owner), KernelRule.OwnerRoundtrip);
        }
    }

    internal void OnDestroy(P2pPool pool)
    {
        CheckAvailable(pool);
        _chunks.Clear();
    }

    /// <param name="shared">The device's one ref, where chunks have no owners.</param>
    internal void OnAllocated(int actor, in P2pAllocation allocation, RefObject? shared)
    {
        judge.BreakIf((_testedClear & (1UL << actor)) != 0, KernelRule.NoAllocAfterClear);
        foreach (var chunk in _chunks)
        {
            if (chunk.Contains(allocation.Address))
            {
                judge.BreakIf(!ReferenceEquals(chunk.Owner, allocation.Owner), KernelRule.OwnerRoundtrip);
                judge.BreakIf(
                    !ReferenceEquals(_lastTried[actor], chunk.Owner ?? shared), KernelRule.AllocPinsItsResource);
            }
        }
    }

    internal void OnFreed(int actor, in P2pAllocation allocation, RefObject? shared)
    {
        judge.BreakIf(
            !ReferenceEquals(_lastPut[actor], allocation.Owner ?? shared)
            || (_putAfterReturn & (1UL << actor)) == 0,
            KernelRule.AllocPinsItsResource);
        _returned &= ~(1UL << actor);
        _putAfterReturn &= ~(1UL << actor);
    }

    /// <summary>I18: what is free is what no bit says is taken, once nobody is inside.</summary>
    private void CheckAvailable(P2pPool pool)
    {
        if (_open != 0)
        {
            return;
        }

        for (var chunk = pool.Pool.Newest; chunk is not null; chunk = chunk.Next)
        {
            var taken = 0UL;
            for (var word = 0L; word * 64 < chunk.GranuleCount; word++)
            {
                taken += (ulong)BitOperations.PopCount(chunk.Bitmap.Read(word)) * DevPagemap.PageBytes;
            }

            judge.BreakIf(chunk.AvailBytes != chunk.SizeBytes - taken, KernelRule.AvailQuiescent);
        }
    }

    /// <summary>I17: the lowest place in the newest chunk that has one; 0 for none.</summary>
    private ulong PlaceFor(P2pPool pool, ulong sizeBytes)
    {
        var wanted = (sizeBytes + DevPagemap.PageBytes - 1) / DevPagemap.PageBytes;
        for (var i = _chunks.Count - 1; i >= 0; i--)
        {
            var (start, size, _) = _chunks[i];
            var bits = pool.Pool.Newest;
            while (bits is not null && bits.Start != start)
            {
                bits = bits.Next;
            }

            if (bits is null || sizeBytes > bits.AvailBytes)
            {
                continue;
            }

            var run = 0UL;
            for (var granule = 0UL; granule < size / DevPagemap.PageBytes; granule++)
            {
                var isTaken = (bits.Bitmap.Read((long)(granule >> 6)) >> (int)(granule & 63) & 1) != 0;
                run = isTaken ? 0 : run + 1;
                if (run == wanted)
                {
                    return start + (granule + 1 - wanted) * DevPagemap.PageBytes;
                }
            }
        }

        return 0;
    }
}
