using System.Collections.Immutable;
using Fleet.Protocol.Plans;

namespace Fleet.Client.Inventory;

/// <summary>Whether two resources may lie in one memory section; sharing one reaches the kernel's conflict
/// paths.</summary>
public enum SectionPlacement
{
    Own,
    Shared,
}

/// <summary>One BAR that becomes a p2pdma resource.</summary>
/// <param name="CpuAddress">Where the modelled machine maps it: chosen by the plan.</param>
/// <param name="BusAddress">What the BAR holds: taken from the inventory.</param>
public sealed record PlannedResource(int Bar, ulong SizeBytes, ulong CpuAddress, ulong BusAddress)
{
    public string Name => $"bar{Bar}";
}

public sealed record PlannedDevice(
    string Host, PciAddress Address, int? NumaNode, ImmutableArray<PlannedResource> Resources)
{
    /// <summary>What binds it: one of <see cref="DriverNames"/>.</summary>
    public string Driver { get; init; } = DriverNames.P2pdma;

    /// <summary>Number of the region or of the HMM device in its host.</summary>
    public int Number { get; init; }

    public string Key => Driver switch
    {
        DriverNames.P2pdma => $"{Host}/{Address}",
        DriverNames.Hmm => $"{Host}/hmm:{Number}",
        _ => $"{Host}/nd:region{Number}",
    };
}

/// <summary>The devices that a run binds, with the memory that each publishes.</summary>
/// <remarks>
/// A machine adds device memory in sections of 128 MiB, and two page maps in one section collide (kernel-model B.5). So
/// every
/// resource gets sections of its own, unless the scenario wants the collision. Every host has an address space of its
/// own.
/// </remarks>
public sealed record FleetPlan(ImmutableArray<PlannedDevice> Devices, ImmutableArray<ResourceOffer> Offers)
{
    public const ulong SectionBytes = 128UL << 20;

    /// <summary>Device memory begins above any RAM of the modelled machine.</summary>
    public const ulong FirstCpuAddress = 0x40_0000_0000;

    public int ResourceCount => Devices.Sum(device => device.Resources.Length);

    /// <summary>Gives each device a driver, in turn and by weight; one without BARs of its own has one range.</summary>
    public FleetPlan WithDrivers(IReadOnlyList<(string Driver, double Weight)> drivers)
    {
        var total = drivers.Sum(driver => driver.Weight);
        var given = new int[drivers.Count];
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        return this with { Devices = [.. Devices.Select(Give)] };

        // The driver that is furthest behind its share is next, so any stretch of devices has the mix.
        PlannedDevice Give(PlannedDevice device, int place)
        {
            var next = Enumerable.Range(0, drivers.Count)
                .MaxBy(driver => (drivers[driver].Weight / total * (place + 1)) - given[driver]);
            given[next]++;
            var driver = drivers[next].Driver;
            if (driver is DriverNames.P2pdma)
                return device;

            var number = numbers.GetValueOrDefault(device.Host);
            numbers[device.Host] = number + 1;
            return device with { Driver = driver, Number = number, Resources = [device.Resources[0]] };
        }
    }

    /// <param name="resources">Resources wanted per device.</param>
    /// <param name="devicesMax">Devices taken, in order; null takes all.</param>
    /// <param name="source">Named in the error.</param>
    /// <exception cref="UsageException">Nothing is offered.</exception>
    public static FleetPlan Of(
        IReadOnlyList<HostInventory> hosts, int resources, SectionPlacement sections, int? devicesMax, string source)
    {
        var planned = ImmutableArray.CreateBuilder<PlannedDevice>();
        var offers = ImmutableArray.CreateBuilder<ResourceOffer>();
        foreach (var host in hosts)
        {
            var next = FirstCpuAddress;
            foreach (var device in host.Devices)
            {
                var offer = ResourceOffer.Of(device, resources);
                if (ReferenceEquals(host, hosts[0]))
                    offers.Add(offer);

                if (offer.Published.IsEmpty || planned.Count == devicesMax)
                    continue;

                planned.Add(
                    new(host.Name, device.Address, device.NumaNode,
                        [.. offer.Published.Select(bar => Place(bar, sections, ref next, source))]));
            }
        }

        return planned.Count > 0
            ? new(planned.ToImmutable(), offers.ToImmutable())
            : throw new UsageException(
                $"{source} offers no BAR for peer-to-peer memory; accepted: at least one assigned memory BAR of "
                + $"{ResourceOffer.PageBytes} bytes or more.");
    }

    private static PlannedResource Place(BarDescription bar, SectionPlacement sections, ref ulong next, string source)
    {
        var unit = sections is SectionPlacement.Own ? SectionBytes : ResourceOffer.PageBytes;
        var sizeBytes = bar.SizeBytes / ResourceOffer.PageBytes * ResourceOffer.PageBytes;
        if (sizeBytes > AddressSpaceBytes - next)
        {
            throw new UsageException(
                $"{source}: {bar.Name} at {bar.StartAddress:x} of {bar.SizeBytes} bytes does not fit the host's "
                + $"address space; "
                + $"accepted: BARs of {AddressSpaceBytes >> 40} TiB together.");
        }

        var start = next;
        next += (sizeBytes + unit - 1) / unit * unit;
        return new(bar.Index, sizeBytes, start, bar.StartAddress);
    }

    /// <summary>Physical addresses of a machine with five-level paging: 52 bits.</summary>
    private const ulong AddressSpaceBytes = 1UL << 52;
}
