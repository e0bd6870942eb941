namespace Fleet.Kernel.Tests.Rcu;

[Trait("tier", "fast")]
public sealed class RcuDomainTests
{
    [Fact]
    public void A_callback_waits_for_the_sections_that_were_open_when_it_was_queued()
    {
        var rcu = new RcuDomain();
        var callback = new Counted();
        rcu.EnterRead(3);
        rcu.EnterRead(63);
        rcu.Call(callback);
        rcu.EnterRead(5);
        Assert.False(rcu.RunCallback());
        rcu.ExitRead(3);
        Assert.False(rcu.IsNextRunnable);
        rcu.ExitRead(63);
        Assert.True(rcu.RunCallback());
        Assert.Equal((1, 0), (callback.Runs, rcu.PendingCallbacks));
    }

    [Fact]
    public void A_section_opened_again_does_not_hold_up_an_earlier_grace_period()
    {
        var rcu = new RcuDomain();
        rcu.EnterRead(0);
        var period = rcu.Synchronize();
        Assert.Equal(1UL, rcu.BlockedBy(period));
        rcu.ExitRead(0);
        rcu.EnterRead(0);
        Assert.True(rcu.HasElapsed(period));
        Assert.False(rcu.HasElapsed(rcu.Synchronize()));
    }

    [Fact]
    public void A_nested_section_ends_with_the_outermost_exit()
    {
        var rcu = new RcuDomain();
        rcu.EnterRead(1);
        rcu.EnterRead(1);
        var period = rcu.Synchronize();
        Assert.True(rcu.ExitRead(1));
        Assert.False(rcu.HasElapsed(period));
        Assert.True(rcu.IsReading(1));
        Assert.True(rcu.ExitRead(1));
        Assert.True(rcu.HasElapsed(period));
        Assert.False(rcu.ExitRead(1));
    }

    [Fact]
    public void Synchronize_waits_for_no_callback()
    {
        var rcu = new RcuDomain();
        rcu.Call(new Counted());
        Assert.True(rcu.HasElapsed(rcu.Synchronize()));
        Assert.Equal(1, rcu.PendingCallbacks);
    }

    [Fact]
    public void Callbacks_run_in_the_order_in_which_they_were_queued()
    {
        var rcu = new RcuDomain();
        var (first, second, third) = (new Counted(), new Counted(), new Counted());
        Assert.Null(rcu.NextCallback);
        Assert.False(rcu.IsNextRunnable);
        rcu.Call(first);
        rcu.EnterRead(0);
        rcu.Call(second);
        rcu.Call(third);
        Assert.Same(first, rcu.NextCallback);
        Assert.True(rcu.IsNextRunnable);
        Assert.True(rcu.TryTakeCallback(out var taken));
        Assert.Same(first, taken);
        Assert.False(rcu.TryTakeCallback(out _));
        rcu.ExitRead(0);
        rcu.TryTakeCallback(out taken);
        Assert.Same(second, taken);
        Assert.Equal(1, rcu.PendingCallbacks);
    }

    [Fact]
    public void Callbacks_that_others_queue_run_too_and_are_counted()
    {
        var rcu = new RcuDomain();
        var last = new Counted();
        rcu.Call(new Chained(() => rcu.Call(last)));
        rcu.Call(new Counted());
        Assert.Equal(3, rcu.RunCallbacks());
        Assert.Equal(1, last.Runs);
        Assert.Equal(0, rcu.RunCallbacks());
    }

    [Fact]
    public void A_grace_period_names_whom_it_waits_for()
    {
        var rcu = new RcuDomain();
        rcu.EnterRead(0);
        rcu.EnterRead(63);
        var period = rcu.Synchronize();
        rcu.EnterRead(7);
        Assert.Equal((1UL << 63) | 1, rcu.BlockedBy(period));
        Assert.Equal((1UL << 63) | (1 << 7) | 1, rcu.OpenSections);
        rcu.ExitRead(0);
        Assert.Equal(1UL << 63, rcu.BlockedBy(period));
        Assert.False(rcu.IsReading(0));
    }

