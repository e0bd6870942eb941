using Fleet.Kernel.Block;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.Block;

/// <summary>The life of a request queue as its procedures have it, step by step and event by event.</summary>
[Trait("tier", "fast")]
public sealed class RequestQueueTests
{
    private readonly SequentialWorld _world = DriverCycleTests.World("ALL");
    private readonly RequestQueue _queue = new();

    [Fact]
    public void A_queue_begins_counted_centrally_and_with_one_reference()
    {
        Assert.Equal(Errno.OK, _world.Run(RequestQueueProcedures.Alloc(_world.Host, _queue)));
        Assert.Equal((1, 0, 0, false, false), (
            _queue.References, _queue.InFlight, _queue.FreezeDepth, _queue.IsFreed, _queue.IsFreeQueued));
        Assert.False(_queue.Usage.Count!.IsPercpu);
        _world.Run(RequestQueueProcedures.Register(_world.Host, _queue));
        Assert.True(_queue.Usage.Count.IsPercpu);
        Assert.Contains(_world.Events, e => e.Kind is EventKind.ObjAlloc && ReferenceEquals(e.Other, _queue));
    }

    // Goal: every atomic step is declared before it is done, with what it touches, and every event stands at its place.
    // Method: the whole life of a queue, opened by somebody; the queue is bit 1, its counter 2, what counts 4 and 8.
    [Fact]
    public void Points_and_events_come_in_the_kernels_order()
    {
        Name();
        Begin();
        _world.Run(RequestQueueProcedures.Open(_world.Host, _queue));
        Enter();
        _world.Run(RequestQueueProcedures.StartFreeze(_world.Host, _queue));
        _world.Run(RequestQueueProcedures.IoExit(_world.Host, _queue));
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        _world.Run(RequestQueueProcedures.Close(_world.Host, _queue));
        _world.Settle();
        Assert.Equal(
            [
                "ObjectAlloc 0 1", "RefInit 1 6", "RefInit", "ObjAlloc", "QueueRegister 1 6", "DiskOpen 1 1",
                "RefFlags 3 0", "RefTrygetLive", "RefIncrement 3 4", "IoEnter", "QueueFreeze 0 1", "QueueFreezeStart",
                "Kill 1 e", "RefKill", "SwitchBegin", "IoExit", "RefPut 3 c", "RefPut", "QueueFreeze 0 1",
                "QueueFreezeStart", "QueueWaitBegin", "WaitBegin", "QueueWait f 0", "SwitchDone", "RefZero",
                "Complete", "WaitEnd", "QueueWaitEnd", "QueueExit 0 1", "QueueDead", "RefExit 1 6", "RefExit",
                "QueuePut ffffffffffffffff ffffffffffffffff", "QueuePut",
                "DiskClose ffffffffffffffff ffffffffffffffff", "QueuePut", "RcuCbQueue", "QueueFreed", "ObjFree",
            ],
            _world.Trace);
    }

    // Goal: a step that comes after the queue was freed meets freed memory, says so, and has changed nothing.
    // Method: somebody frees the queue just before the step.
    [Theory]
    [InlineData(Step.QueueRegister, "blk_register_queue")]
    [InlineData(Step.QueueFreeze, "blk_freeze_queue_start")]
    [InlineData(Step.DiskOpen, "the opener")]
    [InlineData(Step.DiskClose, "blk_put_queue")]
    [InlineData(Step.QueueFreeze, "blk_cleanup_queue")]
    public void A_step_on_a_queue_that_was_just_freed_changes_nothing(Step step, string where)
    {
        Assert.Equal(Errno.OK, _world.Run(RequestQueueProcedures.Alloc(_world.Host, _queue)));
        var before = Seen();
        var events = _world.Events.Count;
        _world.AtPoint = at => _queue.IsFreed |= at == step;
        var oops = Assert.Throws<KernelOopsException>(() => _world.Run((step, where[..7]) switch
        {
            (Step.QueueRegister, _) => RequestQueueProcedures.Register(_world.Host, _queue),
            (Step.QueueFreeze, "blk_fre") => RequestQueueProcedures.StartFreeze(_world.Host, _queue),
            (Step.DiskOpen, _) => RequestQueueProcedures.Open(_world.Host, _queue),
            (Step.DiskClose, _) => RequestQueueProcedures.Close(_world.Host, _queue),
            _ => RequestQueueProcedures.Cleanup(_world.Host, _queue),
        }));
        Assert.Equal(OopsKind.UseAfterFree, oops.Kind);
        Assert.Contains(where, oops.Message, StringComparison.Ordinal);
        Assert.Equal(before, Seen());
        Assert.DoesNotContain(_world.Events.Skip(events), e => e.Kind is not EventKind.Oops);

        (int References, int FreezeDepth, bool IsDying, bool IsPercpu) Seen() =>
            (_queue.References, _queue.FreezeDepth, _queue.IsDying, _queue.Usage.Count!.IsPercpu);
    }

