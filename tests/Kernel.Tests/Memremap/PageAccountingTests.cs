using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.Memremap;

/// <summary>The table "memremap page accounting": four usable pages, the ref at 1.</summary>
[Trait("tier", "fast")]
public sealed class PageAccountingTests
{
    private const ulong Page = 4096;

    // Goal: after memremap the ref counts 5; kill 4, one more while it switches; the puts of three pages leave the
    // pinned page's 1; its unpin ends it. Method: the steps one by one, on a resource of the real procedure.
    [Fact]
    public void A_pinned_page_keeps_the_ref_until_it_is_put()
    {
        var world = DriverCycleTests.World("ALL");
        var resource = Bind(world);
        var (map, counted) = (resource.Map, resource.Map.Ref!);
        Assert.Equal(5, counted.Value);
        world.Run(MapProcedures.GetPage(world.Host, map, map.StartPfn + 2));
        Assert.Equal(2, map.CountOf(map.StartPfn + 2));
        Assert.Equal(5, counted.Value);

        world.Run(RefProcedures.Kill(world.Host, counted));
        Assert.Equal(5, counted.Value);
        world.Settle();
        Assert.Equal(4, counted.Value);
        world.Run(MapProcedures.PutInitialPages(world.Host, map));
        Assert.Equal(1, counted.Value);
        Assert.Equal(1, map.CountOf(map.StartPfn + 2));
        Assert.Equal(3, world.Events.Count(e => e.Kind is EventKind.PageFinalPut));
        Assert.Equal(0, counted.Releases);

        world.Run(MapProcedures.PutPage(world.Host, map, map.StartPfn + 2));
        Assert.Equal(0, counted.Value);
        Assert.Equal(1, counted.Releases);
        Assert.Equal(4, world.Events.Count(e => e.Kind is EventKind.PageFinalPut));
    }

    [Fact]
    public void An_allocation_keeps_one_more()
    {
        var world = DriverCycleTests.World("ALL");
        var resource = Bind(world);
        var (map, counted) = (resource.Map, resource.Map.Ref!);
        var held = world.Run(P2pdmaProcedures.Alloc(world.Host, world.Device, Page));
        Assert.Equal(6, counted.Value);
        world.Run(RefProcedures.Kill(world.Host, counted));
        world.Settle();
        world.Run(MapProcedures.PutInitialPages(world.Host, map));
        Assert.Equal(1, counted.Value);
        world.Run(P2pdmaProcedures.Free(world.Host, world.Device, held.Allocation));
        Assert.Equal(0, counted.Value);
        Assert.Equal(1, counted.Releases);
    }

    // Goal: before patch 5 all resources of a device count on one ref.
    [Fact]
    public void A_shared_ref_is_the_sum_of_the_resources()
    {
        var world = DriverCycleTests.World("P0");
        world.BindP2p(new PciBar(0, true, 0, 4 * Page), new PciBar(1, true, 16 * Page, 2 * Page));
        Assert.Equal(1 + 4 + 2, world.Objects.Pagemaps[0].Map.Ref!.Value);
        Assert.Same(world.Objects.Pagemaps[0].Map.Ref, world.Objects.Pagemaps[1].Map.Ref);
    }

    // Goal: the teardown quirk of the managed types: the release's own put makes a pinned page look idle.
    [Fact]
    public void Teardown_calls_a_pinned_fsdax_page_idle()
    {
        var world = DriverCycleTests.World("P0");
        var pmem = new PmemDevice(world.Iomem, PmemMode.Fsdax, 0, 1);
        world.Bind(pmem);
        world.Run(MapProcedures.GetPage(world.Host, pmem.Map, 0));
        Assert.Throws<HungException>(world.Unbind);
        Assert.Equal(1, world.Events.Count(e => e.Kind is EventKind.PageIdle));
        Assert.Equal(1, pmem.Map.CountOf(0));
        var oops = Assert.Throws<KernelOopsException>(() => world.Run(MapProcedures.PutPage(world.Host, pmem.Map, 0)));
        Assert.Equal(OopsKind.RemovedMemory, oops.Kind);
    }

    // Goal: bulk puts do not look at the pages, so a pin holds nothing; before them it holds the unbind.
    [Theory]
    [InlineData("fsdax", "MAINLINE", false)]
    [InlineData("dax", "MAINLINE", false)]
    [InlineData("fsdax", "L62f", true)]
    [InlineData("dax", "L62f", true)]
    [InlineData("dax", "ALL", true)]
    public void A_pin_holds_the_unbind_unless_pages_are_put_in_bulk(string driver, string profile, bool holds)
    {
        var world = DriverCycleTests.World(profile);
        var state = DriverCycleTests.Make(world, driver);
        world.Bind(state);
        var map = state.Parts.OfType<DevPagemap>().Single();
        world.Run(MapProcedures.GetPage(world.Host, map, 0));
        if (holds)
        {
            Assert.Equal(Step.WaitReaped, Assert.Throws<HungException>(world.Unbind).Step);
            Assert.True(map.IsPresent);
            world.Run(MapProcedures.PutPage(world.Host, map, 0));
            Assert.Equal(0, map.Ref!.Value);
        }
        else
        {
            world.Unbind();
            Assert.Throws<KernelOopsException>(() => world.Run(MapProcedures.PutPage(world.Host, map, 0)));
        }
    }

    private static P2pPagemap Bind(SequentialWorld world)
    {
        Assert.Equal(Errno.OK, world.BindP2p(new PciBar(0, true, 0, 4 * Page)));
        return world.Objects.Pagemaps[0];
    }
}
