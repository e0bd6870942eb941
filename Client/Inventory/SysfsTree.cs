using System.Collections.Immutable;
using System.Globalization;

namespace Fleet.Client.Inventory;

/// <summary>Reads the PCI devices of a sysfs tree: this machine's, or a copy.</summary>
/// <remarks>
/// The topology is in the directory that each entry of <c>bus/pci/devices</c> points to; a copy that followed the links
/// has lost it,
/// and then a bridge's <c>secondary_bus_number</c>, where it was copied, tells what is below.
/// Source: kernel Documentation/ABI/testing/sysfs-bus-pci; flags of a resource line from include/linux/ioport.h.
/// </remarks>
public static class SysfsTree
{
    public const string ThisMachine = "/sys";

    /// <summary>The longest attribute read has some twenty short lines; anything longer is not sysfs.</summary>
    private const int AttributeBytesMax = 64 * 1024;

    private const ulong FlagIo = 0x100;
    private const ulong FlagMemory = 0x200;
    private const ulong FlagPrefetch = 0x2000;
    private const ulong FlagMemory64 = 0x100000;
    private const ulong FlagDisabled = 0x10000000;
    private const ulong FlagUnset = 0x20000000;

    /// <param name="root">
    /// The tree's top (holding <c>sys/bus/pci/devices</c> or <c>bus/pci/devices</c>), or the directory of the devices
    /// itself.
    /// </param>
    /// <exception cref="UsageException">No such tree, or one of its files is not what the kernel writes.</exception>
    public static HostInventory Read(string root, string hostName)
    {
        var devicesPath = FindDevices(root);
        try
        {
            var devices = Directory.EnumerateDirectories(devicesPath)
                .Select(path => (
                    Path: path, IsDevice: PciAddress.TryParse(
                        Path.GetFileName(path), out var address), Address: address))
                .Where(entry => entry.IsDevice)
                .Select(entry => ReadDevice(entry.Path, entry.Address))
                .OrderBy(entry => entry.Device.Address)
                .ToList();
            if (devices.Count == 0)
            {
                throw new UsageException(
                    $"{devicesPath} holds no PCI device; accepted: directories named like 0000:3b:00.0, as in "
                    + $"/sys/bus/pci/devices.");
            }

            var below = devices.Where(entry => entry.SecondaryBus is not null)
                .GroupBy(entry => (entry.Device.Address.Domain, Bus: entry.SecondaryBus!.Value))
                .ToDictionary(group => group.Key, group => group.First().Device.Address);
            return new(
                ForeignText.Clean(hostName),
                [
                    .. devices.Select(entry => entry.Device.ParentBridge is null
                        && below.TryGetValue((entry.Device.Address.Domain, entry.Device.Address.Bus), out var bridge)
                            ? entry.Device with { ParentBridge = bridge }
                            : entry.Device),
                ]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{devicesPath} cannot be read ({ForeignText.Clean(e.Message)}); accepted: a readable sysfs tree.", e);
        }
    }

    /// <summary>True where the directory looks like a sysfs tree that <see cref="Read"/> takes.</summary>
    public static bool IsTree(string root) => Candidates(root).Any(HoldsDevices);

    private static string FindDevices(string root)
    {
        if (!Directory.Exists(root))
            throw new UsageException(
                $"{ForeignText.Quote(root)} is not a directory; accepted: a sysfs tree, or a copy of one.");

        return Candidates(root).FirstOrDefault(HoldsDevices) ?? throw new UsageException(
            $"{ForeignText.Quote(root)} is not a sysfs tree; accepted: a directory with sys/bus/pci/devices, with "
            + $"bus/pci/devices, "
            + "or holding the devices' directories (0000:3b:00.0, …) itself.");
    }

    private static string[] Candidates(string root) =>
        [Path.Combine(root, "sys", "bus", "pci", "devices"), Path.Combine(root, "bus", "pci", "devices"), root];

    private static bool HoldsDevices(string path)
    {
        try
        {
            return Directory.Exists(path)
                && Directory.EnumerateDirectories(path).Any(
                    entry => PciAddress.TryParse(Path.GetFileName(entry), out _));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static (PciDeviceDescription Device, byte? SecondaryBus) ReadDevice(string path, PciAddress address)
    {
        var classCode = ReadHex(path, "class", 6);
        var vendor = ReadHex(path, "vendor", 4);
        var device = ReadHex(path, "device", 4);
        var description = new PciDeviceDescription(
            address,
            $"[{classCode[..4]}]",
            $"[{vendor}:{device}]",
            ReadNumaNode(path),
            ParentOf(path),
            DriverOf(path),
            ReadBars(path));
        return (description, ReadSecondaryBus(path));
    }

    private static string ReadHex(string directory, string name, int digits)
    {
        var file = Path.Combine(directory, name);
        var text = ReadAttribute(file) ?? throw new UsageException(
            $"{file} is missing; accepted: a device directory with the file {name}.");
        var value = text.Trim();
        return value.Length == digits + 2
            && value.StartsWith("0x", StringComparison.Ordinal)
            && value.AsSpan(2).IndexOfAnyExcept("0123456789abcdefABCDEF") < 0
                ? value[2..]
                : throw UsageException.At(
                    file, 1, $"{ForeignText.Quote(value)} is not an id", $"0x and {digits} hexadecimal digits");
    }

    private static int? ReadNumaNode(string directory)
    {
        var file = Path.Combine(directory, "numa_node");
        if (ReadAttribute(file) is not { } text)
            return null;

        return int.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var node)
            ? node < 0 ? null : node
            : throw UsageException.At(file, 1, $"{ForeignText.Quote(text)} is not a NUMA node", "a whole number");
    }

    private static byte? ReadSecondaryBus(string directory)
    {
        var file = Path.Combine(directory, "secondary_bus_number");
        if (ReadAttribute(file) is not { } text)
            return null;

        return byte.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var bus)
            ? bus
            : throw UsageException.At(file, 1, $"{ForeignText.Quote(text)} is not a bus number", "0 to 255");
    }

    private static ImmutableArray<BarDescription> ReadBars(string directory)
    {
        const string form = "three numbers 'START END FLAGS', each 0x and up to 16 hexadecimal digits";
        var file = Path.Combine(directory, "resource");
        var text = ReadAttribute(file) ?? throw new UsageException(
            $"{file} is missing; accepted: a device directory with the file resource.");
        var bars = ImmutableArray.CreateBuilder<BarDescription>();
        var index = 0;
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            // From line 8 on come bridge windows and the BARs of virtual functions, which are not this device's.
            if (index > BarDescription.RomIndex || line.IsWhiteSpace())
                break;

            var fields = line.ToString().Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length != 3 || !TryHex(fields[0], out var start) || !TryHex(fields[1], out var end) || !TryHex(
                fields[2], out var flags))
                throw UsageException.At(file, index + 1, $"{ForeignText.Quote(line)} is not a resource", form);

            if (end < start && end != start - 1)
                throw UsageException.At(file, index + 1, $"{ForeignText.Quote(line)} ends before it starts", form);

            if ((flags & (FlagIo | FlagMemory)) != 0)
                bars.Add(Describe(index, start, end, flags));
            index++;
        }

