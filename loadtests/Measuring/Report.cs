using System.Globalization;
using System.Text.Json.Serialization;
using Spectre.Console;

namespace Fleet.LoadTests.Measuring;

/// <summary>One printed line: a figure, its floor if it has one, and how far the rounds lie apart.</summary>
/// <param name="Unit">Of <paramref name="Figure"/> and <paramref name="Floor"/>.</param>
/// <param name="Ratio">Median of the rounds' ratios; null where there is no floor.</param>
/// <param name="RatioLow">Smallest of them.</param>
/// <param name="RatioHigh">Largest of them.</param>
/// <param name="Aim">What the project aims at, in words.</param>
internal sealed record Line(
    string Benchmark, string What, double Figure, string Unit, string? FloorName, double? Floor, double? Ratio,
    double? RatioLow,
    double? RatioHigh, string Aim, string Notes)
{
    /// <summary>Printed and kept, but the documents' tables do without it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool IsDetail { get; init; }

    public static Line Of(Comparison comparison, string aim, string notes = "") => new(
        comparison.Benchmark, comparison.Contender, comparison.Figure, "op/CPU-s", comparison.Floor,
        comparison.FloorFigure, comparison.Ratio, comparison.Ratios[0], comparison.Ratios[^1], aim,
        string.Create(CultureInfo.InvariantCulture,
            $"{Comparison.Median(comparison.Rounds.Select(r => r.PerSecond)):N0} op/s wall, "
            + $"{Comparison.Median(comparison.Rounds.Select(r => r.BytesPerOperation)):N0} B/op against "
            + $"{Comparison.Median(comparison.FloorRounds.Select(r => r.BytesPerOperation)):N0}{Others(comparison)} "
            + $"{notes}").TrimEnd());

    private static string Others(Comparison comparison) => comparison.Rounds.All(r => r.Others.CpuSeconds == 0)
        ? ""
        : string.Create(
            CultureInfo.InvariantCulture,
            $" here, {Comparison.Median(comparison.Rounds.Select(r => r.OthersBytesPerOperation)):N0} against "
            + $"{Comparison.Median(comparison.FloorRounds.Select(r => r.OthersBytesPerOperation)):N0} in the silos");
}

/// <summary>Prints lines as they come, and all of them as a table.</summary>
internal static class Report
{
    public static void Tell(Line line) => Console.WriteLine(
        $"{line.Benchmark}: {line.What}: {Number(line.Figure)} {line.Unit}"
        + (line.Floor is { } floor ? $"; {line.FloorName} {Number(floor)}" : "")
        + (line.Ratio is { } ratio ? string.Create(CultureInfo.InvariantCulture, $"; ratio {ratio:0.00}") : "")
        + (line.RatioLow is { } low
            ? string.Create(CultureInfo.InvariantCulture, $" ({low:0.00}-{line.RatioHigh:0.00})")
            : "")
        + (line.Aim.Length > 0 ? $"; aim {line.Aim}" : "") + (line.Notes.Length > 0 ? $"; {line.Notes}" : ""));

    public static void Print(IReadOnlyList<Line> lines)
    {
        var table = new Table().Border(TableBorder.Simple)
            .AddColumns("benchmark", "figure", "floor", "ratio", "spread", "aim", "notes");
        foreach (var line in lines)
        {
            table.AddRow(
                Markup.Escape($"{line.Benchmark}: {line.What}"),
                Markup.Escape($"{Number(line.Figure)} {line.Unit}"),
                Markup.Escape(line.Floor is { } floor ? $"{Number(floor)} ({line.FloorName})" : "-"),
                line.Ratio is { } ratio ? ratio.ToString("0.00", CultureInfo.InvariantCulture) : "-",
                line.RatioLow is { } low
                    ? string.Create(CultureInfo.InvariantCulture, $"{low:0.00}-{line.RatioHigh:0.00}")
                    : "-",
                Markup.Escape(line.Aim),
                Markup.Escape(line.Notes));
        }

        if (Console.IsOutputRedirected)
        {
            AnsiConsole.Profile.Width = 260;
        }

        AnsiConsole.Write(table);
    }

    /// <summary>Three digits that say something, and what they count in.</summary>
    public static string Number(double value) => value switch
    {
        >= 1e6 => (value / 1e6).ToString("0.00 M", CultureInfo.InvariantCulture),
        >= 1e4 => (value / 1e3).ToString("0.0 k", CultureInfo.InvariantCulture),
        _ => value.ToString("0.##", CultureInfo.InvariantCulture),
    };
}
