using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>Probes that fail at each step: what they return, and what their unwinding leaves or waits for.</summary>
[Trait("tier", "fast")]
public sealed class ProbeFailureTests
{
    private static readonly string[] Before = ["P0", "P1", "P2", "P3", "P4", "P5"];

    /// <summary>Every failure point of every driver, under every profile.</summary>
    public static TheoryData<string, string, FailPoint, int> Failures()
    {
        FailPoint[] memremap =
        [
            FailPoint.MemremapRam, FailPoint.MemremapMapStore, FailPoint.MemremapPfnRemap, FailPoint.MemremapMemoryAdd,
            FailPoint.MemremapDevresNode,
        ];
        (string Driver, FailPoint[] Points, FailPoint Node, int Nodes)[] drivers =
        [
            (
                "dax",
                [FailPoint.DaxRegion, FailPoint.DaxRefInit, FailPoint.DaxCdevAdd, .. memremap],
                FailPoint.DaxDevresNode, 3),
            ("dax fake", [FailPoint.TestWrapperDevresNode], FailPoint.DaxDevresNode, 3),
            (
                "fsdax",
                [
                    FailPoint.PmemAlloc, FailPoint.PmemRegion, FailPoint.PmemQueueAlloc, FailPoint.PmemSetupFsdax,
                    FailPoint.PmemDiskAlloc, .. memremap,
                ],
                FailPoint.PmemDevresNode, 3),
            (
                "raw",
                [
                    FailPoint.PmemAlloc, FailPoint.PmemRegion, FailPoint.PmemQueueAlloc, FailPoint.PmemMemremap,
                    FailPoint.PmemDiskAlloc,
                ],
                FailPoint.PmemDevresNode, 2),
            (
                "hmm",
                [FailPoint.HmmAlloc, FailPoint.HmmRefInit, FailPoint.HmmRangeSearch, FailPoint.HmmRegion, .. memremap],
                FailPoint.HmmDevresNode, 1),
            ("hmm resource", [FailPoint.HmmAlloc, FailPoint.HmmRefInit, .. memremap], FailPoint.HmmDevresNode, 1),
        ];
        var rows = new TheoryData<string, string, FailPoint, int>();
        foreach (var profile in KernelProfile.All.Select(p => p.Name))
        {
            foreach (var (driver, points, node, nodes) in drivers)
            {
                foreach (var point in points)
                {
                    rows.Add(driver, profile, point, 0);
                }

                for (var nth = 0; nth < nodes; nth++)
                {
                    rows.Add(driver, profile, node, nth);
                }
            }
        }

        return rows;
    }

    // Goal: a failed probe returns the errno of its step, unbinds the driver, and ends as the model says: clean, with
    // one of its two leaks, or in a wait for a ref that nobody kills.
    // Method: one step fails; what is expected of it is written down in Expected, nothing else may happen.
    [Theory]
    [MemberData(nameof(Failures))]
    public void A_step_that_fails(string driver, string profile, FailPoint point, int nth)
    {
        var world = DriverCycleTests.World(profile);
        var state = DriverCycleTests.Make(world, driver);
        world.Fail(point, skip: nth);
        var expected = Expected(driver, world.Profile, point, nth);
        if (expected.Hangs)
        {
            Assert.Throws<HungException>(() =>
            {
                world.Bind(state);
                world.Unbind();
            });
            Assert.True(world.Device.IsLocked);
            return;
        }

        var error = world.Bind(state);
        Assert.Equal(expected.Err, error);
        Assert.Equal(error is Errno.OK, world.Device.IsBound);
        if (error is Errno.OK)
        {
            world.Unbind();
        }

        world.Settle();
        Assert.True(world.Device.Devres.IsEmpty);
        Assert.True(world.Iomem.IsFree(0, 64));
        Assert.Equal(expected.LeaksQueue, state is PmemDevice { Queue: { IsFreed: false, References: > 0 } queue }
            && queue.Usage.Count is { HasPercpuMemory: true });
        Assert.Equal(expected.LeaksRef, state is HmmDevmem { Counter.Count.HasPercpuMemory: true });
        Assert.All(state.Parts.OfType<DevPagemap>(), map => Assert.False(map.IsPresent || map.IsStored));

        // S12: the exit came while the switch was in flight, so its callback summed memory that was gone.
        var folded = world.Events.Where(e => e.Kind is EventKind.SwitchDone)
            .Any(e => ((PercpuRefWarn)e.Count & PercpuRefWarn.SummedFreedMemory) != 0);
        Assert.Equal(expected.ExitsWhileSwitching, folded);
    }

    [Theory]
    [InlineData("P0", true)]
    [InlineData("ALL", false)]
    public void Hmm_in_a_section_of_another_conflicts(string profile, bool hangs)
    {
        // S14.
        var world = DriverCycleTests.World(profile);
        var foreign = new DevDax(world.Iomem, 0, 1);
        world.Run(DriverCore.Bind(world.Host, new PciDevice(), foreign));
        var hmm = new HmmDevmem(world.Iomem, HmmSource.Resource, 2, 1);
        if (hangs)
        {
            Assert.Throws<HungException>(() => world.Bind(hmm));
        }
        else
        {
            Assert.Equal(Errno.ENOMEM, world.Bind(hmm));
            Assert.False(hmm.Counter.Count!.HasPercpuMemory);
        }

        Assert.Equal(["section-conflict"], world.Warnings);
    }

