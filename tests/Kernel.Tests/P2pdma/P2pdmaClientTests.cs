using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.P2pdma;

/// <summary>Peer-to-peer memory as drivers and processes use it, under every profile that has it.</summary>
[Trait("tier", "fast")]
public sealed class P2pdmaClientTests
{
    private const ulong Page = 4096;
    private static readonly PciBar Bar = new(0, true, 16 * Page, 4 * Page, BusOffset: 0x1_0000_0000);

    /// <summary>All but the counterfactual in which p2pdma is refused.</summary>
    public static TheoryData<string> Profiles => [.. KernelProfile.All.Where(p => p.Name != "X6c").Select(p => p.Name)];

    public static TheoryData<string> MmapProfiles => ["L62", "L62f", "CLEAN", "MAINLINE"];

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Attributes_show_what_the_pool_holds(string profile)
    {
        var world = DriverCycleTests.World(profile);
        ulong Show(P2pAttribute attribute)
        {
            var shown = world.Run(P2pdmaSysfs.Show(world.Host, world.Device, attribute));
            Assert.Equal(Errno.OK, shown.Err);
            return shown.Value;
        }

        Assert.Equal(
            Errno.ENODEV, world.Run(P2pdmaSysfs.Show(world.Host, world.Device, P2pAttribute.Size)).Err);
        Assert.Equal(Errno.OK, world.BindP2p(Bar));
        var held = world.Run(P2pdmaProcedures.Alloc(world.Host, world.Device, Page + 1));
        Assert.Equal(4 * Page, Show(P2pAttribute.Size));
        Assert.Equal(2 * Page, Show(P2pAttribute.Available));
        Assert.Equal(0UL, Show(P2pAttribute.Published));
        world.Run(P2pdmaClient.Publish(world.Host, world.Device, published: true));
        Assert.Equal(1UL, Show(P2pAttribute.Published));
        world.Run(P2pdmaProcedures.Free(world.Host, world.Device, held.Allocation));
        EndUnbind(world, profile);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void A_scatter_list_goes_back_whole(string profile)
    {
        var world = DriverCycleTests.World(profile);
        world.BindP2p(Bar);
        var taken = world.Run(P2pdmaClient.AllocSgl(world.Host, world.Device, 3 * Page));
        Assert.Equal(3 * Page, Assert.Single(taken.List!.Entries).SizeBytes);
        Assert.NotEqual(Errno.OK, world.Run(P2pdmaClient.AllocSgl(world.Host, world.Device, 2 * Page)).Err);
        world.Run(P2pdmaClient.FreeSgl(world.Host, world.Device, taken.List));
        EndUnbind(world, profile);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void The_bus_address_is_what_the_pool_recorded(string profile)
    {
        var world = DriverCycleTests.World(profile);
        ulong Bus(ulong address) => world.Run(P2pdmaClient.VirtToBus(world.Host, world.Device, address));

        Assert.Equal(0UL, Bus(Bar.StartAddress));
        Assert.False(world.Run(P2pdmaClient.HasP2pMem(world.Host, world.Device)));
        world.BindP2p(Bar);
        Assert.False(world.Run(P2pdmaClient.HasP2pMem(world.Host, world.Device)));
        Assert.Equal(0UL, Bus(0));
        Assert.Equal(0x1_0000_0000 + (17 * Page) + 5, Bus((17 * Page) + 5));
        Assert.Equal(ulong.MaxValue, Bus(Page));
        world.Run(P2pdmaClient.Publish(world.Host, world.Device, published: true));
        Assert.True(world.Run(P2pdmaClient.HasP2pMem(world.Host, world.Device)));
        EndUnbind(world, profile);
        if (profile != "V1")
        {
            Assert.False(world.Run(P2pdmaClient.HasP2pMem(world.Host, world.Device)));
        }
    }

    [Fact]
    public void Mapping_a_page_for_dma_reads_its_back_pointer()
    {
        var world = DriverCycleTests.World("ALL");
        world.BindP2p(Bar);
        var resource = world.Objects.Pagemaps[0];
        Assert.Equal(
            unchecked(Bar.StartAddress - 0x1_0000_0000),
            world.Run(P2pdmaClient.MapPage(world.Host, resource, Bar.StartAddress)));
        world.Unbind();
        var oops = Assert.Throws<KernelOopsException>(
            () => world.Run(P2pdmaClient.MapPage(world.Host, resource, Bar.StartAddress)));
        Assert.Equal(OopsKind.RemovedMemory, oops.Kind);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void The_file_can_be_mapped_from_v6_2_on_only(string profile)
    {
        var world = DriverCycleTests.World(profile);
        world.BindP2p(Bar);
        var mapped = world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page));
        Assert.Equal(MmapProfiles.Contains(profile) ? Errno.OK : Errno.ENODEV, mapped.Err);
    }

    // Goal: memory of a mapping goes back page by page, once, whoever is first: the process or the unbind.
    [Theory]
    [MemberData(nameof(MmapProfiles))]
    public void Unbind_revokes_what_is_still_mapped(string profile)
    {
        var world = DriverCycleTests.World(profile);
        world.BindP2p(Bar);
        var kept = world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, 2 * Page)).Mapping!;
        var given = world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page)).Mapping!;
        Assert.Equal(Errno.OK, world.Run(P2pdmaMmap.Access(world.Host, kept, 1)));
        Assert.Equal(Page, world.Run(P2pdmaSysfs.Show(world.Host, world.Device, P2pAttribute.Available)).Value);
        world.Run(P2pdmaMmap.Munmap(world.Host, world.Device, given));
        Assert.Equal(Errno.EFAULT, world.Run(P2pdmaMmap.Access(world.Host, given, 0)));
        world.Unbind();
        Assert.Equal(Errno.EFAULT, world.Run(P2pdmaMmap.Access(world.Host, kept, 1)));
        world.Run(P2pdmaMmap.Munmap(world.Host, world.Device, kept));
        Assert.Equal(Errno.ENODEV, world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page)).Err);
        Assert.Empty(world.Warnings);
    }

    // Goal: schedule K22. The bridging reference of a failed page insert is forgotten before the fixes of 2026.
    [Theory]
    [InlineData("L62", 0)]
    [InlineData("L62", 1)]
    [InlineData("L62f", 0)]
    [InlineData("L62f", 1)]
    [InlineData("CLEAN", 1)]
    public void A_failed_page_insert_is_undone_or_hangs_the_unbind(string profile, int inserted)
    {
        var world = DriverCycleTests.World(profile);
        world.BindP2p(Bar);
        world.Fail(FailPoint.PageInsert, skip: inserted);
        var mapped = world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, 2 * Page));
        Assert.Equal(Errno.ENOMEM, mapped.Err);
        Assert.Equal(4 * Page, world.Run(P2pdmaSysfs.Show(world.Host, world.Device, P2pAttribute.Available)).Value);
        if (profile == "L62")
        {
            Assert.Equal(Step.WaitReaped, Assert.Throws<HungException>(world.Unbind).Step);
        }
        else
        {
            world.Unbind();
        }
    }

    // Goal: the page protocol of v6.15, where an idle page counts 0 and a failed insert must reset it.
    [Theory]
    [InlineData("L62", "page-count")]
    [InlineData("L62f", null)]
    public void A_failed_page_insert_leaves_the_count_idle_or_the_next_one_warns(string profile, string? warning)
    {
        var world = DriverCycleTests.World(profile);
        world.BindP2p(Bar);
        var map = world.Objects.Pagemaps[0].Map;
        map.IdleCount = 0;
        world.Fail(FailPoint.PageInsert);
        Assert.Equal(Errno.ENOMEM, world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page)).Err);
        var second = world.Run(P2pdmaMmap.Mmap(world.Host, world.Device, Page)).Mapping!;
        Assert.Equal(1, map.CountOf(second.Pfn(0)));
        world.Run(P2pdmaMmap.Munmap(world.Host, world.Device, second));
        Assert.Equal(0, map.CountOf(second.Pfn(0)));
        Assert.Equal(warning is null ? [] : [warning], world.Warnings);
    }

    private static void EndUnbind(SequentialWorld world, string profile)
    {
        switch (profile)
        {
            case "V1":
                Assert.Equal(OopsKind.NullDereference, Assert.Throws<KernelOopsException>(world.Unbind).Kind);
                break;
            default:
                world.Unbind();
                world.Settle();
                Assert.True(world.Device.Devres.IsEmpty);
                Assert.Empty(world.Warnings);
                break;
        }
    }
}
