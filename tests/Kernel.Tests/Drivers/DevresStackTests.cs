using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>
/// The devres stacks of the model, by driver and profile: what registers in which order, and runs in the reverse.
/// </summary>
[Trait("tier", "fast")]
public sealed class DevresStackTests
{
    private const string Mem = "devm_kzalloc";
    private const string Region = "devm_region_release";
    private const string Reap = "percpu_ref_exit_action";
    private const string Pages = "devm_memremap_pages_release";
    private const string Queue = "pmem_release_queue";
    private const string PutOps = "dev_pagemap_put_ops";
    private const string Disk = "pmem_release_disk";
    private const string Unmap = "devm_memremap_release";
    private const string P2pRelease = "pci_p2pdma_release";
    private const string P2pCleanup = "pci_p2pdma_percpu_cleanup";
    private const string Revoke = "pci_p2pdma_unmap_mappings";
    private const string Test = "nfit_test_kill";

    private static readonly string[] Before = ["P0", "P1", "P2", "P3", "P4", "P5"];
    private static readonly string[] AfterSix = ["ALL", "V1", "X6-5", "X6c", "ALL-p3"];

    public static TheoryData<string, string, string[]> Table()
    {
        var rows = new TheoryData<string, string, string[]>();
        void Add(IEnumerable<string> profiles, string driver, params string[] stack)
        {
            foreach (var profile in profiles)
            {
                rows.Add(driver, profile, stack);
            }
        }

        string[] internalRef = ["L515c", "L60", "L62", "L62f", "CLEAN", "MAINLINE"];
        string[] later = ["L514", "L515a", "L515b", .. internalRef];
        Add(Before, "dax", Region, Reap, Pages, "cdev_del", "kill_dev_dax");
        Add([.. AfterSix, .. later], "dax", Region, Pages, "cdev_del", "kill_dev_dax");
        Add(Before, "dax fake", Region, Reap, Test, "cdev_del", "kill_dev_dax");
        Add([.. AfterSix, .. later], "dax fake", Region, Test, "cdev_del", "kill_dev_dax");
        Add(Before, "fsdax", Mem, Region, Queue, PutOps, Pages, Mem, Disk);
        Add([.. AfterSix, "L514", "L515a", .. internalRef], "fsdax", Mem, Region, PutOps, Pages, Mem, Disk);
        Add([.. Before, .. AfterSix, "L514"], "raw", Mem, Region, Queue, Unmap, Mem, Disk);
        Add(["L515a", "L515b"], "raw", Mem, Region, Unmap, Queue, Mem, Disk);
        Add(internalRef, "raw", Mem, Region, Unmap, Mem, Disk);
        Add(Before, "hmm", Mem, Reap, Region, Pages);
        Add(AfterSix, "hmm", Mem, Region, Pages);
        Add(Before, "hmm resource", Mem, Reap, Pages);
        Add(AfterSix, "hmm resource", Mem, Pages);
        Add(["P0", "P1", "P2", "P3", "P4", "X6-5"], "p2p", Mem, P2pRelease, Mem, Pages, Mem, Pages);
        Add(["P5"], "p2p", Mem, P2pRelease, Mem, P2pCleanup, Pages, Mem, P2pCleanup, Pages);
        Add(
            ["ALL", "V1", "ALL-p3", "L514", "L515a", "L515b", "L515c", "L60"], "p2p",
            Mem, P2pRelease, Mem, Pages, Mem, Pages);
        Add(["L62", "L62f", "MAINLINE"], "p2p", Mem, P2pRelease, Mem, Pages, Revoke, Mem, Pages, Revoke);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Table))]
    public void Registered_oldest_first_and_run_newest_first(string driver, string profile, string[] stack)
    {
        var world = DriverCycleTests.World(profile);
        Assert.Equal(Errno.OK, Bind(world, driver));
        Assert.Equal(stack, world.Devres(EventKind.DevresAdd));

        // With two resources on one ref the release of the first waits for the second: X6-5 never gets on.
        var ran = (driver, profile) switch
        {
            ("p2p", "X6-5") => [Pages],
            ("p2p", "V1") => stack.Reverse().Take(stack.Length - 1),
            _ => stack.Reverse(),
        };
        var failure = Record.Exception(world.Unbind);
        Assert.Equal(
            (driver, profile) is ("p2p", "X6-5") ? typeof(HungException)
            : (driver, profile) is ("p2p", "V1") ? typeof(Host.KernelOopsException) : null,
            failure?.GetType());
        Assert.Equal(ran, world.Devres(EventKind.DevresRun));
    }

    // Goal: unpublish stays the newest, owners are no nodes of their own any more, the rest is as before.
    [Fact]
    public void Clean_unpublishes_first_and_frees_the_owners_last()
    {
        var world = DriverCycleTests.World("CLEAN");
        Bind(world, "p2p");
        world.Unbind();
        Assert.Equal(
            ["pci_p2pdma_unpublish", Revoke, Pages, Revoke, Pages, P2pRelease, Mem], world.Devres(EventKind.DevresRun));
        var freed = world.Events.Where(e => e.Kind is EventKind.ObjFree).Select(e => e.Other!.Kind);
        Assert.Equal(
            [Host.KernelObjectKind.Pgmap, Host.KernelObjectKind.Pgmap, Host.KernelObjectKind.P2pdma], freed);
    }

    private static Errno Bind(SequentialWorld world, string driver) => driver == "p2p"
        ? world.BindP2p(new PciBar(0, true, 0, 4096), new PciBar(1, true, 1 << 14, 4096))
        : world.Bind(DriverCycleTests.Make(world, driver));
}
