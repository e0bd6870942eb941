using System.Globalization;
using System.Text.Json.Nodes;

namespace Fleet.Kernel.Vectors;

/// <summary>Fields of a recording, read and written in its forms.</summary>
internal static class VectorField
{
    /// <summary>An address, a byte count or an offset.</summary>
    /// <exception cref="FormatException">It is missing or not in that form.</exception>
    public static ulong Hex(JsonObject record, string field)
    {
        var text = (string?)record[field];
        if (text is ['0', 'x', ..]
            && ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var value))
        {
            return value;
        }

        throw new FormatException($"\"{field}\" is {text ?? "missing"}, not 0x and hexadecimal digits.");
    }

    /// <summary>The recorded form of such a number.</summary>
    public static string Hex(ulong value) => $"0x{value:x}";

    /// <summary>Any other number.</summary>
    /// <exception cref="FormatException">It is missing or out of range.</exception>
    public static long Number(
        JsonObject record, string field, long least = long.MinValue, long most = long.MaxValue)
    {
        var value = (long?)record[field] ?? throw new FormatException($"\"{field}\" is missing.");
        return value >= least && value <= most
            ? value
            : throw new FormatException($"\"{field}\" is {value}, not {least} to {most}.");
    }

    /// <summary>Whether the memory allocation inside the operation was made to fail.</summary>
    public static Allocation AllocationOf(JsonObject record) =>
        (bool?)record["fail"] is true ? Allocation.Fails : Allocation.Succeeds;
}