    [Fact]
    public void Hmm_finds_the_highest_free_sections()
    {
        var world = DriverCycleTests.World("ALL");
        world.Iomem.Occupy(13, 1);
        var hmm = new HmmDevmem(world.Iomem, HmmSource.FreeRange, 18, 5) { SectionPages = 4 };
        Assert.Equal(Errno.OK, world.Bind(hmm));
        Assert.Equal(0UL, hmm.Map.StartPfn);
        world.Unbind();
        world.Iomem.Occupy(5, 1);
        Assert.Equal(Errno.ERANGE, world.Bind(hmm));
        Assert.True(hmm.Counter.Count!.HasPercpuMemory);
    }

    [Fact]
    public void Hmm_refuses_a_resource_that_is_not_public_before_it_takes_anything()
    {
        var world = DriverCycleTests.World("P0");
        var hmm = new HmmDevmem(world.Iomem, HmmSource.Resource, 0, 1) { HasPublicDescriptor = false };
        Assert.Equal(Errno.EINVAL, world.Bind(hmm));
        Assert.DoesNotContain(world.Events, e => e.Kind is EventKind.StaticbranchGet or EventKind.DevresAdd);
    }

    [Fact]
    public void A_region_in_use_is_busy()
    {
        var world = DriverCycleTests.World("ALL");
        world.Iomem.Occupy(0, 1);
        Assert.Equal(Errno.EBUSY, world.Bind(new DevDax(world.Iomem, 0, 1)));
        Assert.Equal(Errno.EBUSY, world.Bind(new PmemDevice(world.Iomem, PmemMode.Raw, 0, 1)));
    }

    private static Outcome Expected(string driver, KernelProfile profile, FailPoint point, int nth)
    {
        var isBefore = Before.Contains(profile.Name);
        var hasInternalRef = profile.Has(KernelSwitch.PmemInternalRef);
        var outcome = new Outcome(FailPoints.DefaultErrno(point));
        switch (driver, point)
        {
            case ("dax" or "dax fake", FailPoint.DaxDevresNode):
                // or_reset runs the action at once. The first one before patch 6 waits for a ref that nobody killed.
                return isBefore && nth == 0 ? outcome with { Hangs = true }
                    : !isBefore && nth == 2 ? new Outcome(Errno.OK) : outcome;
            case ("dax", FailPoint.MemremapRam or FailPoint.MemremapMapStore or FailPoint.MemremapPfnRemap
                or FailPoint.MemremapMemoryAdd):
                return outcome with { ExitsWhileSwitching = isBefore };
            case ("dax", FailPoint.MemremapDevresNode):
                // The release that ran at once has killed; only its grace period for the map entry may have helped.
                return outcome with { ExitsWhileSwitching = isBefore };
            case ("dax fake", FailPoint.TestWrapperDevresNode):
                return outcome with { ExitsWhileSwitching = isBefore };
            case ("fsdax", FailPoint.PmemSetupFsdax):
                return outcome with { LeaksQueue = !isBefore && !hasInternalRef };
            case ("fsdax", FailPoint.PmemDevresNode):
                return FsdaxNode(outcome, profile, isBefore, hasInternalRef, nth);
            case ("raw", FailPoint.PmemDevresNode):
                return hasInternalRef && nth == 1 ? new Outcome(Errno.OK) : outcome;
            case ("fsdax" or "raw", FailPoint.PmemDiskAlloc):
                return outcome;
            case ("hmm" or "hmm resource", FailPoint.HmmDevresNode):
                return isBefore ? outcome with { Hangs = true } : new Outcome(Errno.OK);
            case ("hmm", FailPoint.HmmRangeSearch or FailPoint.HmmRegion):
                return isBefore ? outcome with { Hangs = true } : outcome with { LeaksRef = true };
            default:
                return outcome;
        }
    }

    private static Outcome FsdaxNode(
        Outcome outcome, KernelProfile profile, bool isBefore, bool hasInternalRef, int nth)
    {
        // Nodes, oldest first. Before: queue release, put_ops, disk release. From patch 6 on: put_ops, disk release.
        var drains = profile.Has(KernelSwitch.DelGendiskDrains) && !hasInternalRef;
        var isDisk = nth == (isBefore ? 2 : 1);
        if (nth > (isBefore ? 2 : 1))
        {
            return drains ? new Outcome(Errno.OK) { Hangs = true } : new Outcome(Errno.OK);
        }

        return isDisk
            ? outcome with { Hangs = drains }
            : outcome with { LeaksQueue = nth == 0 && !isBefore && !hasInternalRef };
    }

    private sealed record Outcome(Errno Err)
    {
        public bool Hangs { get; init; }

        public bool LeaksQueue { get; init; }

        public bool LeaksRef { get; init; }

        public bool ExitsWhileSwitching { get; init; }
    }
}
