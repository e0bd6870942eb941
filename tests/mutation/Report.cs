using System.Globalization;
using System.Text;

namespace Fleet.Mutation;

/// <summary>How many mutants died, and each that did not.</summary>
internal sealed class Report(
    LawCompilation law, Dictionary<int, string?> verdicts, List<TracedTest> traced, Explanations explanations)
{
    private readonly HashSet<int> _reached = [.. traced.SelectMany(test => test.Reached)];

    /// <summary>Prints the table of the folders and every survivor, and keeps the same in a file.</summary>
    /// <returns>Whether each folder reaches the aim and each survivor is explained.</returns>
    public bool Write(IReadOnlyList<string> folders, string path, double aimPercent)
    {
        var text = new StringBuilder();
        text.AppendLine("| folder | mutants | killed | survivors | of them explained | do not compile |");
        text.AppendLine("|---|---|---|---|---|---|");
        var isGood = true;
        List<Mutant> alive = [];
        foreach (var folder in folders)
        {
            List<Mutant> mutants = [.. law.Mutants.Where(mutant => mutant.Folder == folder)];
            List<Mutant> survivors = [.. mutants.Where(mutant => verdicts[mutant.Id] is null)];
            var explained = survivors.Count(explanations.Has);
            var killed = mutants.Count - survivors.Count;
            var percent = 100.0 * killed / mutants.Count;
            isGood &= percent >= aimPercent && explained == survivors.Count;
            alive.AddRange(survivors);
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {folder} | {mutants.Count} | {killed} ({percent:F1} %) | {survivors.Count} | {explained} | "
                + $"{law.Impossible.Count(mutant => mutant.Folder == folder)} |");
        }

        foreach (var mutant in alive)
        {
            var note = (explanations.Has(mutant), _reached.Contains(mutant.Id)) switch
            {
                (true, _) => "explained",
                (false, true) => "NOT EXPLAINED",
                (false, false) => "NOT REACHED",
            };
            text.AppendLine(CultureInfo.InvariantCulture, $"{note}: {mutant}");
        }

        Console.Write(text);
        File.WriteAllText(path, text.ToString());
        return isGood;
    }
}
