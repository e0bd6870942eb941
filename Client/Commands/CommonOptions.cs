using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Commands;

/// <summary>Options that several commands take, and parsers whose refusals say what is accepted.</summary>
internal static class CommonOptions
{
    public static Option<bool> Json() =>
        new("--json") { Description = "Print one JSON object on standard output and nothing else." };

    public static Option<int?> Whole(string name, int min, int max, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => (int?)TryWhole(result, name, min, max),
    };

    public static Option<long?> WholeLong(string name, long min, long max, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => TryWhole(result, name, min, max),
    };

    public static Option<double?> Number(string name, double min, double max, string description) => new(name)
    {
        Description = description,
        HelpName = "R",
        CustomParser = result =>
        {
            if (double.TryParse(
                result.Tokens[0].Value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value)
                && value >= min && value <= max)
            {
                return value;
            }

            Refuse(result, name, string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max}"));
            return null;
        },
    };

    public static Option<TimeSpan?> Duration(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "DURATION",
        CustomParser = result =>
        {
            if (Quantity.TryParseDuration(result.Tokens[0].Value, out var duration) && duration > TimeSpan.Zero)
                return duration;

            Refuse(result, name, Quantity.DurationForm);
            return null;
        },
    };

    public static Option<long?> Size(string name, long minBytes, long maxBytes, string description) => new(name)
    {
        Description = description,
        HelpName = "SIZE",
        CustomParser = result =>
        {
            if (Quantity.TryParseSize(result.Tokens[0].Value, out var bytes) && bytes >= minBytes && bytes <= maxBytes)
                return bytes;

            Refuse(result, name, $"{Quantity.SizeForm}, from {minBytes >> 20}MiB to {maxBytes >> 30}GiB");
            return null;
        },
    };

    private static long? TryWhole(ArgumentResult result, string name, long min, long max)
    {
        if (long.TryParse(
            result.Tokens[0].Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            && value >= min && value <= max)
        {
            return value;
        }

        Refuse(result, name, $"a whole number from {min} to {max}");
        return null;
    }

    private static void Refuse(ArgumentResult result, string name, string accepted) =>
        result.AddError($"{name} is {ForeignText.Quote(result.Tokens[0].Value)}; accepted: {accepted}.");
}
