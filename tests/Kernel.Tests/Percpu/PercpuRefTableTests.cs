namespace Fleet.Kernel.Tests.Percpu;

/// <summary>The rows PR1 to PR10 of kernel-model H.4, and the corners beside them.</summary>
[Trait("tier", "fast")]
public sealed class PercpuRefTableTests
{
    [Fact]
    public void Pr1_release_comes_exactly_at_the_last_put_after_kill_and_grace()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Get(0);
        test.Ref.Get(1);
        Assert.True(test.Ref.Kill().IsDone);
        Assert.Equal(1, test.Rcu.RunCallbacks());
        Assert.False(test.Ref.Put(2));
        Assert.Empty(test.Events);
        Assert.True(test.Ref.Put(3));
        Assert.Equal(["release"], test.Events);
        Assert.True(test.Ref.IsZero);
    }

    [Fact]
    public void Pr2_without_holders_release_comes_in_the_callback()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill();
        Assert.Empty(test.Events);
        Assert.Equal(1, test.Ref.Value);
        test.Rcu.RunCallback();
        Assert.Equal(["release"], test.Events);
    }

    [Fact]
    public void Pr3_an_atomic_ref_releases_inside_kill()
    {
        var test = new PercpuRefUnderTest(PercpuRefInit.Atomic);
        Assert.True(test.Ref.Kill().IsDone);
        Assert.Equal(["release"], test.Events);
        Assert.Equal(0, test.Rcu.PendingCallbacks);
    }

    // The second kill waits for the switch of the first, so the table's release "in the cb" comes right after it.
    [Fact]
    public void Pr4_a_second_kill_warns_and_takes_a_holders_reference()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Get();
        test.Ref.Kill();
        var second = test.Ref.Kill();
        Assert.Equal((PercpuRefWarn.KilledTwice, false), (second.Warn, second.IsDone));
        Assert.False(second.TryComplete());

        test.Rcu.RunCallback();
        Assert.Empty(test.Events);
        Assert.True(second.TryComplete());
        Assert.Equal(["release"], test.Events);

        Assert.False(test.Ref.Put());
        Assert.Equal(-1, test.Ref.Value);
        Assert.Equal(1, test.Releases);
    }

    [Fact]
    public void Pr5_before_the_callback_a_killed_ref_is_not_zero_and_only_tryget_succeeds()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill();
        Assert.False(test.Ref.IsZero);
        Assert.True(test.Ref.TryGet());
        Assert.False(test.Ref.TryGetLive());
    }

    [Fact]
    public void Pr6_exit_while_switching_warns_and_the_callback_sums_what_was_freed()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill();
        Assert.Equal(PercpuRefWarn.ExitWhileSwitching, test.Ref.Exit());
        Assert.True(test.Ref.IsSwitching);
        test.Rcu.RunCallback();
        Assert.Equal(PercpuRefWarn.SummedFreedMemory, test.FoldWarn);
    }

    [Fact]
    public void Pr7_after_exit_without_kill_no_put_ever_releases()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Get();
        Assert.Equal(PercpuRefWarn.None, test.Ref.Exit());
        Assert.False(test.Ref.Put());
        Assert.False(test.Ref.Put());
        Assert.False(test.Ref.TryGetLive());
        Assert.Empty(test.Events);
        Assert.False(test.Ref.IsZero);
    }

    [Fact]
    public void Pr8_a_second_exit_does_nothing()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill();
        Assert.Equal(PercpuRefWarn.ExitWhileSwitching, test.Ref.Exit());
        Assert.Equal(PercpuRefWarn.None, test.Ref.Exit());
    }

    [Fact]
    public void Pr9_a_ref_that_began_dead_is_revived_by_reinit()
    {
        var test = new PercpuRefUnderTest(PercpuRefInit.Dead);
        Assert.False(test.Ref.TryGetLive());
        Assert.Equal(PercpuRefWarn.None, test.Ref.Reinit().Warn);
        Assert.True(test.Ref.TryGetLive());
        Assert.Equal(2, test.Ref.Value);
        Assert.Empty(test.Events);
    }

    [Fact]
    public void Pr10_get_from_zero_revives_the_number_and_the_put_releases_again()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill();
        test.Rcu.RunCallback();
        test.Ref.Get();
        Assert.True(test.Ref.Put());
        Assert.Equal(2, test.Releases);
    }

    [Fact]
    public void Confirmation_comes_before_release()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Kill(confirm: 2);
        test.Rcu.RunCallback();
        Assert.Equal(["confirm2", "release"], test.Events);
    }

    [Fact]
    public void A_tryget_live_whose_flag_read_preceded_the_kill_succeeds_and_is_counted()
    {
        var test = new PercpuRefUnderTest();
        test.Rcu.EnterRead(7);
        var flags = test.Ref.ReadFlags();
        test.Ref.Kill();
        Assert.False(test.Rcu.RunCallback());
        Assert.True(test.Ref.TryGetLiveIncrement(flags, cpu: 3));
        Assert.False(test.Ref.TryGetLive());
        test.Rcu.ExitRead(7);

        Assert.True(test.Rcu.RunCallback());
        Assert.Equal(1, test.Ref.Value);
        Assert.Empty(test.Events);
        Assert.True(test.Ref.Put());
    }

    [Fact]
    public void Without_allow_reinit_the_callback_frees_the_memory_and_a_revival_is_a_bug()
    {
        var test = new PercpuRefUnderTest(PercpuRefInit.None);
        test.Ref.Kill();
        test.Rcu.RunCallback();
        Assert.False(test.Ref.HasPercpuMemory);
        Assert.Equal(PercpuRefWarn.BugNoPercpuMemory, test.Ref.Reinit().Warn);
    }

    [Fact]
    public void A_switch_asked_for_during_a_switch_waits_for_it()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.SwitchToAtomic(confirm: 1);
        var back = test.Ref.SwitchToPercpu();
        Assert.False(back.IsDone);
        test.Rcu.RunCallback();
        Assert.True(back.TryComplete());
        Assert.True(test.Ref.IsPercpu);
        Assert.Equal(1, test.Ref.Value);
        Assert.Equal(["confirm1"], test.Events);
    }

    [Fact]
    public void A_synchronous_switch_is_done_only_after_its_callback()
    {
        var test = new PercpuRefUnderTest();
        var change = test.Ref.SwitchToAtomicSync();
        Assert.False(change.IsDone);
        Assert.Equal(2, test.Ref.Value);
        test.Rcu.RunCallback();
        Assert.True(change.TryComplete());
        Assert.Equal(1, test.Ref.Value);
        Assert.True(test.Ref.SwitchToAtomicSync().IsDone);
    }

    [Fact]
    public void A_failed_init_changes_nothing()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Get();
        Assert.Equal(Errno.ENOMEM, test.Ref.Init(PercpuRefInit.Atomic, Allocation.Fails));
        Assert.Equal(2, test.Ref.Value);
    }

    [Fact]
    public void Counters_wrap_and_do_not_throw()
    {
        var test = new PercpuRefUnderTest(PercpuRefInit.Atomic);
        test.Ref.Get(0, long.MaxValue);
        Assert.Equal(long.MinValue, test.Ref.Value);
        Assert.False(test.Ref.Put(0, long.MinValue + 5));
        Assert.Equal(-5, test.Ref.Value);
    }

    [Fact]
    public void The_digest_passes_over_counters_that_no_longer_count()
    {
        var (left, right) = (new PercpuRefUnderTest(), new PercpuRefUnderTest());
        left.Ref.Get(0);
        right.Ref.Get(3);
        Assert.NotEqual(Digest(left.Ref), Digest(right.Ref));
        left.Ref.Kill();
        right.Ref.Kill();
        left.Rcu.RunCallback();
        right.Rcu.RunCallback();
        Assert.Equal(Digest(left.Ref), Digest(right.Ref));
    }

    [Fact]
    public void Operations_take_no_memory_and_reset_makes_it_new()
    {
        var test = new PercpuRefUnderTest();
        var fresh = Digest(test.Ref);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            test.Ref.TryGetLive(i & 3);
            test.Ref.Put((i + 1) & 3);
        }

        test.Ref.Exit();
        test.Ref.Reset();
        test.Ref.Init(PercpuRefInit.AllowReinit);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(fresh, Digest(test.Ref));
        test.Ref.Get();
        Assert.NotEqual(fresh, Digest(test.Ref));
    }

    [Fact]
    public void Memory_that_was_never_initialised_is_dead_at_0_and_a_revival_of_it_is_a_bug()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.Get();
        test.Ref.Reset();
        foreach (var raw in new[] { test.Ref, new PercpuRef(test.Rcu, test) })
        {
            Assert.Equal(
                (true, true, false, false, 0L),
                (raw.IsDying, raw.IsZero, raw.IsSwitching, raw.HasPercpuMemory, raw.Value));
            Assert.Equal(PercpuRefWarn.None, raw.Exit());
            Assert.Equal(PercpuRefWarn.BugNoPercpuMemory, raw.Resurrect().Warn);
        }
    }

    [Fact]
    public void Counters_that_were_freed_count_no_more()
    {
        var exited = new PercpuRefUnderTest();
        exited.Ref.Get(1, 5);
        exited.Ref.Exit();
        Assert.Equal(1, exited.Ref.Value);

        var switching = new PercpuRefUnderTest();
        switching.Ref.Get(1, 5);
        switching.Ref.Kill();
        switching.Ref.Exit();
        switching.Rcu.RunCallback();
        Assert.Equal(0, switching.Ref.Value);
    }

    [Fact]
    public void A_synchronous_switch_that_waits_does_not_do_the_next_ones_work()
    {
        var test = new PercpuRefUnderTest();
        var change = test.Ref.SwitchToAtomicSync();
        var back = test.Ref.SwitchToPercpu();
        test.Rcu.RunCallback();
        Assert.True(change.TryComplete());
        Assert.False(test.Ref.IsPercpu);
        Assert.True(back.TryComplete());
        Assert.True(test.Ref.IsPercpu);
    }

    // Goal: a life begins alike whatever the earlier one left behind: a switch in flight, its confirmation.
    [Fact]
    public void A_life_after_an_exit_during_a_switch_begins_alike()
    {
        var test = new PercpuRefUnderTest();
        var fresh = Digest(test.Ref);
        test.Ref.SwitchToAtomic(confirm: 3);
        Assert.Equal(PercpuRefWarn.ExitWhileSwitching, test.Ref.Exit());
        Assert.Equal(Errno.OK, test.Ref.Init(PercpuRefInit.AllowReinit));
        Assert.False(test.Ref.IsSwitching);
        Assert.Equal(fresh, Digest(test.Ref));

        // The callback of the earlier life still comes; it has nothing to confirm in this one.
        test.Rcu.RunCallback();
        Assert.Empty(test.Events);
    }

    // Goal: nothing of a life is left in memory that is reset. Method: one with every field set, beside raw memory.
    [Fact]
    public void Reset_leaves_nothing_of_a_life()
    {
        var test = new PercpuRefUnderTest();
        test.Ref.SwitchToAtomic(confirm: 3);
        Assert.True(test.Ref.IsSwitching);
        test.Ref.Reset();
        Assert.Equal(Digest(new PercpuRef(test.Rcu, test, 4)), Digest(test.Ref));
    }

    [Fact]
    public void A_confirmation_that_was_given_is_forgotten()
    {
        var (told, untold) = (new PercpuRefUnderTest(), new PercpuRefUnderTest());
        told.Ref.Kill(confirm: 3);
        untold.Ref.Kill();
        told.Rcu.RunCallback();
        untold.Rcu.RunCallback();
        Assert.Equal(["confirm3", "release"], told.Events);
        Assert.Equal(Digest(untold.Ref), Digest(told.Ref));
    }

    // Goal: the callback of a switch folds, then confirms, then frees the per-CPU memory, and only then lets go.
    [Fact]
    public void The_callback_of_a_switch_does_its_steps_in_the_kernels_order()
    {
        var rcu = new RcuDomain();
        var told = new Ordered();
        var reference = new PercpuRef(rcu, told);
        reference.Init(PercpuRefInit.None);
        reference.Kill(confirm: 1);
        rcu.RunCallback();
        Assert.Equal(["folded to 1", "confirmed, with memory", "released, without memory"], told.Steps);
    }

    // Goal: a state that can go on differently has another digest.
    // Method: for each field two refs that differ in nothing else.
    [Fact]
    public void The_digest_tells_states_apart_that_differ_in_one_field()
    {
        static ulong After(PercpuRefInit init, Action<PercpuRefUnderTest> life)
        {
            var test = new PercpuRefUnderTest(init);
            life(test);
            return Digest(test.Ref);
        }

        const PercpuRefInit Revivable = PercpuRefInit.AllowReinit;
        (string Field, ulong One, ulong Other)[] pairs =
        [
            ("reinit", After(Revivable, _ => { }), After(PercpuRefInit.None, _ => { })),
            (
                "dead", After(PercpuRefInit.Atomic, _ => { }),
                After(PercpuRefInit.Atomic | PercpuRefInit.Dead, test => test.Ref.Get())),
            ("count", After(PercpuRefInit.Atomic, _ => { }), After(PercpuRefInit.Atomic, test => test.Ref.Get())),
            (
                "memory", After(Revivable, Reaped),
                After(Revivable, test => { Reaped(test); test.Ref.Exit(); })),
            (
                "bias", After(Revivable, test => test.Ref.Exit()),
                After(Revivable, test => { Reaped(test); test.Ref.Exit(); test.Ref.Get(0, long.MinValue + 1); })),
            (
                "switching", After(Revivable, test => test.Ref.Exit()),
                After(Revivable, test => { test.Ref.Kill(); test.Ref.Exit(); })),
            (
                "forced", After(Revivable, test => test.Ref.SwitchToAtomic()),
                After(Revivable, test => { test.Ref.SwitchToAtomic(); test.Ref.SwitchToPercpu(); })),
            ("confirm", After(Revivable, test => test.Ref.Kill(1)), After(Revivable, test => test.Ref.Kill(2))),
            ("confirmed or not", After(Revivable, test => test.Ref.Kill()), After(Revivable, test => test.Ref.Kill(1))),
            ("cpu", After(Revivable, test => test.Ref.Get(0)), After(Revivable, test => test.Ref.Get(1))),
        ];
        Assert.Empty(pairs.Where(pair => pair.One == pair.Other).Select(pair => pair.Field));

        static void Reaped(PercpuRefUnderTest test)
        {
            test.Ref.Kill();
            test.Rcu.RunCallback();
        }
    }

    private static ulong Digest(PercpuRef reference)
    {
        var hash = StateHash.Seed;
        reference.HashInto(ref hash);
        return hash;
    }

    private sealed class Ordered : IPercpuRefEvents
    {
        public List<string> Steps { get; } = [];

        public void Folded(PercpuRef reference, PercpuRefWarn warn) => Steps.Add($"folded to {reference.Value}");

        public void Confirmed(PercpuRef reference, int confirm) => Steps.Add($"confirmed, {MemoryOf(reference)}");

        public void Released(PercpuRef reference) => Steps.Add($"released, {MemoryOf(reference)}");

        private static string MemoryOf(PercpuRef reference) =>
            reference.HasPercpuMemory ? "with memory" : "without memory";
    }
}