        return bars.ToImmutable();
    }

    private static BarDescription Describe(int index, ulong start, ulong end, ulong flags)
    {
        var kind = index == BarDescription.RomIndex ? BarKind.Rom
            : (flags & FlagMemory) != 0 ? BarKind.Memory
            : BarKind.IoPort;
        var isUnset = (flags & FlagUnset) != 0 || start == 0;
        var size = start == 0 && end == 0 ? 0
            : start == 0 && end == ulong.MaxValue ? ulong.MaxValue
            : unchecked(end - start + 1);
        return new(
            index,
            kind,
            (flags & FlagMemory64) != 0,
            (flags & FlagPrefetch) != 0,
            isUnset ? 0 : start,
            size,
            isUnset ? BarAssignment.Unassigned : BarAssignment.Assigned,
            (flags & FlagDisabled) != 0);
    }

    private static bool TryHex(string text, out ulong value)
    {
        value = 0;
        return text.StartsWith("0x", StringComparison.Ordinal)
            && ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>The directory above the device's own, when that is a PCI function too.</summary>
    private static PciAddress? ParentOf(string path)
    {
        var target = new DirectoryInfo(path).LinkTarget;
        var above = target is null ? null : Path.GetFileName(Path.GetDirectoryName(target));
        return PciAddress.TryParse(above, out var parent) ? parent : null;
    }

    private static string? DriverOf(string path)
    {
        var target = new FileInfo(Path.Combine(path, "driver")).LinkTarget;
        return target is null ? null : ForeignText.Clean(Path.GetFileName(target.TrimEnd('/')));
    }

    private static string? ReadAttribute(string file)
    {
        try
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read);
            var buffer = new byte[AttributeBytesMax + 1];
            var length = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            return length <= AttributeBytesMax
                ? System.Text.Encoding.UTF8.GetString(buffer, 0, length)
                : throw new UsageException(
                    $"{file} is longer than {AttributeBytesMax} bytes; accepted: what the kernel writes there.");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }
}
