using static Fleet.Kernel.Tests.Genalloc.PoolUnderTest;

namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>The rows GP1 to GP16 of kernel-model H.4, and the corners beside them.</summary>
[Trait("tier", "fast")]
public sealed class GenPoolTableTests
{
    [Fact]
    public void Gp1_first_fit_takes_the_lowest_run_that_is_long_enough() =>
        Assert.Equal(5, With(16, [0, 1, 3, 4]).Index(2, GenPoolAlgorithm.FirstFit));

    [Fact]
    public void Gp2_first_fit_finds_nothing_when_no_run_is_long_enough() =>
        Assert.Null(With(8, [3]).Index(5, GenPoolAlgorithm.FirstFit));

    [Fact]
    public void Gp3_first_fit_align_aligns_the_absolute_address() =>
        Assert.Equal(1, With(16, [], start: 3 * Granule).Index(1, GenPoolAlgorithm.FirstFitAlign(4 * Granule)));

    [Fact]
    public void Gp4_first_fit_align_goes_on_to_the_next_aligned_address() =>
        Assert.Equal(5, With(16, [1], start: 3 * Granule).Index(1, GenPoolAlgorithm.FirstFitAlign(4 * Granule)));

    [Fact]
    public void Gp5_order_align_rounds_the_start_up_to_the_rounded_length() =>
        Assert.Equal(4, With(16, [0]).Index(3, GenPoolAlgorithm.FirstFitOrderAlign));

    [Fact]
    public void Order_align_is_relative_to_the_chunk() =>
        Assert.Equal(0, With(16, [], start: 3 * Granule).Index(4, GenPoolAlgorithm.FirstFitOrderAlign));

    [Fact]
    public void Gp6_best_fit_takes_the_lowest_of_equally_short_runs() =>
        Assert.Equal(1, With(16, [0, 4, 5, 9]).Index(2, GenPoolAlgorithm.BestFit));

    [Fact]
    public void Gp7_best_fit_prefers_an_exact_run() =>
        Assert.Equal(6, With(16, [0, 4, 5, 8]).Index(2, GenPoolAlgorithm.BestFit));

    [Fact]
    public void Gp8_best_fit_of_an_empty_chunk_is_its_start() =>
        Assert.Equal(0, With(16, []).Index(4, GenPoolAlgorithm.BestFit));

    [Fact]
    public void Gp9_best_fit_finds_nothing_when_no_run_is_long_enough() =>
        Assert.Null(With(8, [0, 1, 2, 3, 4, 5, 6]).Index(2, GenPoolAlgorithm.BestFit));

