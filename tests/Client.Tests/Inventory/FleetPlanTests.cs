using CsCheck;
using Fleet.Client.Inventory;

namespace Fleet.Client.Tests.Inventory;

[Trait("tier", "fast")]
public sealed class FleetPlanTests
{
    // Goal: with sections of their own no two resources of a host share one; packed, ranges still never overlap.
    [Fact]
    public void Resources_never_overlap_and_own_sections_are_not_shared() =>
        Gen.Select(Gen.Int[1, 3], Gen.Int[1, 300], Gen.Int[1, 3], Gen.Int[12, 34], Gen.Enum<SectionPlacement>()).Sample(
            (hosts, devicesPerHost, resources, sizeLog2, sections) =>
            {
                var inventory = GeneratedInventory.Build(hosts, devicesPerHost, resources, 1ul << sizeLog2);
                var plan = FleetPlan.Of(inventory, resources, sections, null, "generated");

                Assert.Equal(hosts * devicesPerHost, plan.Devices.Length);
                Assert.Equal(plan.Devices.Length, plan.Devices.Select(device => device.Key).Distinct().Count());
                var unit = sections is SectionPlacement.Own ? FleetPlan.SectionBytes : ResourceOffer.PageBytes;
                foreach (var host in plan.Devices.GroupBy(device => device.Host))
                {
                    var end = 0ul;
                    foreach (var resource in host.SelectMany(device => device.Resources).OrderBy(
                        resource => resource.CpuAddress))
                    {
                        Assert.Equal(1ul << sizeLog2, resource.SizeBytes);
                        Assert.True(resource.CpuAddress >= end);
                        Assert.Equal(0ul, resource.CpuAddress % unit);
                        end = (resource.CpuAddress + resource.SizeBytes + unit - 1) / unit * unit;
                    }

                    var buses = host.SelectMany(device => device.Resources).Select(
                        resource => resource.BusAddress).ToList();
                    Assert.Equal(buses.Count, buses.Distinct().Count());
                }
            },
            iter: 60);

    [Fact]
    public void Every_generated_endpoint_has_its_bridge_and_a_reason_for_what_is_left_out()
    {
        var host = GeneratedInventory.Build(1, 300, 1, 16 << 20).Single();

        Assert.Equal(600, host.Devices.Length);
        var endpoints = host.Devices.Where(device => device.ParentBridge is not null).ToList();
        Assert.All(endpoints, device => Assert.Equal(2, ResourceOffer.Of(device, 1).LeftOut.Length));
        Assert.All(endpoints, device => Assert.Contains(host.Devices, bridge => bridge.Address == device.ParentBridge));
        Assert.Equal("0001:01:00.0", endpoints[248].Address.ToString());
    }

    [Fact]
    public void Nothing_offered_is_one_sentence()
    {
        var hosts = LspciText.Parse(
            "00:1f.0 ISA bridge: Example\n\tRegion 0: I/O ports at e000 [size=256]\n", "isa.txt", "h");

        var refusal =
            Assert.Throws<UsageException>(() => FleetPlan.Of(hosts, 1, SectionPlacement.Own, null, "isa.txt"));

        Assert.StartsWith(
            "isa.txt offers no BAR for peer-to-peer memory; accepted: ", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Replicas_are_numbered_from_one() =>
        Assert.Equal(
            ["host-0001", "host-0002", "host-0003"], GeneratedInventory.Build(1, 1, 1, 4096)[0].Replicate(3).Select(
                host => host.Name));
}
