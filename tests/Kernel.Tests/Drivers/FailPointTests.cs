using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>
/// The failure steps of kernel-model H.5 by their names: each is reached by some driver, and fails it with its errno.
/// </summary>
[Trait("tier", "fast")]
public sealed class FailPointTests
{
    private const ulong Page = 4096;

    /// <summary>Name, driver, a kernel in which that driver takes the step, errno of the call that it fails.</summary>
    public static TheoryData<string, string, string, Errno> Table() => new()
    {
        { "setup.p2pdma_alloc", "p2p", "ALL", Errno.ENOMEM },
        { "setup.pool_create", "p2p", "ALL", Errno.ENOMEM },
        { "setup.ref_init", "p2p", "P0", Errno.ENOMEM },
        { "setup.devres_node", "p2p", "ALL", Errno.ENOMEM },
        { "setup.sysfs_group", "p2p", "ALL", Errno.ENOMEM },
        { "add_resource.pgmap_alloc", "p2p", "ALL", Errno.ENOMEM },
        { "add_resource.ref_init", "p2p", "ALL", Errno.ENOMEM },
        { "add_resource.devres_node", "p2p", "P5", Errno.ENOMEM },
        { "add_resource.pool_add", "p2p", "ALL", Errno.ENOMEM },
        { "memremap.ram", "p2p", "ALL", Errno.ENXIO },
        { "memremap.map_store", "p2p", "ALL", Errno.ENOMEM },
        { "memremap.pfn_remap", "p2p", "ALL", Errno.EINVAL },
        { "memremap.memory_add", "p2p", "ALL", Errno.ENOMEM },
        { "memremap.devres_node", "p2p", "ALL", Errno.ENOMEM },
        { "mmap.page_insert", "mmap", "L62f", Errno.ENOMEM },
        { "dax.region", "dax", "ALL", Errno.EBUSY },
        { "dax.ref_init", "dax", "ALL", Errno.ENOMEM },
        { "dax.devres_node", "dax", "ALL", Errno.ENOMEM },
        { "dax.cdev_add", "dax", "ALL", Errno.ENOMEM },
        { "pmem.alloc", "fsdax", "ALL", Errno.ENOMEM },
        { "pmem.region", "fsdax", "ALL", Errno.EBUSY },
        { "pmem.queue_alloc", "fsdax", "ALL", Errno.ENOMEM },
        { "pmem.setup_fsdax", "fsdax", "ALL", Errno.ENOMEM },
        { "pmem.devres_node", "raw", "ALL", Errno.ENOMEM },
        { "pmem.memremap", "raw", "ALL", Errno.ENOMEM },
        { "pmem.disk_alloc", "fsdax", "ALL", Errno.ENOMEM },
        { "hmm.alloc", "hmm", "ALL", Errno.ENOMEM },
        { "hmm.ref_init", "hmm", "ALL", Errno.ENOMEM },
        { "hmm.devres_node", "hmm", "P0", Errno.ENOMEM },
        { "hmm.range_search", "hmm", "ALL", Errno.ERANGE },
        { "hmm.region", "hmm", "ALL", Errno.ENOMEM },
        { "nfit_test.devres_node", "dax fake", "ALL", Errno.ENOMEM },
        { "pmem.ref_init", "fsdax", "L515c", Errno.ENOMEM },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void A_step_that_is_made_to_fail_by_name_fails_its_call(
        string name, string driver, string profile, Errno expected)
    {
        var whole = DriverCycleTests.World(profile);
        Assert.Equal(Errno.OK, Call(whole, driver));

        Assert.True(FailPoints.TryParse(name, out var point));
        Assert.Equal(name, FailPoints.WireName(point));
        var world = DriverCycleTests.World(profile);
        world.Fail(point);

        // The reset of that one action waits for a ref that nobody has killed: kernel-model C.6, D6c.
        if (name == "hmm.devres_node")
        {
            Assert.Throws<HungException>(() => Call(world, driver));
        }
        else
        {
            Assert.Equal(expected, Call(world, driver));
        }

        Assert.True(world.HasFailed(point));
    }

    [Fact]
    public void Every_name_is_in_the_table() =>
        Assert.Equal(FailPoints.Names, Table().Select(row => (string)row[0]));

    [Fact]
    public void Another_errno_may_be_asked_for()
    {
        var world = DriverCycleTests.World("ALL");
        world.Fail(FailPoint.MemremapMemoryAdd, Errno.EBUSY);
        Assert.Equal(Errno.EBUSY, Call(world, "p2p"));
    }

    [Fact]
    public void What_is_no_step_has_no_point() => Assert.False(FailPoints.TryParse("memremap", out _));

    // Goal: kernel-model B.5, step 5: the range lies in System RAM.
    [Fact]
    public void A_range_in_system_ram_is_warned_about()
    {
        var world = DriverCycleTests.World("ALL");
        world.Fail(FailPoint.MemremapRam);
        Call(world, "p2p");
        Assert.Equal(["ram-overlap"], world.Warnings);
        Assert.Equal(1, world.Events.Count(e => e.Kind is EventKind.RefKill));
    }

    private static Errno Call(SequentialWorld world, string driver)
    {
        if (driver is not ("p2p" or "mmap"))
        {
            return world.Bind(DriverCycleTests.Make(world, driver));
        }

        var error = world.BindP2p(new PciBar(0, true, 1 << 20, Page));
        return driver == "mmap" && error is Errno.OK
            ? world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page)).Err
            : error;
    }
}