    // Goal: who looks just before a step sees the state before it, and who is told of a step sees the state after it.
    // Only that memory is gone is told while it is still there.
    [Fact]
    public void The_state_changes_between_a_point_and_its_event()
    {
        List<string> seen = [];
        _world.AtPoint = step =>
            seen.Add($"{step}: {(step is Step.ObjectAlloc ? _queue.References > 0 : _queue.IsDead)}");
        _world.AtEvent = kind => seen.Add($"{kind}: {(kind is EventKind.QueueDead ? _queue.IsDead : _queue.IsFreed)}");
        Begin();
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        _world.Settle();
        Assert.Equal(
            ["ObjectAlloc: False", "QueueExit: False", "QueueDead: True", "QueueFreed: False", "ObjFree: False"],
            seen.Where(line => line.Split(':')[0] is "ObjectAlloc" or "QueueExit" or "QueueDead" or "QueueFreed"
                or "ObjFree"));
    }

    // Goal: memory that is allocated again begins like new memory, whatever the life before left in it.
    [Fact]
    public void A_queue_that_is_allocated_again_begins_anew()
    {
        Begin();
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        _world.Settle();
        _queue.InFlight = 3;
        Begin();
        Assert.Equal((1, 0, 0), (_queue.References, _queue.InFlight, _queue.FreezeDepth));
        Assert.Equal((false, false, false, false), (
            _queue.IsDying, _queue.IsDead, _queue.IsFreed, _queue.IsFreeQueued));
    }

    [Fact]
    public void A_queue_that_is_reset_was_never_allocated()
    {
        Begin();
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        _world.Settle();
        _queue.InFlight = 3;
        _queue.Reset();
        Assert.Equal((0, 0, 0), (_queue.References, _queue.InFlight, _queue.FreezeDepth));
        Assert.Equal((false, false, false, false), (
            _queue.IsDying, _queue.IsDead, _queue.IsFreed, _queue.IsFreeQueued));
    }

    // Goal: where nobody models grace periods, the last put frees at once.
    [Fact]
    public void Without_grace_periods_the_last_put_frees_the_memory()
    {
        _queue.Begin();
        _world.Run(RequestQueueProcedures.Close(_world.Host, _queue));
        Assert.True(_queue.IsFreed);
        Assert.Equal(
            [EventKind.QueuePut, EventKind.RcuCbQueue, EventKind.QueueFreed, EventKind.ObjFree],
            _world.Events.Select(e => e.Kind));
    }

    [Fact]
    public void A_failed_allocation_is_no_object()
    {
        _world.Fail(FailPoint.PmemQueueAlloc);
        Assert.Equal(Errno.ENOMEM, _world.Run(RequestQueueProcedures.Alloc(_world.Host, _queue)));
        Assert.DoesNotContain(_world.Events, e => e.Kind is EventKind.ObjAlloc);
    }

    // Goal: what a request is told at each stage, and what is written down about it.
    [Fact]
    public void Requests_enter_until_the_queue_is_frozen_and_are_sent_away_once_it_dies()
    {
        Begin();
        Assert.Equal(QueueEnter.Entered, Enter());
        Assert.Equal(QueueEnter.Entered, Enter());
        Assert.Equal(2, _queue.InFlight);
        _world.Run(RequestQueueProcedures.IoExit(_world.Host, _queue));
        Assert.Equal(1, _queue.InFlight);
        _world.Run(RequestQueueProcedures.StartFreeze(_world.Host, _queue));
        Assert.Equal(QueueEnter.Frozen, Enter());
        _world.Run(RequestQueueProcedures.IoExit(_world.Host, _queue));
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        Assert.Equal(QueueEnter.Dying, _world.Run(RequestQueueProcedures.IoEnter(_world.Host, _queue)));
        Assert.Equal(
            [
                (EventKind.IoEnter, 1, Errno.OK), (EventKind.IoEnter, 2, Errno.OK), (EventKind.IoExit, 1, Errno.OK),
                (EventKind.QueueFreezeStart, 1, Errno.OK), (EventKind.IoEnter, 1, Errno.EAGAIN),
                (EventKind.IoExit, 0, Errno.OK), (EventKind.QueueFreezeStart, 2, Errno.OK),
                (EventKind.QueueWaitBegin, 0, Errno.OK), (EventKind.QueueWaitEnd, 0, Errno.OK),
                (EventKind.QueueDead, 0, Errno.OK), (EventKind.QueuePut, 0, Errno.OK),
                (EventKind.RcuCbQueue, 0, Errno.OK), (EventKind.IoEnter, 0, Errno.ENODEV),
            ],
            _world.Events.Where(e => ReferenceEquals(e.Subject, _queue)).Select(e => (e.Kind, (int)e.Count, e.Err)));
        Assert.Equal(1, _world.Events.Count(e => e.Kind is EventKind.RefKill));
    }

