using System.Collections.Immutable;

namespace Fleet.Client.Inventory;

/// <summary>What an inventory knows of one PCI function.</summary>
/// <param name="Class">Class as the source writes it: a name, a code, or both.</param>
/// <param name="VendorDevice">Vendor and device as the source writes them: names, or <c>vvvv:dddd</c>.</param>
/// <param name="NumaNode">Null where the machine reports none (sysfs says -1).</param>
/// <param name="ParentBridge">The bridge above; null on a root bus, or where the source does not tell.</param>
/// <param name="Driver">The driver bound when the description was made; null if none.</param>
/// <param name="Bars">In BAR order; registers that are not there are not listed.</param>
public sealed record PciDeviceDescription(
    PciAddress Address,
    string Class,
    string VendorDevice,
    int? NumaNode,
    PciAddress? ParentBridge,
    string? Driver,
    ImmutableArray<BarDescription> Bars);

/// <summary>One machine and its PCI functions, ordered by address.</summary>
public sealed record HostInventory(string Name, ImmutableArray<PciDeviceDescription> Devices)
{
    /// <summary>Hosts of one fleet: more would not fit the names' four digits' order, nor one process.</summary>
    public const int HostsMax = 100_000;

    /// <summary>Makes a fleet of equal machines from one description: host-0001, host-0002, …</summary>
    public ImmutableArray<HostInventory> Replicate(int count) =>
        [.. Enumerable.Range(1, count).Select(number => this with { Name = NameOf(number) })];

    public static string NameOf(int number) => $"host-{number:d4}";
}
