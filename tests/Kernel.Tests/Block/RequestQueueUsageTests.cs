namespace Fleet.Kernel.Tests.Block;

/// <summary>The request queue of kernel-model B.9.</summary>
[Trait("tier", "fast")]
public sealed class RequestQueueUsageTests
{
    [Fact]
    public void A_queue_counts_centrally_until_it_is_registered()
    {
        var queue = new RequestQueueUsage(new RcuDomain());
        Assert.False(queue.Usage.IsPercpu);
        Assert.True(queue.Register().IsDone);
        Assert.True(queue.Usage.IsPercpu);
        Assert.Equal(1, queue.Usage.Value);
    }

    [Fact]
    public void Only_the_first_of_nested_freezes_kills()
    {
        var rcu = new RcuDomain();
        var queue = new RequestQueueUsage(rcu);
        queue.Register();
        Assert.Equal(QueueEnter.Entered, queue.Enter());
        Assert.Equal(PercpuRefWarn.None, queue.StartFreeze().Warn);
        Assert.Equal(PercpuRefWarn.None, queue.StartFreeze().Warn);
        Assert.Equal(QueueEnter.Frozen, queue.Enter());

        rcu.RunCallbacks();
        Assert.False(queue.IsDrained);
        queue.Exit();
        Assert.True(queue.IsDrained);
        Assert.Equal(1, queue.Wakeups);

        queue.Unfreeze();
        Assert.True(queue.IsDrained);
        queue.Unfreeze();
        Assert.Equal(QueueEnter.Entered, queue.Enter());
    }

    [Fact]
    public void A_cleanup_refuses_new_requests_and_waits_for_the_old_ones()
    {
        var rcu = new RcuDomain();
        var queue = new RequestQueueUsage(rcu);
        queue.Register();
        queue.Enter();
        queue.MarkDying();
        Assert.Equal(QueueEnter.Dying, queue.Enter());
        rcu.RunCallbacks();
        Assert.False(queue.IsDrained);
        queue.Exit();
        Assert.True(queue.IsDrained);
        queue.MarkDead();
        Assert.Equal(PercpuRefWarn.None, queue.Usage.Exit());
        Assert.True(queue.IsDead);
    }

    [Fact]
    public void A_request_whose_flag_read_preceded_the_freeze_gets_in_and_is_waited_for()
    {
        var rcu = new RcuDomain();
        var queue = new RequestQueueUsage(rcu);
        queue.Register();
        rcu.EnterRead(0);
        var flags = queue.Usage.ReadFlags();
        queue.StartFreeze();
        Assert.Equal(QueueEnter.Entered, queue.EnterWith(flags));
        rcu.ExitRead(0);
        rcu.RunCallbacks();
        Assert.False(queue.IsDrained);
        queue.Exit();
        Assert.True(queue.IsDrained);
    }

    [Fact]
    public void The_counts_of_a_queue_say_where_it_stands()
    {
        var rcu = new RcuDomain();
        var queue = new RequestQueueUsage(rcu);
        Assert.Equal((0, false, false, false, false), Flags(queue));
        queue.StartFreeze();
        Assert.Equal((1, true, false, false, true), Flags(queue));
        Assert.Equal(1, queue.Wakeups);
        queue.MarkDying();
        Assert.Equal((2, true, true, false, true), Flags(queue));
        Assert.Equal(1, queue.Wakeups);
        queue.MarkDead();
        Assert.Equal((2, true, true, true, true), Flags(queue));
        queue.Reset();
        Assert.Equal((0, false, false, false, false), Flags(queue));
        Assert.Equal((1L, 0), (queue.Usage.Value, queue.Wakeups));
        Assert.Equal(QueueEnter.Entered, queue.Enter());

        static (int, bool, bool, bool, bool) Flags(RequestQueueUsage queue) =>
            (queue.FreezeDepth, queue.IsFreezing, queue.IsDying, queue.IsDead, queue.IsDrained);
    }

    [Fact]
    public void A_kill_or_revival_that_is_due_is_handed_to_the_caller()
    {
        var rcu = new RcuDomain();
        var queue = new RequestQueueUsage(rcu);
        queue.Register();
        queue.StartFreeze();
        var revival = queue.Unfreeze();
        Assert.False(revival.IsDone);
        var kill = queue.MarkDying();
        Assert.False(kill.IsDone);
        rcu.RunCallbacks();
        Assert.True(kill.TryComplete());
        Assert.True(queue.StartFreeze().IsDone);
    }

    // Goal: a state that can go on differently has another digest. Method: queues that differ in one thing.
    [Fact]
    public void The_digest_tells_queues_apart_that_differ_in_one_thing()
    {
        Action<RequestQueueUsage>[] lives =
        [
            _ => { },
            queue => queue.Enter(),
            queue => queue.Register(),
            queue => queue.StartFreeze(),
            queue => { queue.StartFreeze(); queue.StartFreeze(); },
            queue => queue.MarkDying(),
            queue => { queue.MarkDying(); queue.MarkDead(); },
            queue => { queue.StartFreeze(); queue.MarkDead(); },
        ];
        var digests = lives.Select(life =>
        {
            var (queue, hash) = (new RequestQueueUsage(new RcuDomain()), StateHash.Seed);
            life(queue);
            queue.HashInto(ref hash);
            return hash;
        });
        Assert.Equal(lives.Length, digests.Distinct().Count());
    }
}
