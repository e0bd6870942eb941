using System.Collections.Immutable;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Fleet.Client.Inventory;

/// <summary>Reads the text of <c>lspci -vv</c>, with or without <c>-D</c>, <c>-n</c> and <c>-nn</c>.</summary>
/// <remarks>
/// Depth is told by indentation alone, measured from the first line of a device, so text that was pasted with tabs
/// turned into
/// blanks or indented as a whole reads the same. A region below a capability (SR-IOV lists the BARs of virtual
/// functions there)
/// is deeper than the device's own and is not one of its BARs. Several hosts share a text when each begins with a line
/// <c># host NAME</c>. Source: lspci.c of pciutils 3.9, show_bases and show_rom.
/// </remarks>
public static partial class LspciText
{
    /// <summary>No machine's text comes near; a larger file is something else.</summary>
    public const int BytesMax = 64 * 1024 * 1024;

    private const string HeaderForm = "'[DOMAIN:]BUS:DEVICE.FUNCTION CLASS: VENDOR DEVICE', as lspci -vv prints it";
    private const string MemoryForm =
        "'Region N: Memory at ADDRESS (32-bit|64-bit, prefetchable|non-prefetchable) [size=N[K|M|G|T]]'";
    private const string IoForm = "'Region N: I/O ports at ADDRESS [size=N[K|M|G|T]]'";
    private const string RomForm = "'Expansion ROM at ADDRESS [size=N[K|M|G|T]]'";

    /// <param name="file">Named in errors.</param>
    /// <param name="hostName">Name of the machine where the text names none.</param>
    /// <exception cref="UsageException">A line is not what lspci writes; nothing of the text is used.</exception>
    public static ImmutableArray<HostInventory> Parse(string text, string file, string hostName)
    {
        var hosts = new List<HostText>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        DeviceText? device = null;
        var lineNumber = 0;
        foreach (var rawLine in text.AsSpan().EnumerateLines())
        {
            lineNumber++;
            var line = rawLine.TrimEnd();
            var content = line.TrimStart();
            if (content.IsEmpty || IsToolMessage(content))
                continue;

            var indent = IndentOf(line);
            if (content[0] == '#')
            {
                if (HostLine().Match(content.ToString()) is { Success: true } named)
                {
                    var name = named.Groups["name"].Value;
                    if (!names.Add(name) || names.Count > HostInventory.HostsMax)
                    {
                        throw UsageException.At(
                            file, lineNumber, $"host {ForeignText.Quote(name)} is named twice, or is one too many",
                            $"each host once, at most {HostInventory.HostsMax}");
                    }

                    hosts.Add(new(name));
                    device = null;
                }

                continue;
            }

            if (device is null || indent <= device.Indent)
            {
                if (hosts.Count == 0)
                    hosts.Add(new(hostName));

                device = ReadHeader(content, indent, file, lineNumber);
                if (!hosts[^1].Devices.TryAdd(device.Address, device))
                {
                    throw UsageException.At(
                        file, lineNumber, $"{device.Address} is described twice",
                        "each device once, or a line '# host NAME' before another machine's text");
                }

                continue;
            }

            device.AttributeIndent ??= indent;
            if (indent <= device.AttributeIndent)
                ReadAttribute(device, content, file, lineNumber);
        }

        if (hosts.Sum(host => host.Devices.Count) == 0)
            throw UsageException.At(file, Math.Max(lineNumber, 1), "no PCI device is described", HeaderForm);

        return [.. hosts.Where(host => host.Devices.Count > 0).Select(
            host => ToInventory(host.Name, host.Devices.Values))];
    }

    private static DeviceText ReadHeader(ReadOnlySpan<char> content, int indent, string file, int lineNumber)
    {
        var addressEnd = content.IndexOf(' ');
        if (addressEnd < 0 || !PciAddress.TryParse(content[..addressEnd], out var address))
        {
            throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(content)} does not begin with a PCI address", HeaderForm);
        }

        var description = content[(addressEnd + 1)..];
        var classEnd = description.IndexOf(": ", StringComparison.Ordinal);
        if (classEnd < 0)
            throw UsageException.At(file, lineNumber, $"{address} has no 'CLASS: VENDOR DEVICE'", HeaderForm);

