using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Tests;

[Trait("tier", "cluster")]
public sealed class HotOperationTests
{
    [Fact]
    public async Task Vectors_and_mixed_batches_answer_each_element_in_its_place()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var allocated = await fleet.DeviceGrain.AllocMany(new(
            [new(1, fleet.Session, 4096), new(2, fleet.Session, 1UL << 40), new(3, fleet.Session, 8192)]));
        Assert.Equal([Errno.OK, Errno.ENOMEM, Errno.OK], allocated.Select(r => r.Err));
        Assert.Equal([1L, 2L], allocated.Where(r => r.Number != 0).Select(r => r.Number));
        Assert.Equal([1L, 1L], allocated.Zip(allocated.Skip(1), (a, b) => b.At.Seq - a.At.Seq));

        var map = fleet.Plan.Devices[0].ResourceKey(0);
        var write = new AccessRequest(
            4, fleet.Session, 1, 2, allocated[2].Address >> 12, 2, AccessDirection.Write, AccessVia.Cpu, 0x55);
        var answers = await fleet.Grains.GetGrain<IFrontGrain>(LiveFleet.Device).Submit(
        [
            FrontRequest.Of(LiveFleet.Device, new AllocRequest(5, fleet.Session, 4096)),
            FrontRequest.Of(map, write),
            FrontRequest.Of(map, write with { Direction = AccessDirection.Read, Tag = 0 }),
            FrontRequest.Of(LiveFleet.Device, new FreeRequest(6, fleet.Session, 1, 1, allocated[0].Address, 4096)),
        ]);
        Assert.Equal([Errno.OK, Errno.OK, Errno.OK, Errno.OK], answers.Select(a => a.Err));
        Assert.Equal([3L, 0, 0, 0], answers.Select(a => a.Number));
        Assert.Equal(0x55UL, answers[2].Tag);
        Assert.Equal(0, fleet.Positions.Misplaced);
    }

    [Fact]
    public async Task Handles_that_are_not_the_callers_execute_nothing()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var held = await fleet.Alloc();
        Assert.Equal((Errno.OK, Errno.EINVAL), ((await fleet.Free(held)).Err, (await fleet.Free(held)).Err));
        var later = held with { At = held.At with { Gen = 2 } };
        Assert.Equal((Errno.ENODEV, default), (await fleet.Free(later)) is var f ? (f.Err, f.At) : default);
        Assert.Equal((Errno.ENODEV, default), (await fleet.Read(later)) is var a ? (a.Err, a.At) : default);
        var beyond = held with { Address = held.Address + LiveFleet.ResourceBytes };
        Assert.Equal(Errno.EINVAL, (await fleet.Read(beyond)).Err);
    }

    [Fact]
    public async Task Tickets_say_busy_unknown_and_not_bound()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        Assert.Equal(Errno.ENODEV, (await fleet.DeviceGrain.Alloc(new(1, fleet.Session, 4096))).Err);
        await fleet.Build();
        Assert.Equal(Errno.EBUSY, await fleet.Bind());
        Assert.Equal(Errno.ENOENT, (await fleet.DeviceGrain.AwaitTicket(99)).Err);
        Assert.Equal((Errno.OK, Errno.ENODEV), (await fleet.Unbind(), await fleet.Unbind()));
        Assert.Equal(Errno.OK, await fleet.Bind());
        Assert.Equal(2, (await fleet.Alloc()).At.Life);
    }

    [Fact]
    public async Task A_second_unbind_waits_for_the_lock_and_then_finds_nothing_bound()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var held = await fleet.Alloc();
        var first = await fleet.DeviceGrain.Unbind(1);
        var second = await fleet.UnbindUntil("waits for the device lock held by unbind");
        await fleet.Free(held);
        Assert.Equal(Errno.OK, (await fleet.Await(first)).Err);
        Assert.Equal(Errno.ENODEV, (await fleet.Await(second)).Err);
    }

    [Fact]
    public async Task With_patch_3_a_failed_pool_add_leaves_nothing_behind()
    {
        await using var fleet = await LiveFleet.Start(
            "ALL", resources: 2, new InjectionPlan("add_resource.pool_add", Errno.ENOMEM, 0, Nth: 2));
        Assert.Equal(Errno.ENOMEM, (await fleet.Build()).Failed.Single().Err);
        var held = await fleet.Alloc();
        Assert.Equal((Errno.OK, (short)0), (held.Err, held.Resource));
        await fleet.Free(held);
        Assert.Equal((Errno.OK, Errno.OK), (await fleet.Unbind(), await fleet.Bind()));
        Assert.Equal(1, (await fleet.HostGrain.Quiesce()).Counters.Injected);
        Assert.Empty(fleet.Checker.Snapshot().Findings);
    }
}