    [Fact]
    public void Whoever_opens_the_disk_keeps_the_memory_until_it_closes_it()
    {
        Begin();
        _world.Run(RequestQueueProcedures.Open(_world.Host, _queue));
        Assert.Equal(2, _queue.References);
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        Assert.Equal((true, true, 1, false), (
            _queue.IsDying, _queue.IsDead, _queue.References, _queue.IsFreeQueued));
        _world.Run(RequestQueueProcedures.Close(_world.Host, _queue));
        Assert.Equal((0, true, false), (_queue.References, _queue.IsFreeQueued, _queue.IsFreed));
        _world.Settle();
        Assert.True(_queue.IsFreed);
        Assert.Equal(
            [EventKind.QueueFreed, EventKind.ObjFree],
            _world.Events.TakeLast(2).Select(e => e.Kind));
        Assert.Equal(
            OopsKind.UseAfterFree,
            Assert.Throws<KernelOopsException>(
                () => _world.Run(RequestQueueProcedures.Open(_world.Host, _queue))).Kind);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Every_step_reads_the_queues_memory(int step)
    {
        Begin();
        _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue));
        _world.Settle();
        Assert.Throws<KernelOopsException>(() => _world.Run(step switch
        {
            0 => RequestQueueProcedures.Register(_world.Host, _queue),
            1 => RequestQueueProcedures.StartFreeze(_world.Host, _queue),
            2 => RequestQueueProcedures.Cleanup(_world.Host, _queue),
            _ => RequestQueueProcedures.Close(_world.Host, _queue),
        }));
    }

    [Fact]
    public void A_drain_waits_for_the_requests_inside()
    {
        Begin();
        Enter();
        Assert.Equal(
            Step.QueueWait,
            Assert.Throws<HungException>(
                () => _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue))).Step);
    }

    [Fact]
    public void Another_queue_is_other_memory_under_the_same_names()
    {
        Name();
        var another = _queue.Another();
        Assert.NotSame(_queue, another);
        Assert.Equal(("queue", 1UL, 2), ((string)another.Handle!, another.Mask, another.Life));
        Assert.Equal(
            ("usage", 2UL, 4UL, 8UL, 2),
            ((string)another.Usage.Handle!, another.Usage.Mask, another.Usage.CountMask, another.Usage.ReapedMask,
                another.Usage.Life));
        Assert.Equal(1UL, ((IRcuCallback)another).Touches);
    }

    // Goal: a state that can go on differently has another digest, and Reset brings back that of the beginning.
    // Method: queues that differ in one thing; how many are inside and how many keep it commute, so the part of the
    // state that steps declare leaves them out.
    [Fact]
    public void The_digest_tells_queues_apart_that_differ_in_one_thing()
    {
        Action[] lives =
        [
            () => { },
            Open,
            () => { Open(); Open(); },
            () => _world.Run(RequestQueueProcedures.StartFreeze(_world.Host, _queue)),
            () => { Freeze(); Freeze(); },
            () => _world.Run(RequestQueueProcedures.BeginCleanup(_world.Host, _queue)),
            () => _queue.Gate.MarkDead(),
            () => _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue)),
            () => { _world.Run(RequestQueueProcedures.Cleanup(_world.Host, _queue)); _world.Settle(); },
        ];
        var (digests, parts) = (new List<ulong>(), new List<ulong>());
        foreach (var life in lives)
        {
            Begin();
            life();
            var (whole, part) = (StateHash.Seed, StateHash.Seed);
            _queue.HashInto(ref whole);
            _queue.HashPart(0, ref part);
            digests.Add(whole);
            parts.Add(part);
            _world.Settle();
            _queue.Reset();
            Assert.Equal((0, 0, 0, false, false, false), (
                _queue.References, _queue.InFlight, _queue.FreezeDepth, _queue.IsDying, _queue.IsDead,
                _queue.IsFreeQueued));
        }

        Assert.Equal(lives.Length, digests.Distinct().Count());
        Assert.Equal([parts[0], parts[0]], parts[1..3]);
        Assert.Equal([parts[0], parts[3], parts[4], parts[5], parts[8]], parts.Distinct());

        void Open() => _world.Run(RequestQueueProcedures.Open(_world.Host, _queue));

        void Freeze() => _world.Run(RequestQueueProcedures.StartFreeze(_world.Host, _queue));
    }

    private void Name()
    {
        _queue.Handle = "queue";
        _queue.Mask = 1;
        (_queue.Usage.Handle, _queue.Usage.Mask, _queue.Usage.CountMask, _queue.Usage.ReapedMask) = ("usage", 2, 4, 8);
    }

    private QueueEnter Enter() => _world.Run(RequestQueueProcedures.IoEnter(_world.Host, _queue));

    private void Begin()
    {
        Assert.Equal(Errno.OK, _world.Run(RequestQueueProcedures.Alloc(_world.Host, _queue)));
        _world.Run(RequestQueueProcedures.Register(_world.Host, _queue));
    }
}
