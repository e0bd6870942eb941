using System.Globalization;

namespace Fleet.Client.Inventory;

/// <summary>Where a PCI function sits: domain, bus, device, function.</summary>
/// <remarks>Domains beyond 16 bits exist (VMD controllers number theirs from 0x10000), so 32 bits are read.</remarks>
public readonly record struct PciAddress(uint Domain, byte Bus, byte Device, byte Function) : IComparable<PciAddress>
{
    /// <summary>Reads <c>[DOMAIN:]BUS:DEVICE.FUNCTION</c>, hexadecimal; without a domain it is 0.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out PciAddress address)
    {
        address = default;
        var dot = text.LastIndexOf('.');
        if (dot < 0 || dot != text.Length - 2 || text[^1] is < '0' or > '7')
            return false;

        var function = (byte)(text[^1] - '0');
        var rest = text[..dot];
        var colon = rest.LastIndexOf(':');
        if (colon < 0 || !TryHex(rest[(colon + 1)..], 2, out var device) || device > 31)
            return false;

        var domain = 0u;
        var busText = rest[..colon];
        var domainEnd = busText.LastIndexOf(':');
        if (domainEnd >= 0)
        {
            if (domainEnd is < 4 or > 8 || !TryHex(busText[..domainEnd], domainEnd, out domain))
                return false;

            busText = busText[(domainEnd + 1)..];
        }

        if (!TryHex(busText, 2, out var bus))
            return false;

        address = new(domain, (byte)bus, (byte)device, function);
        return true;
    }

    public int CompareTo(PciAddress other) =>
        (Domain, Bus, Device, Function).CompareTo((other.Domain, other.Bus, other.Device, other.Function));

    public static bool operator <(PciAddress left, PciAddress right) => left.CompareTo(right) < 0;

    public static bool operator >(PciAddress left, PciAddress right) => left.CompareTo(right) > 0;

    public static bool operator <=(PciAddress left, PciAddress right) => left.CompareTo(right) <= 0;

    public static bool operator >=(PciAddress left, PciAddress right) => left.CompareTo(right) >= 0;

    public override string ToString() => $"{Domain:x4}:{Bus:x2}:{Device:x2}.{Function}";

    private static bool TryHex(ReadOnlySpan<char> text, int digits, out uint value)
    {
        value = 0;
        return text.Length == digits
            && uint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }
}
