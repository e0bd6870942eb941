using System.Collections.Immutable;

namespace Fleet.Client.Inventory;

/// <summary>Machines that nobody owns: root ports on bus 0, one endpoint behind each, as an accelerator server has
/// them.</summary>
public static class GeneratedInventory
{
    /// <summary>A function has six registers, and a 64-bit BAR takes two of them.</summary>
    public const int ResourcesMax = 3;

    /// <summary>Bus numbers 1…248: one for each root port that fits on bus 0, whose device 0 is the host
    /// bridge.</summary>
    private const int EndpointsPerDomain = 31 * 8;

    private const ulong FirstBusAddress = 0x38_0000_0000;

    /// <param name="resources">1…<see cref="ResourcesMax"/> equal memory BARs of each endpoint.</param>
    /// <param name="resourceSizeBytes">A power of two, at least a page: the only sizes that a BAR can have.</param>
    public static ImmutableArray<HostInventory> Build(
        int hosts, int devicesPerHost, int resources, ulong resourceSizeBytes)
    {
        var devices = ImmutableArray.CreateBuilder<PciDeviceDescription>(devicesPerHost * 2);
        for (var number = 0; number < devicesPerHost; number++)
        {
            var domain = (uint)(number / EndpointsPerDomain);
            var port = number % EndpointsPerDomain;
            var bridge = new PciAddress(domain, 0, (byte)((port / 8) + 1), (byte)(port % 8));
            var endpoint = new PciAddress(domain, (byte)(port + 1), 0, 0);
            var node = port * 2 / EndpointsPerDomain;
            devices.Add(new(bridge, "PCI bridge [0604]", "Fleet generated root port", node, null, "pcieport", []));
            devices.Add(new(
                endpoint, "Processing accelerators [1200]", "Fleet generated endpoint", node, bridge, null,
                BarsOf(number, resources, resourceSizeBytes)));
        }

        devices.Sort((left, right) => left.Address.CompareTo(right.Address));
        return new HostInventory(HostInventory.NameOf(1), devices.ToImmutable()).Replicate(hosts);
    }

    /// <summary>The published BARs, and beside them, where registers are left, the small ones that a real endpoint has
    /// too.</summary>
    private static ImmutableArray<BarDescription> BarsOf(int number, int resources, ulong sizeBytes)
    {
        var bars = ImmutableArray.CreateBuilder<BarDescription>();
        if (resources < ResourcesMax)
        {
            var registers = 0xe000_0000UL + ((ulong)number * 2 * ResourceOffer.PageBytes);
            bars.Add(new(
                0, BarKind.Memory, false, false, registers, ResourceOffer.PageBytes / 2, BarAssignment.Assigned,
                    false));
            bars.Add(new(
                1, BarKind.IoPort, false, false, 0x1000UL
                    + ((ulong)number % 0x400 * 0x20), 0x20, BarAssignment.Assigned, false));
        }

        for (var place = 0; place < resources; place++)
        {
            var index = (ResourcesMax - resources + place) * 2;
            var start = FirstBusAddress + ((((ulong)number * ResourcesMax) + (ulong)place) * sizeBytes);
            bars.Add(new(index, BarKind.Memory, true, true, start, sizeBytes, BarAssignment.Assigned, false));
        }

        return bars.ToImmutable();
    }
}