        return new(address, indent)
        {
            Class = ForeignText.Clean(description[..classEnd]),
            VendorDevice = ForeignText.Clean(description[(classEnd + 2)..]),
        };
    }

    private static void ReadAttribute(DeviceText device, ReadOnlySpan<char> content, string file, int lineNumber)
    {
        if (content.StartsWith("Region ", StringComparison.Ordinal))
            AddBar(device, ReadRegion(content, file, lineNumber), file, lineNumber);
        else if (content.StartsWith("Expansion ROM at ", StringComparison.Ordinal)
            || content.StartsWith("[virtual] Expansion ROM at ", StringComparison.Ordinal))
            AddBar(device, ReadRom(content, file, lineNumber), file, lineNumber);
        else if (content.StartsWith("Bus: primary=", StringComparison.Ordinal))
            device.SecondaryBus = ReadSecondaryBus(content, file, lineNumber);
        else if (content.StartsWith("NUMA node:", StringComparison.Ordinal))
            device.NumaNode = ReadNumaNode(content["NUMA node:".Length..].Trim(), file, lineNumber);
        else if (content.StartsWith("Kernel driver in use:", StringComparison.Ordinal))
            device.Driver = ForeignText.Clean(content["Kernel driver in use:".Length..]);
    }

    private static void AddBar(DeviceText device, BarDescription bar, string file, int lineNumber)
    {
        if (device.Bars.Any(other => other.Index == bar.Index))
        {
            throw UsageException.At(
                file, lineNumber, $"{bar.Name} of {device.Address} is described twice", "each region of a device once");
        }

        device.Bars.Add(bar);
    }

    private static BarDescription ReadRegion(ReadOnlySpan<char> content, string file, int lineNumber)
    {
        var match = RegionLine().Match(content.ToString());
        if (!match.Success)
            throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(content)} is not a region", $"{MemoryForm} or {IoForm}");

        var isMemory = match.Groups["kind"].Value == "Memory";
        var kindText = match.Groups["type"].Value;
        if (isMemory && kindText.Length == 0)
            throw UsageException.At(file, lineNumber, "a memory region without its width in brackets", MemoryForm);

        return Describe(
            match,
            int.Parse(match.Groups["index"].ValueSpan, CultureInfo.InvariantCulture),
            isMemory ? BarKind.Memory : BarKind.IoPort,
            kindText.StartsWith("64-bit", StringComparison.Ordinal),
            kindText.Length > 0 && !kindText.Contains("non-prefetchable", StringComparison.Ordinal),
            file,
            lineNumber);
    }

    private static BarDescription ReadRom(ReadOnlySpan<char> content, string file, int lineNumber)
    {
        var match = RomLine().Match(content.ToString());
        return match.Success
            ? Describe(
                match, BarDescription.RomIndex, BarKind.Rom, bits64: false, prefetchable: false, file, lineNumber)
            : throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(content)} is not an expansion ROM", RomForm);
    }

    private static BarDescription Describe(
        Match match, int index, BarKind kind, bool bits64, bool prefetchable, string file, int lineNumber)
    {
        var at = match.Groups["at"].Value;
        var assignment = at switch
        {
            "<unassigned>" => BarAssignment.Unassigned,
            "<ignored>" => BarAssignment.Ignored,
            _ when at[0] == '<' => BarAssignment.Unassigned,
            _ => BarAssignment.Assigned,
        };
        var start = 0UL;
        if (assignment is BarAssignment.Assigned
            && !ulong.TryParse(at, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out start))
        {
            throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(at)} is not an address",
                    "up to 16 hexadecimal digits, <unassigned> or <ignored>");
        }

        var notes = match.Groups["notes"].Value;
        var size = ReadSize(notes, file, lineNumber);
        if (size > 0 && start > ulong.MaxValue - (size - 1))
        {
            throw UsageException.At(
                file, lineNumber, $"the region at {ForeignText.Quote(at)} ends beyond the 64-bit address space",
                    "an address and a size that fit");
        }

        return new(
            index, kind, bits64, prefetchable, start, size, assignment,
            notes.Contains("[disabled]", StringComparison.Ordinal));
    }

    private static ulong ReadSize(string notes, string file, int lineNumber)
    {
        var begin = notes.IndexOf("[size=", StringComparison.Ordinal);
        if (begin < 0)
            return 0;

        var match = SizeNote().Match(notes, begin);
        var unitBytes = match.Groups["unit"].Value switch
        {
            "K" => 1UL << 10,
            "M" => 1UL << 20,
            "G" => 1UL << 30,
            "T" => 1UL << 40,
            "P" => 1UL << 50,
            _ => 1UL,
        };
        return match.Success
            && ulong.TryParse(match.Groups["count"].ValueSpan, CultureInfo.InvariantCulture, out var count)
            && count <= ulong.MaxValue / unitBytes
                ? count * unitBytes
                : throw UsageException.At(
                    file, lineNumber, $"{ForeignText.Quote(notes.AsSpan(begin))} is not a size",
                        "[size=N] with an optional unit K, M, G or T");
    }

    private static byte ReadSecondaryBus(ReadOnlySpan<char> content, string file, int lineNumber)
    {
        var match = BusLine().Match(content.ToString());
        return match.Success
            ? byte.Parse(
                match.Groups["secondary"].ValueSpan, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture)
            : throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(content)} does not name a bridge's buses",
                    "'Bus: primary=HH, secondary=HH, …'");
    }

    private static int? ReadNumaNode(ReadOnlySpan<char> text, string file, int lineNumber) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var node)
            ? node < 0 ? null : node
            : throw UsageException.At(
                file, lineNumber, $"{ForeignText.Quote(text)} is not a NUMA node", "a whole number");

    private static HostInventory ToInventory(string name, IReadOnlyCollection<DeviceText> devices)
    {
        var bridges = devices.Where(device => device.SecondaryBus is not null)
            .GroupBy(device => (device.Address.Domain, Bus: device.SecondaryBus!.Value))
            .ToDictionary(group => group.Key, group => group.First().Address);
        return new(
            ForeignText.Clean(name),
            [
                .. devices.OrderBy(device => device.Address).Select(device => new PciDeviceDescription(
                    device.Address,
                    device.Class,
                    device.VendorDevice,
                    device.NumaNode,
                    bridges.TryGetValue((device.Address.Domain, device.Address.Bus), out var bridge) ? bridge : null,
                    device.Driver,
                    [.. device.Bars.OrderBy(bar => bar.Index)])),
            ]);
    }

    /// <summary>Messages that lspci writes to standard error, kept when somebody redirected both.</summary>
    private static bool IsToolMessage(ReadOnlySpan<char> content) =>
        content.StartsWith("lspci: ", StringComparison.Ordinal) || content.StartsWith(
            "pcilib: ", StringComparison.Ordinal);

    private static int IndentOf(ReadOnlySpan<char> line)
    {
        var columns = 0;
        foreach (var character in line)
        {
            if (character == '\t')
                columns = ((columns / 8) + 1) * 8;
            else if (character == ' ')
                columns++;
            else
                break;
        }

        return columns;
    }

    [GeneratedRegex(@"^#\s*host:?\s+(?<name>[A-Za-z0-9][A-Za-z0-9._-]{0,62})\s*$", RegexOptions.CultureInvariant)]
    private static partial Regex HostLine();

    [GeneratedRegex(
        @"^Region (?<index>[0-5]): (\[virtual\] )?(?<kind>Memory|I/O ports) at "
        + @"(?<at>[0-9a-fA-F]+|<[a-z0-9-]+>)( \((?<type>[^)]*)\))?(?<notes>.*)$",
        RegexOptions.CultureInvariant)]
    private static partial Regex RegionLine();

    [GeneratedRegex(
        @"^(\[virtual\] )?Expansion ROM at (?<at>[0-9a-fA-F]+|<[a-z0-9-]+>)(?<notes>.*)$",
        RegexOptions.CultureInvariant)]
    private static partial Regex RomLine();

    [GeneratedRegex(@"\G\[size=(?<count>[0-9]{1,20})(?<unit>[KMGTP]?)\]", RegexOptions.CultureInvariant)]
    private static partial Regex SizeNote();

    [GeneratedRegex(
        @"^Bus: primary=[0-9a-fA-F]{2}, secondary=(?<secondary>[0-9a-fA-F]{2})(,|$)", RegexOptions.CultureInvariant)]
    private static partial Regex BusLine();

    private sealed record HostText(string Name)
    {
        public Dictionary<PciAddress, DeviceText> Devices { get; } = [];
    }

    private sealed class DeviceText(PciAddress address, int indent)
    {
        public PciAddress Address { get; } = address;

        public int Indent { get; } = indent;

        public int? AttributeIndent { get; set; }

        public string Class { get; init; } = "";

        public string VendorDevice { get; init; } = "";

        public int? NumaNode { get; set; }

        public string? Driver { get; set; }

        public byte? SecondaryBus { get; set; }

        public List<BarDescription> Bars { get; } = [];
    }
}