    [Fact]
    public void Gp10_fixed_takes_its_place_or_nothing_and_warns_about_a_part_of_a_granule()
    {
        var pool = With(16, []);
        Assert.Equal(5, pool.Index(2, GenPoolAlgorithm.Fixed(5 * Granule)));
        Assert.Null(pool.Index(2, GenPoolAlgorithm.Fixed(5 * Granule)));
        var misaligned = pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed((5 * Granule) + 1));
        Assert.Equal((false, 1), (misaligned.Succeeded, misaligned.Warns));
    }

    [Fact]
    public void Fixed_warns_once_for_each_chunk_tried()
    {
        var pool = With(16, []);
        pool.AddOwner(0x900_0000, 0, 16 * Granule, null);
        pool.AddOwner(0x800_0000, 0, Granule / 2, null);
        Assert.Equal(2, pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(1)).Warns);
    }

    // Goal: a retry after a lost collision starts at the place that collided plus the offset, so it cannot succeed.
    // Method: the other allocation takes the place between search and compare-and-swap, and frees it before the retry.
    [Fact]
    public void Gp11_fixed_never_succeeds_after_a_collision_although_the_place_is_free_again()
    {
        var pool = With(16, []);
        var loser = pool.BeginAlloc(2 * Granule, GenPoolAlgorithm.Fixed(5 * Granule));
        Assert.Equal(GenPoolStep.AvailTest, loser.Next());
        Assert.Equal(GenPoolStep.Search, loser.Next());
        Assert.Equal(5, loser.Granule);

        var winner = pool.AllocAlgoOwner(2 * Granule, GenPoolAlgorithm.Fixed(5 * Granule));
        Assert.Equal(GenPoolStep.SetWord, loser.Next());
        Assert.Equal(GenPoolStep.Search, loser.Upcoming);
        Assert.Equal(GenPoolFault.None, pool.FreeOwner(winner.Address, 2 * Granule).Fault);

        Assert.False(loser.Run().Succeeded);
        Assert.Equal(pool.SizeBytes, pool.AvailBytes);
    }

    [Fact]
    public void Fixed_at_offset_0_may_succeed_after_a_collision()
    {
        var pool = With(16, []);
        var loser = pool.BeginAlloc(2 * Granule, GenPoolAlgorithm.Fixed(0));
        loser.Next();
        loser.Next();
        var winner = pool.AllocAlgoOwner(2 * Granule, GenPoolAlgorithm.Fixed(0));
        loser.Next();
        pool.FreeOwner(winner.Address, 2 * Granule);
        Assert.Equal(0, loser.Run().Index());
    }

    [Fact]
    public void Gp12_the_newest_chunk_is_tried_first()
    {
        var pool = new GenPool(Granule);
        pool.AddOwner(0x100_0000, 0, 4 * Granule, "X");
        pool.AddOwner(0x200_0000, 0, 4 * Granule, "Y");
        var owners = Enumerable.Range(0, 5).Select(_ => (string)pool.AllocOwner(Granule).Owner!);
        Assert.Equal(["Y", "Y", "Y", "Y", "X"], owners);
    }

    [Fact]
    public void Gp13_a_tail_counts_as_free_and_can_never_be_allocated()
    {
        var pool = new GenPool(Granule);
        pool.AddOwner(Base, 0, 6144, null);
        Assert.Equal((6144UL, 6144UL), (pool.SizeBytes, pool.AvailBytes));
        Assert.True(pool.AllocOwner(4096).Succeeded);
        Assert.Equal(2048UL, pool.AvailBytes);

        var stepper = pool.BeginAlloc(2000);
        Assert.Equal(GenPoolStep.AvailTest, stepper.Next());
        Assert.Equal(GenPoolStep.Search, stepper.Next());
        Assert.True(stepper.IsDone);
        Assert.Equal(new GenPoolAlloc(0, false, null, null, 0, GenPoolFault.None), stepper.Result);
    }

    [Fact]
    public void Gp14_zero_bytes_are_refused_and_freed_as_nothing()
    {
        var pool = With(16, [], owner: "owner");
        Assert.Equal(new GenPoolAlloc(0, false, null, null, 0, GenPoolFault.None), pool.AllocOwner(0));
        Assert.Equal(new GenPoolFree("owner", GenPoolFault.None), pool.FreeOwner(Base, 0));
        Assert.Equal(pool.SizeBytes, pool.AvailBytes);
    }

    [Theory]
    [InlineData("freed twice", Base, Granule, GenPoolFault.NotAllocated)]
    [InlineData("one granule too long", Base + (4 * Granule), 3 * Granule, GenPoolFault.NotAllocated)]
    [InlineData("crosses the chunk end", Base + (15 * Granule), 2 * Granule, GenPoolFault.CrossesChunkEnd)]
    [InlineData("foreign address", Base - 1, Granule, GenPoolFault.NoChunk)]
    public void Gp15_a_wrong_free_is_a_bug(string why, ulong address, ulong sizeBytes, GenPoolFault fault)
    {
        var pool = With(16, [4, 5, 15]);
        var free = pool.BeginFree(address, sizeBytes);
        Assert.Equal(GenPoolStep.ClearWord, free.Next());
        Assert.True(free.IsDone);
        Assert.Equal(new GenPoolFree(null, fault), free.Result);
        Assert.Equal(13 * Granule, pool.AvailBytes);
        Assert.Equal([new(4, 2), new(15, 1)], pool.Chunks.Single().BusyRuns());
        Assert.NotEmpty(why);
    }

    [Fact]
    public void Nothing_of_a_foreign_address_cannot_be_freed_either() =>
        Assert.Equal(new GenPoolFree(null, GenPoolFault.NoChunk), With(16, []).FreeOwner(Base - 1, 0));

    [Fact]
    public void A_chunk_with_too_little_is_passed_over_in_one_step()
    {
        var alloc = With(2, [0]).BeginAlloc(2 * Granule);
        Assert.Equal([GenPoolStep.AvailTest], Steps(() => (alloc.Upcoming, alloc.Next(), alloc.IsDone)));
        Assert.False(alloc.Result.Succeeded);
    }

    // Goal: a rollback of several words, and a second one of the same request, give back exactly what was set.
    // Method: a request of four words; the last of them is taken after the search, and again at the next place.
    [Fact]
    public void A_request_that_collides_twice_rolls_back_twice()
    {
        var pool = With(640, []);
        var alloc = pool.BeginAlloc(200 * Granule);
        Assert.Equal([GenPoolStep.AvailTest, GenPoolStep.Search], [alloc.Next(), alloc.Next()]);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(199 * Granule));
        GenPoolStep[] collision =
        [
            GenPoolStep.SetWord, GenPoolStep.SetWord, GenPoolStep.SetWord, GenPoolStep.SetWord,
            GenPoolStep.RollbackWord, GenPoolStep.RollbackWord, GenPoolStep.RollbackWord, GenPoolStep.Search,
        ];
        Assert.Equal(collision, collision.Select(_ => alloc.Next()));
        Assert.Equal(200, alloc.Granule);
        Assert.Equal([new(199, 1)], pool.Chunks.Single().BusyRuns());

        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(399 * Granule));
        Assert.Equal(collision, collision.Select(_ => alloc.Next()));
        Assert.Equal(400, alloc.Granule);
        Assert.Equal([new(199, 1), new(399, 1)], pool.Chunks.Single().BusyRuns());

        Assert.True(alloc.Run().Succeeded);
        Assert.Equal([new(199, 1), new(399, 201)], pool.Chunks.Single().BusyRuns());
    }

    // Goal: a part of the bitmap that does not exist yet is free from its first granule on.
    [Fact]
    public void The_first_granule_behind_a_full_part_is_found()
    {
        var pool = With(4096, []);
        Assert.Equal(0, pool.Index(512, GenPoolAlgorithm.FirstFit));
        Assert.Equal(512, pool.Index(1, GenPoolAlgorithm.FirstFit));
        Assert.Equal(513, pool.Index(1023, GenPoolAlgorithm.FirstFit));
        Assert.Equal(1536, pool.Index(1, GenPoolAlgorithm.BestFit));
    }

    [Fact]
    public void Gp16_sizes_are_rounded_up_to_granules()
    {
        var pool = With(16, []);
        var alloc = pool.AllocOwner(1);
        Assert.Equal(15 * Granule, pool.AvailBytes);
        pool.FreeOwner(alloc.Address, 1);
        Assert.Equal(16 * Granule, pool.AvailBytes);
    }

    [Fact]
    public void A_free_beyond_the_last_usable_granule_is_a_bug()
    {
        var pool = new GenPool(Granule);
        pool.AddOwner(Base, 0, (64 * Granule) + 100, null);
        Assert.Equal(GenPoolFault.NotAllocated, pool.FreeOwner(Base + (64 * Granule), 1).Fault);
    }

    [Fact]
    public void A_rollback_that_finds_its_bits_gone_is_a_bug()
    {
        // Method: 63 and 64 are free. The allocation sets 63; somebody frees 63, which is not theirs, and takes 64.
        var pool = With(128, [.. Enumerable.Range(0, 63)]);
        var stepper = pool.BeginAlloc(2 * Granule);
        stepper.Next();
        stepper.Next();
        stepper.Next();
        Assert.Equal(GenPoolFault.None, pool.FreeOwner(Base + (63 * Granule), Granule).Fault);
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(64 * Granule));
        Assert.Equal(GenPoolFault.RollbackMissed, stepper.Run().Fault);
    }

    // Goal: what others can see in between: bits are set before the free count falls, and clear before it rises.
    [Fact]
    public void The_steps_come_in_the_kernels_order()
    {
        var pool = With(66, [.. Enumerable.Range(0, 63)], owner: "old");
        pool.AddOwner(2 * Base, 0, Granule, "small");
        var alloc = pool.BeginAlloc(2 * Granule);
        Assert.Equal(
            [
                GenPoolStep.AvailTest, GenPoolStep.AvailTest, GenPoolStep.Search,
                GenPoolStep.SetWord, GenPoolStep.SetWord, GenPoolStep.DecAvail, GenPoolStep.ReadOwner,
            ],
            Steps(() => (alloc.Upcoming, alloc.Next(), alloc.IsDone)));
        Assert.Equal(GenPoolStep.Done, alloc.Next());

        var free = pool.BeginFree(alloc.Result.Address, 2 * Granule);
        Assert.Equal(
            [GenPoolStep.ClearWord, GenPoolStep.ClearWord, GenPoolStep.IncAvail, GenPoolStep.ReadOwner],
            Steps(() => (free.Upcoming, free.Next(), free.IsDone)));
        Assert.Equal("old", free.Result.Owner);
    }

    [Fact]
    public void A_collision_rolls_back_exactly_the_words_that_were_set()
    {
        // Method: 63 and 64 lie in two words; 64 is taken after the search.
        var pool = With(66, [.. Enumerable.Range(0, 63)]);
        var alloc = pool.BeginAlloc(2 * Granule);
        alloc.Next();
        alloc.Next();
        pool.AllocAlgoOwner(Granule, GenPoolAlgorithm.Fixed(64 * Granule));
        Assert.Equal(
            [GenPoolStep.SetWord, GenPoolStep.SetWord, GenPoolStep.RollbackWord, GenPoolStep.Search],
            Steps(() => (alloc.Upcoming, alloc.Next(), alloc.IsDone)));
        Assert.False(alloc.Result.Succeeded);
        Assert.Equal([new(0, 63), new(64, 1)], pool.Chunks.Single().BusyRuns());
    }

    [Fact]
    public void A_failing_allocation_adds_no_chunk()
    {
        var pool = new GenPool(Granule);
        Assert.Equal(Errno.ENOMEM, pool.AddOwner(Base, 0, Granule, null, Allocation.Fails));
        Assert.Empty(pool.Chunks);
    }

    [Fact]
    public void Destroy_of_a_pool_in_use_is_a_bug_and_of_an_empty_one_removes_its_chunks()
    {
        var pool = With(16, [3]);
        pool.AddOwner(2 * Base, 0, Granule, null);
        Assert.Equal(GenPoolFault.DestroyedBusy, pool.Destroy());
        Assert.Empty(pool.Chunks);
        var empty = With(16, []);
        empty.AddOwner(2 * Base, 0, Granule, null);
        Assert.Equal(GenPoolFault.None, empty.Destroy());
        Assert.Empty(empty.Chunks);
    }

    [Fact]
    public void An_alignment_of_0_finds_nothing()
    {
        Assert.Null(With(16, []).Index(1, GenPoolAlgorithm.FirstFitAlign(0)));
        Assert.Null(With(16, [0, 1], start: 0).Index(1, GenPoolAlgorithm.FirstFitAlign(0)));
    }

    [Fact]
    public void A_chunk_added_before_the_first_step_is_seen_and_one_added_later_is_not()
    {
        var pool = With(1, [], owner: "old");
        var (early, late) = (pool.BeginAlloc(Granule), pool.BeginAlloc(Granule));
        late.Next();
        pool.AddOwner(2 * Base, 0, Granule, "new");
        Assert.Equal("new", early.Run().Owner);
        Assert.Equal("old", late.Run().Owner);
    }

    [Fact]
    public void Only_a_power_of_two_is_a_granule() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenPool(3000));

    [Fact]
    public void Before_5_11_counts_beyond_31_bits_find_no_place()
    {
        var pool = new GenPool(1, GenPoolArithmetic.Int32AvailWrap);
        pool.AddOwner(1UL << 40, 0, 1UL << 31, null);
        Assert.False(pool.AllocOwner(1).Succeeded);
        pool.AddOwner(1UL << 41, 0, (1UL << 31) - 1, null);
        Assert.True(pool.AllocOwner(1).Succeeded);
        Assert.False(pool.AllocAlgoOwner(1UL << 31, GenPoolAlgorithm.BestFit).Succeeded);
    }

    [Fact]
    public void Before_5_11_a_block_of_2_gib_is_counted_in_32_signed_bits()
    {
        var pool = new GenPool(Granule, GenPoolArithmetic.Int32AvailWrap);
        pool.AddOwner(1UL << 40, 0, 1UL << 32, null);
        var block = pool.AllocOwner(1UL << 31);
        Assert.Equal((1UL << 32) + (1UL << 31), pool.AvailBytes);
        pool.FreeOwner(block.Address, 1UL << 31);
        Assert.Equal(1UL << 32, pool.AvailBytes);
    }

    [Fact]
    public void A_request_of_exactly_what_is_free_is_served()
    {
        var pool = With(130, []);
        var whole = pool.AllocOwner(130 * Granule);
        Assert.Equal((0L, 0UL), (whole.Index(), pool.AvailBytes));
        Assert.False(pool.AllocOwner(1).Succeeded);
        pool.FreeOwner(whole.Address, 130 * Granule);
        Assert.Equal(130 * Granule, pool.AvailBytes);
        Assert.Equal(2, With(130, [0, 1]).Index(128, GenPoolAlgorithm.BestFit));
        Assert.Null(With(130, [0, 1]).Index(129, GenPoolAlgorithm.BestFit));
    }

    [Fact]
    public void Counts_are_sums_over_the_chunks()
    {
        var pool = With(4, [0]);
        pool.AddOwner(2 * Base, 0, 100, null);
        Assert.Equal(((4 * Granule) + 100, (3 * Granule) + 100), (pool.SizeBytes, pool.AvailBytes));
    }

    [Fact]
    public void A_range_is_inside_when_one_chunk_holds_all_of_it()
    {
        var pool = With(4, []);
        pool.AddOwner(Base + (4 * Granule), 0, Granule, null);
        Assert.True(pool.Contains(Base, 4 * Granule));
        Assert.True(pool.Contains(Base + 5, (4 * Granule) - 5));
        Assert.False(pool.Contains(Base, (4 * Granule) + 1));
        Assert.False(pool.Contains(Base - 1, 1));
        Assert.False(pool.Contains(Base + (5 * Granule), 1));
        Assert.True(pool.Contains(Base + (4 * Granule), Granule));
    }

    [Fact]
    public void A_device_is_told_the_bus_address()
    {
        var pool = With(4, [0]);
        Assert.True(pool.DmaAlloc(Granule, out var bus).Succeeded);
        Assert.Equal(0x9000_0000 + Granule, bus);
        Assert.Equal(3, pool.DmaAlloc(Granule, GenPoolAlgorithm.Fixed(3 * Granule), out bus).Index());
        Assert.Equal(0x9000_0000 + (3 * Granule), bus);
        Assert.False(pool.DmaAlloc(2 * Granule, out bus).Succeeded);
        Assert.Null(bus);
        Assert.Equal(0x9000_0003UL, pool.ToBusAddress(Base + 3));
        Assert.Equal(GenPool.NoBusAddress, pool.ToBusAddress(Base - 1));
        Assert.Equal(0x9000_0000 + (4 * Granule) - 1, pool.ToBusAddress(Base + (4 * Granule) - 1));
        Assert.Equal(GenPool.NoBusAddress, pool.ToBusAddress(Base + (4 * Granule)));
    }

    [Fact]
    public void The_pools_algorithm_is_that_of_calls_that_name_none()
    {
        var pool = With(16, [0, 4, 5, 8]);
        pool.Algorithm = GenPoolAlgorithm.BestFit;
        Assert.Equal(6, pool.AllocOwner(2 * Granule).Index());
        var stepper = pool.BeginAlloc(3 * Granule);
        Assert.Equal(1, stepper.Run().Index());
        var named = pool.BeginAlloc(Granule, GenPoolAlgorithm.Fixed(15 * Granule));
        Assert.Equal(15, named.Run().Index());
        Assert.Equal((4096UL, 1UL), (pool.GranuleBytes, new GenPool(1).GranuleBytes));
    }

    [Fact]
    public void A_stepper_says_what_it_is_about()
    {
        var pool = With(66, [.. Enumerable.Range(0, 63)], owner: "owner");
        var alloc = pool.BeginAlloc((2 * Granule) - 1);
        Assert.Equal((null, 0L, 2L), (alloc.Chunk, alloc.Granule, alloc.GranuleCount));
        alloc.Run();
        Assert.Equal((pool.Chunks.Single(), 63L), (alloc.Chunk, alloc.Granule));
        var free = pool.BeginFree(alloc.Result.Address, 2 * Granule);
        Assert.Equal((null, 2L, false), (free.Chunk, free.GranuleCount, free.IsDone));
        free.Next();
        Assert.Equal((pool.Chunks.Single(), 63L), (free.Chunk, free.Granule));
        Assert.Equal(new GenPoolFree("owner", GenPoolFault.None), free.Run());
        Assert.Equal(GenPoolStep.Done, free.Next());
    }

    private static List<GenPoolStep> Steps(Func<(GenPoolStep Upcoming, GenPoolStep Done, bool IsLast)> next)
    {
        var steps = new List<GenPoolStep>();
        while (true)
        {
            var (upcoming, done, isLast) = next();
            Assert.Equal(upcoming, done);
            steps.Add(done);
            if (isLast)
            {
                return steps;
            }
        }
    }
}