    [Fact]
    public void Reset_forgets_sections_depths_and_callbacks()
    {
        var rcu = new RcuDomain();
        rcu.EnterRead(3);
        rcu.EnterRead(3);
        rcu.Call(new Counted());
        rcu.Reset();
        Assert.Equal((0UL, 0, false), (rcu.OpenSections, rcu.PendingCallbacks, rcu.IsReading(3)));
        Assert.Equal(default, rcu.Synchronize());
        rcu.EnterRead(3);
        Assert.True(rcu.ExitRead(3));
        Assert.False(rcu.ExitRead(3));
    }

    // Goal: a state that can go on differently has another digest. Method: domains that differ in one thing.
    [Fact]
    public void The_digest_tells_readers_depths_and_callbacks_apart()
    {
        Action<RcuDomain>[] lives =
        [
            _ => { },
            rcu => rcu.EnterRead(1),
            rcu => rcu.EnterRead(2),
            rcu => { rcu.EnterRead(2); rcu.EnterRead(2); },
            rcu => { rcu.EnterRead(1); rcu.EnterRead(2); },
            rcu => { rcu.EnterRead(1); rcu.EnterRead(2); rcu.EnterRead(2); },
            rcu => { rcu.EnterRead(1); rcu.EnterRead(2); rcu.EnterRead(1); },
            rcu => rcu.Call(new Counted()),
            rcu => { rcu.Call(new Counted()); rcu.Call(new Counted()); },
            rcu => { rcu.Call(new Counted()); rcu.EnterRead(2); },
            rcu => { rcu.EnterRead(2); rcu.Call(new Counted()); },
        ];
        var digests = lives.Select(life =>
        {
            var rcu = new RcuDomain();
            life(rcu);
            return Digest(rcu);
        });
        Assert.Equal(lives.Length, digests.Distinct().Count());
    }

    [Fact]
    public void The_digest_knows_no_history()
    {
        var (left, right) = (new RcuDomain(), new RcuDomain());
        for (var i = 0; i < 9; i++)
        {
            left.EnterRead(2);
            left.ExitRead(2);
        }

        left.EnterRead(4);
        right.EnterRead(4);
        left.Call(new Counted());
        right.Call(new Counted());
        Assert.Equal(Digest(left), Digest(right));
        left.ExitRead(4);
        left.EnterRead(4);
        Assert.NotEqual(Digest(left), Digest(right));
        left.Reset();
        Assert.Equal(Digest(new RcuDomain()), Digest(left));
    }

    // Goal: a callback that is queued anew waits for those who read now, behind the others; nobody else is moved.
    [Fact]
    public void A_callback_whose_grace_period_begins_anew_waits_for_the_sections_open_now()
    {
        var rcu = new RcuDomain();
        var (first, moved, last) = (new Counted(), new Counted(), new Counted());
        rcu.Call(first);
        rcu.Call(moved);
        rcu.Call(last);
        rcu.EnterRead(7);
        rcu.Restart(new Counted());
        Assert.Equal(3, rcu.PendingCallbacks);
        rcu.Restart(moved);
        Assert.Equal(3, rcu.PendingCallbacks);
        Assert.Equal(2, rcu.RunCallbacks());
        Assert.Equal((1, 0, 1), (first.Runs, moved.Runs, last.Runs));
        Assert.Same(moved, rcu.NextCallback);
        rcu.ExitRead(7);
        Assert.Equal(1, rcu.RunCallbacks());
        Assert.Equal((1, 0), (moved.Runs, rcu.PendingCallbacks));
    }

    private static ulong Digest(RcuDomain rcu)
    {
        var hash = StateHash.Seed;
        rcu.HashInto(ref hash);
        return hash;
    }

    private sealed class Chained(Action then) : IRcuCallback
    {
        public void RunAfterGracePeriod() => then();
    }

    private sealed class Counted : IRcuCallback
    {
        public int Runs { get; private set; }

        public void RunAfterGracePeriod() => Runs++;
    }
}
