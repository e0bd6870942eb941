using static Fleet.Kernel.Tests.Genalloc.PoolUnderTest;

namespace Fleet.Kernel.Tests.Genalloc;

[Trait("tier", "fast")]
public sealed class GenPoolThreadTests
{
    private const int Operations = 60_000;

    // Goal: the word operations are atomic on a real machine, growth of the bitmap included.
    // Method: two threads allocate and free at random in two chunks; every granule has one holder, told by a
    // compare-and-swap.
    // A refusal is never wrong (B.2 allows spurious ones); when all is quiet, counts are exact and nothing is
    // allocated.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Two_threads_never_share_a_granule(uint seed)
    {
        var pool = new GenPool(Granule);
        var starts = new[] { Base, Base + (1UL << 30) };
        pool.AddOwner(starts[0], 0, 70 * Granule, 0);
        pool.AddOwner(starts[1], 0, 700 * Granule, 1);
        var holders = new[] { new int[70], new int[700] };
        var faults = new string?[2];
        using var start = new Barrier(2);
        var threads = new[] { 0, 1 }.Select(name => new Thread(() =>
        {
            start.SignalAndWait();
            faults[name] = Run(pool, starts, holders, name + 1, seed * 7919 + (uint)name);
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());

        Assert.All(faults, Assert.Null);
        Assert.Equal(pool.SizeBytes, pool.AvailBytes);
        Assert.Equal(GenPoolFault.None, pool.Destroy());
    }

    // Goal: a compare-and-swap that another thread's bit upset is tried again, not taken for a success or a collision.
    // Method: each of two threads sets and clears a bit of its own, again and again, in one word.
    [Fact]
    public void Two_threads_in_one_word_lose_no_bit()
    {
        const int Rounds = 200_000;
        var pool = With(64, []);
        var faults = new int[2];
        using var together = new Barrier(2);
        var threads = new[] { 0, 1 }.Select(name => new Thread(() =>
        {
            together.SignalAndWait();
            var algorithm = GenPoolAlgorithm.Fixed((ulong)name * Granule);
            for (var i = 0; i < Rounds && faults[name] == 0; i++)
            {
                var taken = pool.AllocAlgoOwner(Granule, algorithm);
                faults[name] = taken.Succeeded && pool.FreeOwner(taken.Address, Granule).Fault is GenPoolFault.None
                    ? 0
                    : i + 1;
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());

        Assert.Equal([0, 0], faults);
        Assert.Equal(pool.SizeBytes, pool.AvailBytes);
    }

    // Goal: growth loses no bit that another thread sets at the same time.
    // Method: two threads touch different words of one part of the bitmap that does not exist yet, again and again.
    [Fact]
    public void Two_threads_that_grow_a_bitmap_at_once_lose_nothing()
    {
        const int Rounds = 2000;
        var pools = Enumerable.Range(0, Rounds).Select(_ => With(4096, [])).ToArray();
        using var together = new Barrier(2);
        var threads = new[] { 1000, 1100 }.Select(granule => new Thread(() =>
        {
            foreach (var pool in pools)
            {
                together.SignalAndWait();
                pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed((ulong)granule * Granule));
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());

        Assert.All(pools, pool => Assert.Equal([new(1000, 1), new(1100, 1)], pool.Chunks.Single().BusyRuns()));
    }

    private static string? Run(GenPool pool, ulong[] starts, int[][] holders, int name, uint seed)
    {
        var random = seed | 1;
        var live = new List<(ulong Address, ulong Size, object Owner)>();
        for (var i = 0; i < Operations || live.Count > 0; i++)
        {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            if (i < Operations && (live.Count == 0 || (random & 1) == 0))
            {
                var size = ((random >> 8) % 9 * Granule) + 1;
                var alloc = pool.AllocAlgoOwner(size, ((random >> 3) & 3) switch
                {
                    0 => GenPoolAlgorithm.BestFit,
                    1 => GenPoolAlgorithm.FirstFitOrderAlign,
                    2 => GenPoolAlgorithm.FirstFitAlign(4 * Granule),
                    _ => GenPoolAlgorithm.FirstFit,
                });
                if (alloc.Fault is not GenPoolFault.None)
                {
                    return $"alloc {i}: {alloc.Fault}";
                }

                if (!alloc.Succeeded)
                {
                    continue;
                }

                if (Hold(starts, holders, alloc.Address, size, (int)alloc.Owner!, 0, name) is { } fault)
                {
                    return fault;
                }

                live.Add((alloc.Address, size, alloc.Owner!));
            }
            else
            {
                var index = (int)((random >> 4) % (uint)live.Count);
                var (address, size, owner) = live[index];
                live[index] = live[^1];
                live.RemoveAt(live.Count - 1);
                if (Hold(starts, holders, address, size, (int)owner, name, 0) is { } fault)
                {
                    return fault;
                }

                var free = pool.FreeOwner(address, size);
                if (free.Fault is not GenPoolFault.None || !ReferenceEquals(free.Owner, owner))
                {
                    return $"free {i}: {free}";
                }
            }
        }

        return null;
    }

    private static string? Hold(
        ulong[] starts, int[][] holders, ulong address, ulong size, int owner, int before, int after)
    {
        var first = (int)((address - starts[owner]) / Granule);
        var count = (int)((size + Granule - 1) / Granule);
        for (var i = first; i < first + count; i++)
        {
            var found = Interlocked.CompareExchange(ref holders[owner][i], after, before);
            if (found != before)
            {
                return $"granule {i} of chunk {owner} is held by {found}, expected {before}";
            }
        }

        return null;
    }
}
