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
}
