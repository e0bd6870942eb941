using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>The wrapper of the nvdimm tests, before and after patch 6.</summary>
[Trait("tier", "fast")]
public sealed class NfitTestTests
{
    // Goal: no pages, no memory, no map entry; the kill alone takes the ref from 1 to 0.
    [Theory]
    [InlineData("P0", 0)]
    [InlineData("ALL", 1)]
    public void A_fake_range_has_no_pages(string profile, int cleanups)
    {
        var world = DriverCycleTests.World(profile);
        var dax = new DevDax(world.Iomem, 0, 4, isFakeNfit: true);
        world.Bind(dax);
        Assert.Equal(1, dax.Counter.Value);
        world.Unbind();
        Assert.Equal(1, dax.Map.KillCalls);
        Assert.Equal(cleanups, dax.Map.CleanupCalls);
        Assert.DoesNotContain(
            world.Events,
            e => e.Kind is EventKind.MemoryAdd or EventKind.PagesInit or EventKind.MapStore or EventKind.MemoryRemove);
    }

    // Goal: patch 6 warns about what is missing before it calls it; before, nobody looks at a cleanup.
    [Theory]
    [InlineData("P0", false)]
    [InlineData("ALL", true)]
    public void A_missing_callback_is_called_all_the_same(string profile, bool warns)
    {
        var world = DriverCycleTests.World(profile);
        var dax = new DevDax(world.Iomem, 0, 1, isFakeNfit: true);
        world.Bind(dax);
        dax.Map.Ref = null;
        var oops = Assert.Throws<KernelOopsException>(() => world.Run(NfitTestProcedures.Kill(world.Host, dax.Map)));
        Assert.Equal(OopsKind.NullDereference, oops.Kind);
        Assert.Equal(warns ? ["missing-callbacks"] : [], world.Warnings);
    }
}
