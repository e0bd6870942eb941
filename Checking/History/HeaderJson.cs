using System.Text;
using System.Text.Json;

namespace Fleet.Checking.History;

/// <summary>The header's JSON form.</summary>
internal static class HeaderJson
{
    public static HistoryHeader Parse(ReadOnlySpan<byte> line)
    {
        if (line is [0xEF, 0xBB, 0xBF, ..])
        {
            line = line[3..];
        }

        var reader = new Utf8JsonReader(line);
        using var document = JsonDocument.ParseValue(ref reader);
        var root = document.RootElement;
        if (root.ValueKind is not JsonValueKind.Object || Text(root, "format") is not HistoryHeader.FormatName)
        {
            throw Bad(
                "no header; the first line has to be a JSON object with "
                + "\"format\":\"fleet-history\" and \"version\":1");
        }

        if (Number(root, "version") is not 1)
        {
            throw Bad("\"version\" has to be 1");
        }

        return new()
        {
            Run = Text(root, "run") ?? "",
            Source = Choice(root, "source", "hand", ["live", "simulation", "exploration", "kernel-trace", "hand"]),
            Profile = Text(root, "profile") ?? "",
            Order = Choice(root, "order", "per-object", ["per-object", "total"]) is "total"
                ? HistoryOrder.Total
                : HistoryOrder.PerObject,
            SortedByObject = Choice(root, "sorted", "none", ["object", "none"]) is "object",
            Clock = Text(root, "clock") ?? "",
            ClockBoundNs = Number(root, "clock_bound_ns"),
            Complete = Flag(root, "complete", absent: true),
            Quiescent = Flag(root, "quiescent", absent: false),
            Extensions = Flag(root, "extensions", absent: false),
        };
    }

    public static string Text(HistoryHeader header)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("format", HistoryHeader.FormatName);
            json.WriteNumber("version", header.Version);
            json.WriteString("run", header.Run);
            json.WriteString("source", header.Source);
            json.WriteString("profile", header.Profile);
            json.WriteString("order", header.Order is HistoryOrder.Total ? "total" : "per-object");
            json.WriteString("sorted", header.SortedByObject ? "object" : "none");
            if (header.Clock.Length > 0)
            {
                json.WriteString("clock", header.Clock);
            }

            if (header.ClockBoundNs is { } bound)
            {
                json.WriteNumber("clock_bound_ns", bound);
            }

            json.WriteBoolean("complete", header.Complete);
            json.WriteBoolean("quiescent", header.Quiescent);
            if (header.Extensions)
            {
                json.WriteBoolean("extensions", true);
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static HistoryFormatException Bad(string reason) => new(1, reason);

    private static string? Text(JsonElement root, string name) => root.TryGetProperty(name, out var value)
        ? value.ValueKind switch
        {
            JsonValueKind.String when value.GetString() is { Length: <= NameCache.LengthMax } text => text,
            JsonValueKind.Null => null,
            _ => throw Bad($"\"{name}\" has to be a string of at most {NameCache.LengthMax} characters"),
        }
        : null;

    private static string Choice(JsonElement root, string name, string absent, ReadOnlySpan<string> accepted)
    {
        var text = Text(root, name) ?? absent;
        return accepted.Contains(text)
            ? text
            : throw Bad(
                $"\"{name}\" is '{HistoryFormatException.Printable(text)}'; accepted: {string.Join(", ", accepted!)}");
    }

    private static long? Number(JsonElement root, string name) => root.TryGetProperty(name, out var value)
        ? value.ValueKind is JsonValueKind.Number && value.TryGetInt64(out var number)
            && number is >= 0 and <= RecordParser.ClockBoundMax
            ? number
            : throw Bad($"\"{name}\" has to be a whole number from 0 to {RecordParser.ClockBoundMax}")
        : null;

    private static bool Flag(JsonElement root, string name, bool absent) => root.TryGetProperty(name, out var value)
        ? value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Bad($"\"{name}\" has to be true or false"),
        }
        : absent;
}
