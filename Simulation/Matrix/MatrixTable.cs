using System.Text;
using Fleet.Kernel.Judging;

namespace Fleet.Simulation.Matrix;

/// <summary>How sure the table is of a cell; only the last two may be overruled.</summary>
public enum CellConfidence : byte { Certain, Analysis, Guess }

/// <summary>What the table expects of one scenario under one profile.</summary>
/// <param name="Worst">Null where the scenario has no meaning.</param>
public sealed record ExpectedCell(
    string Scenario, string Profile, WorldVerdict? Worst, RuleSet Rules, CellConfidence Confidence, string Note);

/// <summary>A cell that was found wrong, with the decision that says why.</summary>
/// <param name="Decision">Number in docs/decisions.</param>
/// <param name="Reason">One sentence.</param>
public sealed record Overrule(string Scenario, string Profile, RuleSet Rules, string Decision, string Reason);

/// <summary>
/// The expectations: a CSV file with the columns scenario, profile, expected, rules, confidence, note.
/// </summary>
/// <remarks>Source: the tables are resources of this assembly; <see cref="Parse"/> reads any other.</remarks>
public static class MatrixTable
{
    /// <summary>The table that the product ships.</summary>
    public static string ShippedText() => Resource("matrix.csv");

    /// <summary>Cells of the shipped table that exploration has shown to be wrong.</summary>
    public static IReadOnlyList<Overrule> ShippedOverrules() =>
    [
        .. Rows(Resource("overrules.csv")).Skip(1).Select(row => new Overrule(
            row[0],
            row[1],
            RuleSet.TryParse(row[2], out var rules) ? rules : throw new FormatException($"overrules.csv: {row[2]}"),
            row[3],
            row[4])),
    ];

    /// <exception cref="FormatException">With the line and what would be accepted.</exception>
    public static IReadOnlyList<ExpectedCell> Parse(string csv)
    {
        var cells = new List<ExpectedCell>();
        var line = 1;
        foreach (var row in Rows(csv).Skip(1))
        {
            line++;
            if (row is not [var scenario, var profile, var expected, var rules, var confidence, var note])
            {
                throw new FormatException(
                    $"line {line} has {row.Count} fields; accepted: scenario,profile,expected,rules,confidence,note.");
            }

            if (!RuleSet.TryParse(rules, out var set))
            {
                throw new FormatException(
                    $"line {line}: '{rules}' names an unknown rule; accepted: names as fleet rules prints them.");
            }

            if (!Enum.TryParse<CellConfidence>(confidence, ignoreCase: true, out var sure))
            {
                throw new FormatException($"line {line}: '{confidence}'; accepted: certain, analysis, guess.");
            }

            WorldVerdict? worst = expected == "n/a" ? null
                : Enum.TryParse<WorldVerdict>(expected, ignoreCase: true, out var known) ? known
                : throw new FormatException($"line {line}: '{expected}'; accepted: clean, leak, hang, invalid, n/a.");
            cells.Add(new(scenario, profile, worst, set, sure, note));
        }

        return cells;
    }

    private static string Resource(string name)
    {
        using var stream = typeof(MatrixTable).Assembly.GetManifestResourceStream(name)!;
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>Fields between commas; quotation marks around a field, doubled inside.</summary>
    private static IEnumerable<IReadOnlyList<string>> Rows(string csv)
    {
        foreach (var text in csv.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var fields = new List<string>();
            var field = new StringBuilder();
            var isQuoted = false;
            foreach (var letter in text.TrimEnd('\r'))
            {
                if (letter == '"')
                {
                    isQuoted = !isQuoted;
                }
                else if (letter == ',' && !isQuoted)
                {
                    fields.Add(field.ToString());
                    field.Clear();
                }
                else
                {
                    field.Append(letter);
                }
            }

            fields.Add(field.ToString());
            yield return fields;
        }
    }
}
