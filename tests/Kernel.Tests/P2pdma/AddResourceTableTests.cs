using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.P2pdma;

/// <summary>The errno table of add_resource.</summary>
[Trait("tier", "fast")]
public sealed class AddResourceTableTests
{
    private const ulong Page = 4096;

    [Theory]
    [InlineData("an I/O BAR", false, 16 * Page, 0, 0, Errno.EINVAL, 0)]
    [InlineData("a BAR of no length", true, 0, 0, 0, Errno.EINVAL, 0)]
    [InlineData("offset at the end", true, 16 * Page, 0, 16 * Page, Errno.EINVAL, 0)]
    [InlineData("size 0 takes the rest", true, 16 * Page, 0, 4 * Page, Errno.OK, 12 * Page)]
    [InlineData("up to the end", true, 16 * Page, 12 * Page, 4 * Page, Errno.OK, 12 * Page)]
    [InlineData("one byte more", true, 16 * Page, (12 * Page) + 1, 4 * Page, Errno.EINVAL, 0)]
    public void Ranges(string what, bool isMemory, ulong length, ulong size, ulong offset, Errno expected, ulong mapped)
    {
        Assert.NotEmpty(what);
        var world = DriverCycleTests.World("ALL");
        var bar = new PciBar(0, isMemory, 1 << 20, length);
        var answer = world.Run(
            P2pdmaProcedures.AddResource(world.Host, world.Device, world.Objects, bar, size, offset, 0));
        Assert.Equal(expected, answer);
        Assert.Equal(mapped, world.Objects.Pagemaps.SingleOrDefault()?.Map.SizeBytes ?? 0);
    }

    [Theory]
    [InlineData(FailPoint.MemremapRam, Errno.ENXIO)]
    [InlineData(FailPoint.SetupP2pdmaAlloc, Errno.ENOMEM)]
    [InlineData(FailPoint.SetupPoolCreate, Errno.ENOMEM)]
    [InlineData(FailPoint.SetupDevresNode, Errno.ENOMEM)]
    [InlineData(FailPoint.SetupSysfsGroup, Errno.ENOMEM)]
    [InlineData(FailPoint.AddResourcePgmapAlloc, Errno.ENOMEM)]
    [InlineData(FailPoint.AddResourceRefInit, Errno.ENOMEM)]
    [InlineData(FailPoint.AddResourcePoolAdd, Errno.ENOMEM)]
    [InlineData(FailPoint.MemremapMapStore, Errno.ENOMEM)]
    [InlineData(FailPoint.MemremapMemoryAdd, Errno.ENOMEM)]
    [InlineData(FailPoint.MemremapDevresNode, Errno.ENOMEM)]
    public void Failures(FailPoint point, Errno expected)
    {
        var world = DriverCycleTests.World("ALL");
        world.Fail(point);
        Assert.Equal(expected, world.BindP2p(new PciBar(0, true, 1 << 20, Page)));
        world.Unbind();
        world.Settle();
        Assert.True(world.Device.Devres.IsEmpty);
        Assert.All(world.Objects.Pagemaps, resource => Assert.False(resource.Map.IsPresent || resource.Map.IsStored));
    }

    [Fact]
    public void A_section_in_use_is_a_conflict()
    {
        var world = DriverCycleTests.World("ALL");
        Assert.Equal(
            Errno.ENOMEM, world.BindP2p(new PciBar(0, true, 0, Page), new PciBar(1, true, 2 * Page, Page)));
        Assert.Equal(["section-conflict"], world.Warnings);
        world.Unbind();
    }
}
