using System.Globalization;
using System.Text;
using Fleet.LoadTests.Scaling;

namespace Fleet.LoadTests.Measuring;

/// <summary>Writes rounds of figures into the documents, between the marks that name the benchmarks.</summary>
/// <remarks>
/// <c>&lt;!-- bench NAME… --&gt;</c> and <c>&lt;!-- /bench --&gt;</c>, each on its own line. A table whose benchmarks
/// are in none of the files stays as it is. Axes of scaling have tables of their points, whatever the files hold.
/// Nothing is written before every table is known.
/// </remarks>
internal static class DocTables
{
    private const string Begin = "<!-- bench ";
    private const string End = "<!-- /bench -->";

    /// <param name="rounds">Files of figures, the first one leading.</param>
    /// <param name="documents">Markdown files.</param>
    /// <returns>The tables that were written, as text.</returns>
    /// <exception cref="FormatException">A document or a file of points is something else; the message is for
    /// users.</exception>
    public static string Write(IReadOnlyList<BenchFile> rounds, IEnumerable<string> documents)
    {
        var written = new StringBuilder();
        var texts = new List<(string Document, List<string> Lines)>();
        foreach (var document in documents)
        {
            var lines = File.ReadAllLines(document);
            var text = new List<string>();
            for (var i = 0; i < lines.Length; i++)
            {
                text.Add(lines[i]);
                if (!lines[i].StartsWith(Begin, StringComparison.Ordinal))
                {
                    continue;
                }

                var end = Array.IndexOf(lines, End, i);
                if (end < 0)
                {
                    throw new FormatException($"'{document}', line {i + 1}: \"{End}\" is missing below.");
                }

                var names = lines[i][Begin.Length..].Replace("-->", "", StringComparison.Ordinal)
                    .Split(' ', StringSplitOptions.RemoveEmptyEntries);
                var figures = Path.Combine(Path.GetDirectoryName(document)!, "figures");
                if ((Points(names, figures) ?? Table(rounds, names)) is { Count: > 0 } table)
                {
                    text.AddRange(table);
                    text.AddRange(Figures(Path.GetDirectoryName(document)!, names));
                    table.ForEach(row => written.AppendLine(row));
                    i = end - 1;
                }
            }

            texts.Add((document, text));
        }

        foreach (var (document, text) in texts)
        {
            File.WriteAllText(document, string.Join('\n', text) + "\n");
        }

        return written.ToString();
    }

    /// <summary>Points that are kept one by one, whatever round they came from; null where there are none.</summary>
    private static List<string>? Points(string[] names, string figures)
    {
        var points = names.SelectMany(name => PointsTable.Of(name, figures)).ToList();
        return points.Count == 0 ? null : points;
    }

    /// <summary>What was drawn of the same benchmarks.</summary>
    private static IEnumerable<string> Figures(string folder, string[] names) =>
        from name in names
        let file = $"figures/{name}.png"
        where File.Exists(Path.Combine(folder, file))
        from line in (string[])["", $"![{name}]({file})"]
        select line;

    private static List<string> Table(IReadOnlyList<BenchFile> rounds, string[] names)
    {
        var told = rounds.Select((round, i) => (Number: i + 1, Courses: round.Courses.Where(
            course => course.Lines.Any(line => names.Contains(line.Benchmark))).ToArray()))
            .Where(round => round.Courses.Length > 0).ToArray();
        var keys = names.SelectMany(name => told.SelectMany(round => round.Courses)
            .SelectMany(course => course.Lines).Where(line => line.Benchmark == name && !line.IsDetail))
            .Select(line => (line.Benchmark, line.What)).Distinct().ToList();
        if (keys.Count == 0)
        {
            return [];
        }

        var compares = told.Length > 1;
        List<string> table =
        [
            $"| what | {Each(told, round => $"figure, run {round.Number} | floor | ratio (spread)")} |"
                + (compares ? " agree |" : "") + " aim |",
            $"|---|{string.Concat(told.Select(_ => "---|---|---|"))}{(compares ? "---|" : "")}---|",
        ];
        foreach (var key in keys)
        {
            var lines = told.Select(round => round.Courses.SelectMany(course => course.Lines)
                .FirstOrDefault(line => (line.Benchmark, line.What) == key)).ToArray();
            var any = lines.First(line => line is not null)!;
            var floor = any.FloorName is { } name ? $"; floor: {name}" : "";
            table.Add(
                $"| {Cell($"{key.Benchmark}: {key.What}{floor}")} | {Each(lines, Figures)} |"
                + (compares ? $" {Agreement(lines)} |" : "") + $" {Cell(any.Aim)} |");
        }

        table.Add("");
        table.AddRange(told.SelectMany(round => round.Courses.Select(course => Told(round.Number, course))));
        return table;
    }

    private static string Told(int round, BenchCourse course) => string.Create(
        CultureInfo.InvariantCulture,
        $"- run {round}, {course.Benchmark}{(course.IsQuick ? " --quick" : "")}: {course.MeasuredAt:yyyy-MM-dd HH:mm} "
        + $"UTC, commit {course.Commit[..Math.Min(7, course.Commit.Length)]}{(course.IsDirty ? " and changes" : "")}, "
        + $"{course.WallSeconds:N0} s, {course.CpuSeconds:N0} CPU-s ({course.MachineCpuSeconds:N0} of the whole "
        + $"machine)"
        + $"{(course.Outcome is BenchOutcome.Whole ? "" : ", not whole: " + course.Outcome)}");

    private static string Figures(Line? line) => line is null
        ? "– | – | –"
        : $"{Report.Number(line.Figure)} {line.Unit} | {(line.Floor is { } floor ? Report.Number(floor) : "–")} | "
            + (line.Ratio is { } ratio ? $"{Ratio(ratio)}{Spread(line)}" : "–");

    private static string Spread(Line line) =>
        line is { RatioLow: { } low, RatioHigh: { } high } ? $" ({Ratio(low)}–{Ratio(high)})" : "";

    private static string Ratio(double ratio) =>
        ratio.ToString(ratio < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);

    /// <summary>Whether the spreads of the ratios meet; of a figure alone, how far apart the two are.</summary>
    private static string Agreement(Line?[] lines) => lines is [{ } one, { } two]
        ? one is { RatioLow: { } low1, RatioHigh: { } high1 } && two is { RatioLow: { } low2, RatioHigh: { } high2 }
            ? low1 <= high2 && low2 <= high1 ? "yes" : "no"
            : (two.Ratio / one.Ratio ?? two.Figure / one.Figure).ToString("0.00", CultureInfo.InvariantCulture)
        : "–";

    private static string Each<T>(IEnumerable<T> all, Func<T, string> of) => string.Join(" | ", all.Select(of));

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}
