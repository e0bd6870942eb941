using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.Memremap;

/// <summary>get_dev_pagemap and put_dev_pagemap, and I/O through the queue of pmem.</summary>
[Trait("tier", "fast")]
public sealed class LookupTests
{
    [Theory]
    [InlineData("dax", "P0")]
    [InlineData("dax", "ALL")]
    [InlineData("dax", "L60")]
    [InlineData("fsdax", "P0")]
    [InlineData("fsdax", "ALL")]
    [InlineData("fsdax", "L515c")]
    [InlineData("fsdax", "L60")]
    public void A_lookup_holds_one_reference_and_finds_only_the_living(string driver, string profile)
    {
        var world = DriverCycleTests.World(profile);
        var state = DriverCycleTests.Make(world, driver);
        Assert.Null(world.Run(LookupProcedures.GetDevPagemap(world.Host, 0)));
        world.Bind(state);
        var map = state.Parts.OfType<DevPagemap>().Single();
        var before = map.Ref!.Value;
        Assert.Same(map, world.Run(LookupProcedures.GetDevPagemap(world.Host, 0)));
        Assert.Equal(before + 1, map.Ref!.Value);
        Assert.Same(map, world.Run(LookupProcedures.GetDevPagemap(world.Host, 0, cached: map)));
        Assert.Equal(before + 1, map.Ref!.Value);
        Assert.Null(world.Run(LookupProcedures.GetDevPagemap(world.Host, 1, cached: map)));
        Assert.Equal(before, map.Ref!.Value);
        world.Run(LookupProcedures.PutDevPagemap(world.Host, null));
        world.Unbind();
        Assert.Null(world.Run(LookupProcedures.GetDevPagemap(world.Host, 0)));
        Assert.Equal(
            ["none", "load", "flags", "increment", "found", "none", "none"],
            world.Events.Where(e => e.Kind is EventKind.MapLookup).Select(e => e.Fn));
    }

    [Fact]
    public void A_dying_map_is_invisible_although_it_is_stored()
    {
        var world = DriverCycleTests.World("ALL");
        var dax = new DevDax(world.Iomem, 0, 1);
        world.Bind(dax);
        world.Run(RefProcedures.Kill(world.Host, dax.Counter));
        Assert.Null(world.Run(LookupProcedures.GetDevPagemap(world.Host, 0)));
        Assert.True(dax.Map.IsStored);
    }

    // Goal: a held lookup makes the unbind wait before the memory goes.
    [Fact]
    public void A_held_lookup_holds_the_unbind()
    {
        var world = DriverCycleTests.World("ALL");
        var pmem = new PmemDevice(world.Iomem, PmemMode.Fsdax, 0, 1);
        world.Bind(pmem);
        var held = world.Run(LookupProcedures.GetDevPagemap(world.Host, 0));
        Assert.Equal(Step.QueueWait, Assert.Throws<HungException>(world.Unbind).Step);
        Assert.True(pmem.Map.IsPresent);
        world.Run(LookupProcedures.PutDevPagemap(world.Host, held));
        Assert.True(pmem.Queue.Usage.Count!.IsZero);
    }

    // Goal: R3. With a request inside, raw pmem before v5.15 has no mapping left when it waits for it.
    [Theory]
    [InlineData("P0", false)]
    [InlineData("ALL", false)]
    [InlineData("L515a", true)]
    [InlineData("L515b", true)]
    [InlineData("L515c", true)]
    public void A_request_in_flight_keeps_its_mapping_from_v5_15_on(string profile, bool isSafe)
    {
        var world = DriverCycleTests.World(profile);
        var pmem = new PmemDevice(world.Iomem, PmemMode.Raw, 0, 1);
        world.Bind(pmem);
        var queue = pmem.Queue;
        world.Run(RequestQueueProcedures.Open(world.Host, queue));
        Assert.Equal(QueueEnter.Entered, world.Run(RequestQueueProcedures.IoEnter(world.Host, queue)));
        world.Run(PmemProcedures.IoAccess(world.Host, pmem, 0));
        Assert.Equal(Step.QueueWait, Assert.Throws<HungException>(world.Unbind).Step);
        var failure = Record.Exception(() => world.Run(PmemProcedures.IoAccess(world.Host, pmem, 0)));
        Assert.Equal(isSafe, failure is null);
        Assert.NotEqual(QueueEnter.Entered, world.Run(RequestQueueProcedures.IoEnter(world.Host, queue)));
        world.Run(RequestQueueProcedures.IoExit(world.Host, queue));
        Assert.True(queue.Usage.Count!.IsZero);
    }

    // Goal: the memory of a queue stays while its disk is open, and goes a grace period after the last close.
    [Fact]
    public void An_open_disk_keeps_its_queue()
    {
        var world = DriverCycleTests.World("ALL");
        var pmem = new PmemDevice(world.Iomem, PmemMode.Raw, 0, 1);
        world.Bind(pmem);
        var queue = pmem.Queue;
        world.Run(RequestQueueProcedures.Open(world.Host, queue));
        world.Unbind();
        world.Settle();
        Assert.False(queue.IsFreed);
        Assert.Equal(QueueEnter.Dying, world.Run(RequestQueueProcedures.IoEnter(world.Host, queue)));
        world.Run(RequestQueueProcedures.Close(world.Host, queue));
        Assert.False(queue.IsFreed);
        world.Settle();
        Assert.True(queue.IsFreed);
        world.Bind(pmem);
        Assert.NotSame(queue, pmem.Queue);
    }
}
