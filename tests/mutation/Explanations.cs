using System.Text.RegularExpressions;

namespace Fleet.Mutation;

/// <summary>Why a mutant may survive, as the table of survivors says it.</summary>
/// <remarks>
/// A row has three cells: the place, the change, both as the report has them, and the reason. A place or a change may
/// end in an ellipsis: it then stands for all that begin so.
/// </remarks>
internal sealed partial class Explanations
{
    private readonly List<(string Place, string Change)> _rows = [];

    public static Explanations Read(string path)
    {
        var explanations = new Explanations();
        foreach (var line in File.ReadLines(path))
        {
            if (Row().Match(line) is { Success: true } row)
            {
                explanations._rows.Add((Cell(row.Groups[1]), Cell(row.Groups[2])));
            }
        }

        return explanations;
    }

    public bool Has(Mutant mutant) =>
        _rows.Exists(row => Fits(row.Place, mutant.Place) && Fits(row.Change, mutant.Change));

    private static string Cell(Group cell) => cell.Value.Trim().Trim('`').Replace("\\|", "|", StringComparison.Ordinal);

    private static bool Fits(string row, string text) => row.EndsWith('…')
        ? text.StartsWith(row[..^1], StringComparison.Ordinal)
        : string.Equals(row, text, StringComparison.Ordinal);

    [GeneratedRegex(@"^\| (`[^`]+`) \| (`[^`]+`) \|")]
    private static partial Regex Row();
}
