using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.P2pdma;

/// <summary>What a configuration attribute accepts, and what it prints.</summary>
[Trait("tier", "fast")]
public sealed class P2pdmaEnableTests
{
    private const string Name = "0000:01:00.0";

    [Theory]
    [InlineData("1", true, Errno.OK, "1\n")]
    [InlineData("1\n", true, Errno.OK, "1\n")]
    [InlineData("0\n", false, Errno.OK, "0\n")]
    [InlineData("y", true, Errno.OK, "1\n")]
    [InlineData("No", false, Errno.OK, "0\n")]
    [InlineData("on", true, Errno.OK, "1\n")]
    [InlineData("OFF", false, Errno.OK, "0\n")]
    [InlineData("0000:01:00.1\n", false, Errno.ENODEV, "0\n")]
    [InlineData("10", false, Errno.ENODEV, "0\n")]
    [InlineData("o", false, Errno.ENODEV, "0\n")]
    [InlineData("maybe", false, Errno.ENODEV, "0\n")]
    [InlineData("", false, Errno.ENODEV, "0\n")]
    public void Words(string text, bool isUsed, Errno expected, string printed)
    {
        var world = DriverCycleTests.World("ALL");
        var setting = world.Run(P2pdmaEnable.Store(world.Host, text, _ => null));
        Assert.Equal(new P2pEnableResult(null, isUsed, expected), setting);
        Assert.Equal(printed, P2pdmaEnable.Show(setting, _ => Name));
    }

    [Fact]
    public void A_named_device_must_have_published_memory()
    {
        var world = DriverCycleTests.World("ALL");
        P2pEnableResult Store() => world.Run(
            P2pdmaEnable.Store(world.Host, $"{Name}\n", name => name == Name ? world.Device : null));

        Assert.Equal(Errno.ENODEV, Store().Err);
        world.BindP2p(new PciBar(0, true, 0, 4096));
        Assert.Equal(Errno.ENODEV, Store().Err);
        Assert.Equal(0, world.Device.References);
        world.Run(P2pdmaClient.Publish(world.Host, world.Device, published: true));
        var setting = Store();
        Assert.Equal(Errno.OK, setting.Err);
        Assert.Same(world.Device, setting.Device);
        Assert.Equal(1, world.Device.References);
        Assert.Equal($"{Name}\n", P2pdmaEnable.Show(setting, _ => Name));
    }
}
