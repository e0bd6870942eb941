using static Fleet.Kernel.Tests.Genalloc.PoolUnderTest;

namespace Fleet.Kernel.Tests.Genalloc;

[Trait("tier", "fast")]
public sealed class GenPoolMemoryTests
{
    private const ulong LargeBarBytes = 128UL << 30;

    [Fact]
    public void A_bitmap_grows_with_the_highest_granule_used_not_with_the_chunk()
    {
        var pool = new GenPool(Granule);
        pool.AddOwner(1UL << 40, 0, LargeBarBytes, null);
        for (var i = 0; i < 400; i++)
        {
            Assert.True(pool.AllocOwner(Granule).Succeeded);
        }

        Assert.InRange(pool.Chunks.Single().BitmapHeldBytes, 50, 400);
        var last = pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(LargeBarBytes - Granule));
        Assert.True(last.Succeeded);
        Assert.Equal([new(0, 400), new((long)(LargeBarBytes / Granule) - 1, 1)], pool.Chunks.Single().BusyRuns());
        Assert.InRange(pool.Chunks.Single().BitmapHeldBytes, 4 << 20, 9 << 20);
    }

    [Fact]
    public void A_search_passes_over_parts_that_were_never_used()
    {
        var pool = new GenPool(Granule);
        pool.AddOwner(1UL << 40, 0, LargeBarBytes, null);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(LargeBarBytes / 2));

        // The run after it is one granule shorter than the run before it.
        const long Middle = (long)(LargeBarBytes / 2 / Granule);
        Assert.Equal(Middle + 1, pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.BestFit).Index());
        Assert.Equal(0, pool.AllocAlgoOwner(LargeBarBytes / 2, GenPoolAlgorithm.FirstFit).Index());
        Assert.Equal(Middle + 2, pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.FirstFit).Index());
    }

    [Fact]
    public void Alloc_and_free_take_no_memory_once_a_pool_was_used()
    {
        var pool = With(512, []);
        pool.FreeOwner(pool.AllocOwner(Granule).Address, Granule);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            var alloc = pool.AllocOwner(3 * Granule);
            pool.FreeOwner(alloc.Address, 3 * Granule);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void The_digest_follows_the_state_and_nothing_else()
    {
        var (left, right) = (With(4096, []), With(4096, []));
        Assert.Equal(Digest(left), Digest(right));

        var low = left.AllocOwner(Granule);
        Assert.NotEqual(Digest(left), Digest(right));
        var high = left.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(4000 * Granule));
        left.FreeOwner(low.Address, Granule);
        left.FreeOwner(high.Address, Granule);
        Assert.Equal(Digest(left), Digest(right));
    }

    [Fact]
    public void Reset_makes_a_pool_new_and_takes_no_memory_for_a_chunk_of_the_same_size()
    {
        var pool = With(4096, [0, 1, 4000]);
        pool.Reset();
        Assert.Empty(pool.Chunks);
        var before = GC.GetAllocatedBytesForCurrentThread();
        pool.AddOwner(Base, 0, 4096 * Granule, null);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(pool.SizeBytes, pool.AvailBytes);
        Assert.Equal(Digest(With(4096, [])), Digest(pool));
    }

    [Fact]
    public void Memory_held_is_that_of_the_segments_in_use()
    {
        // 64 words: a first segment of 8, and room for three more, of 16, 32 and 64.
        var pool = With(4096, []);
        Assert.Equal(0, pool.Chunks.Single().BitmapHeldBytes);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(511 * Granule));
        Assert.Equal(8 * 8, pool.Chunks.Single().BitmapHeldBytes);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(512 * Granule));
        Assert.Equal((8 + 3 + 16) * 8, pool.Chunks.Single().BitmapHeldBytes);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed((512 + 1024) * Granule));
        Assert.Equal((8 + 3 + 16 + 32) * 8, pool.Chunks.Single().BitmapHeldBytes);
        Assert.Equal([new(511, 2), new(1536, 1)], pool.Chunks.Single().BusyRuns());
        Assert.Equal(8, With(3, [0]).Chunks.Single().BitmapHeldBytes);
        Assert.Equal(8 * 8, With(8 * 64, [0]).Chunks.Single().BitmapHeldBytes);
        Assert.Equal((1 + 16) * 8, With(24 * 64, [512]).Chunks.Single().BitmapHeldBytes);
        Assert.Equal((2 + 16) * 8, With(25 * 64, [512]).Chunks.Single().BitmapHeldBytes);
        Assert.Equal(0, With(25 * 64, []).Chunks.Single().BitmapHeldBytes);
        Assert.Equal(0, With(0, []).Chunks.Single().BitmapHeldBytes);
    }

    // Goal: a state that can go on differently has another digest. Method: pools that differ in one thing.
    [Fact]
    public void The_digest_tells_pools_apart_that_differ_in_one_thing()
    {
        static GenPool Raw(ulong start, ulong size)
        {
            var pool = new GenPool(Granule);
            pool.AddOwner(start, 0, size, null);
            return pool;
        }

        static GenPool Using(GenPoolAlgorithm algorithm)
        {
            var pool = With(4096, []);
            pool.Algorithm = algorithm;
            return pool;
        }

        GenPool[] pools =
        [
            new(Granule),
            Raw(Base, 4096 * Granule),
            Raw(2 * Base, 4096 * Granule),
            Raw(Base, (4096 * Granule) + 1),
            Using(GenPoolAlgorithm.BestFit),
            Using(GenPoolAlgorithm.FirstFitAlign(Granule)),
            Using(GenPoolAlgorithm.FirstFitAlign(2 * Granule)),
            With(4096, [0]),
            With(4096, [1]),
            With(4096, [64]),
            With(4096, [4000]),
            With(4096, [0, 64]),
            With(4096, [0, 4000]),
        ];
        Assert.Equal(pools.Length, pools.Select(Digest).Distinct().Count());
    }

    [Fact]
    public void Every_chunk_that_reset_keeps_serves_again_without_new_memory()
    {
        var pool = new GenPool(Granule);
        Add(4096, 1024, 4096);
        pool.Reset();
        var before = GC.GetAllocatedBytesForCurrentThread();
        Add(1024, 4096, 4096);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Add(ulong first, ulong second, ulong third)
        {
            pool.AddOwner(Base, 0, first * Granule, null);
            pool.AddOwner(2 * Base, 0, second * Granule, null);
            pool.AddOwner(3 * Base, 0, third * Granule, null);
        }
    }

    // Goal: what Reset keeps is handed out once each, whatever its place among what was kept.
    [Fact]
    public void Chunks_that_were_kept_are_each_used_once()
    {
        var pool = new GenPool(Granule);
        foreach (var order in new int[][] { [3, 5, 7], [5, 7, 3], [7, 3, 5], [5, 5, 3], [3, 3, 3] })
        {
            foreach (var granules in order)
            {
                pool.AddOwner((ulong)granules * Base, 0, (ulong)granules * Granule, granules);
                Assert.Empty(pool.Chunks.First().BusyRuns());
                Assert.True(pool.AllocOwner((ulong)granules * Granule).Succeeded);
            }

            Assert.Equal([2, 1, 0], pool.Chunks.Select(chunk => chunk.Number));
            Assert.Equal(order.Reverse().Select(count => (long)count), pool.Chunks.Select(chunk => chunk.GranuleCount));
            Assert.Equal(3, pool.Chunks.Distinct().Count());
            Assert.Equal((ulong)order.Sum() * Granule, pool.SizeBytes);
            pool.Algorithm = GenPoolAlgorithm.BestFit;
            pool.Reset();
            Assert.Equal(GenPoolAlgorithm.FirstFit, pool.Algorithm);
            Assert.Equal((0UL, 0UL), (pool.SizeBytes, pool.AvailBytes));
        }
    }

    private static ulong Digest(GenPool pool)
    {
        var hash = StateHash.Seed;
        pool.HashInto(ref hash);
        return hash;
    }
}
