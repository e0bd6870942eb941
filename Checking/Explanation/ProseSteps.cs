namespace Fleet.Checking.Explanation;

/// <summary>Takes the prose of a finding apart: Let, Then, however.</summary>
internal static class ProseSteps
{
    private static readonly string[] Steps = ["Let ", "Then ", "however, "];

    public static IReadOnlyList<(string Step, string Sentence)> Of(string text)
    {
        var steps = new List<(string, string)>();
        var rest = text;
        foreach (var (step, next) in Steps.Zip([.. Steps.Skip(1), ": a contradiction"]))
        {
            var from = rest.IndexOf(step, StringComparison.Ordinal);
            var to = from < 0 ? -1 : rest.IndexOf(next, from + step.Length, StringComparison.Ordinal);
            if (to < 0)
            {
                break;
            }

            steps.Add((step.TrimEnd(), rest[(from + step.Length)..to].Trim()));
            rest = rest[to..];
        }

        if (rest.Length > 0)
        {
            // What comes behind the contradiction, or a text of another form.
            rest = rest.StartsWith(": a contradiction.", StringComparison.Ordinal)
                ? rest[": a contradiction.".Length..]
                : rest;
            if (steps.Count == 3)
            {
                steps[2] = (steps[2].Item1, steps[2].Item2 + ": a contradiction.");
            }

            if (rest.Trim().Length > 0)
            {
                steps.Add(("", rest.Trim()));
            }
        }

        return steps;
    }
}
