using System.Globalization;

namespace Fleet.Client.Scenarios;

/// <summary>Durations and sizes as a scenario or an option writes them: a number and its unit.</summary>
public static class Quantity
{
    public const string DurationForm = "a duration such as 250ms, 10s, 5m, 2h or 1d";
    public const string SizeForm = "a size such as 4096B, 4KiB, 1MiB or 2GiB";

    /// <summary>Longer than any soak; keeps every sum of durations far from the range of ticks.</summary>
    public static readonly TimeSpan DurationMax = TimeSpan.FromDays(365);

    private static readonly (string Unit, long Ticks)[] DurationUnits =
    [
        ("us", TimeSpan.TicksPerMicrosecond), ("ms", TimeSpan.TicksPerMillisecond), ("s", TimeSpan.TicksPerSecond),
        ("m", TimeSpan.TicksPerMinute), ("h", TimeSpan.TicksPerHour), ("d", TimeSpan.TicksPerDay),
    ];

    private static readonly (string Unit, long Bytes)[] SizeUnits =
        [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("B", 1)];

    public static bool TryParseDuration(string text, out TimeSpan duration)
    {
        duration = default;
        foreach (var (unit, ticks) in DurationUnits)
        {
            if (!TryNumber(text, unit, out var number))
                continue;

            if (number * ticks > DurationMax.Ticks)
                return false;

            duration = new((long)(number * ticks));
            return true;
        }

        return false;
    }

    public static bool TryParseSize(string text, out long sizeBytes)
    {
        sizeBytes = 0;
        foreach (var (unit, bytes) in SizeUnits)
        {
            if (!TryNumber(text, unit, out var number))
                continue;

            var exact = number * bytes;
            if (exact > 1L << 52 || decimal.Truncate(exact) != exact)
                return false;

            sizeBytes = (long)exact;
            return true;
        }

        return false;
    }

    private static bool TryNumber(string text, string unit, out decimal number)
    {
        number = 0;
        return text.Length > unit.Length && text.Length < 24
            && text.EndsWith(unit, StringComparison.Ordinal)
            && char.IsAsciiDigit(text[^(unit.Length + 1)])
            && decimal.TryParse(
                text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture,
                    out number)
            && number <= 1_000_000_000_000m;
    }
}
