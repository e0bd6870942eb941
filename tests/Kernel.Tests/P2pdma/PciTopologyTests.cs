using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Tests.Drivers;

namespace Fleet.Kernel.Tests.P2pdma;

/// <summary>The distance table of the model, and what is made of distances.</summary>
[Trait("tier", "fast")]
public sealed class PciTopologyTests
{
    private static readonly PciRootComplex Plain = new();

    [Fact]
    public void The_same_device_is_0_away()
    {
        var function = PciNode.OnRoot(Plain).Below();
        Assert.Equal(0, PciTopology.Distance(function, function));
    }

    [Fact]
    public void Two_functions_behind_one_port_are_2_apart()
    {
        var port = PciNode.OnRoot(Plain);
        Assert.Equal(2, PciTopology.Distance(port.Below(), port.Below()));
    }

    [Fact]
    public void Two_devices_under_one_switch_are_4_apart()
    {
        var upstreamPort = PciNode.OnRoot(Plain).Below();
        Assert.Equal(4, PciTopology.Distance(upstreamPort.Below().Below(), upstreamPort.Below().Below()));
    }

    [Fact]
    public void Without_a_common_bridge_there_is_no_way() =>
        Assert.Equal(
            PciTopology.Unreachable,
            PciTopology.Distance(PciNode.OnRoot(Plain).Below(), PciNode.OnRoot(Plain).Below()));

    [Fact]
    public void Through_whitelisted_roots_the_way_is_long()
    {
        var zen = new PciRootComplex(IsWhitelisted: true);
        Assert.Equal(
            0x1000 + 5,
            PciTopology.Distance(PciNode.OnRoot(zen).Below(), PciNode.OnRoot(zen).Below().Below()));
        Assert.Equal(
            PciTopology.Unreachable, PciTopology.Distance(PciNode.OnRoot(zen).Below(), PciNode.OnRoot(Plain).Below()));
    }

    // Goal: a redirect counts on either side and at the common bridge, not above it.
    // Method: one redirect moved through each place of two devices under one switch.
    [Theory]
    [InlineData("provider port", PciTopology.Redirected)]
    [InlineData("client port", PciTopology.Redirected)]
    [InlineData("common", PciTopology.Redirected)]
    [InlineData("above", 4)]
    public void A_redirect_on_the_way_forbids_it(string place, int distance)
    {
        AcsRedirect At(string name) => name == place ? AcsRedirect.Completion : AcsRedirect.None;
        var common = PciNode.OnRoot(Plain, At("above")).Below(At("common"));
        var provider = common.Below(At("provider port")).Below();
        var client = common.Below(At("client port")).Below();
        Assert.Equal(distance, PciTopology.Distance(provider, client));
    }

    [Fact]
    public void Many_is_the_sum_or_nothing()
    {
        var port = PciNode.OnRoot(Plain);
        var provider = port.Below();
        var redirected = port.Below(AcsRedirect.Request);
        P2pClient near = new(port.Below());
        Assert.Equal(4, PciTopology.DistanceMany(provider, [near, near]));
        Assert.Equal(-1, PciTopology.DistanceMany(provider, []));
        Assert.Equal(-1, PciTopology.DistanceMany(provider, [near, new(null)]));
        Assert.Equal(-1, PciTopology.DistanceMany(provider, [near, near with { UsesVirtualDma = true }]));
        Assert.Equal(-1, PciTopology.DistanceMany(provider, [near, new(redirected)]));
    }

    // Goal: only published memory counts, the closest wins, ties are the caller's to break, and a reference is held.
    [Theory]
    [InlineData("ALL")]
    [InlineData("L514")]
    public void Find_takes_the_closest_published_provider(string profile)
    {
        var world = DriverCycleTests.World(profile);
        var port = PciNode.OnRoot(Plain);
        var upstream = port.Below();
        PciDevice[] devices =
        [
            new() { Node = upstream.Below().Below() },
            new() { Node = upstream.Below() },
            new() { Node = upstream.Below() },
            new() { Node = PciNode.OnRoot(Plain).Below() },
        ];
        P2pClient[] clients = [new(upstream.Below())];
        PciDevice? Find(int chosen) => world.Run(PciTopology.FindMany(world.Host, devices, clients, _ => chosen));

        Assert.Null(Find(0));
        for (var i = 0; i < devices.Length; i++)
        {
            world.Run(Kernel.Drivers.DriverCore.BindP2p(
                world.Host, devices[i], world.Objects, [new PciBar(0, true, (ulong)(i + 1) << 14, 4096)]));
        }

        Assert.Null(Find(0));
        foreach (var device in devices)
        {
            world.Run(P2pdmaClient.Publish(world.Host, device, published: true));
        }

        Assert.Same(devices[1], Find(0));
        Assert.Same(devices[2], Find(1));
        Assert.Equal(1, devices[1].References);
        world.Run(P2pdmaClient.Publish(world.Host, devices[1], published: false));
        Assert.Same(devices[2], Find(0));
        PciTopology.Put(devices[2]);
        Assert.Equal(1, devices[2].References);
    }
}
