using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Client.Commands;

/// <summary>A world of one actor that takes other steps, or ends otherwise, under another kernel.</summary>
internal sealed record StepDiff(Scenario Scenario, ReplayReport Left, ReplayReport Right)
{
    /// <summary>The actor and its callbacks in turn, as often as the longest of these worlds needs.</summary>
    private const string Line = "A:* rcu:* A:* rcu:* A:* rcu:* A:* rcu:* A:* rcu:* A:* rcu:* A:*";

    /// <summary>Every world in which two kernels differ without a race, in the order of the matrix.</summary>
    public static IEnumerable<StepDiff> Of(KernelProfile left, KernelProfile right)
    {
        foreach (var scenario in ScenarioCatalog.All)
        {
            if (scenario.Actors is not [{ Name: "A" }] || !scenario.AppliesTo(left) || !scenario.AppliesTo(right))
                continue;

            var (one, other) = (
                ScheduleLine.Run(scenario, left, Line), ScheduleLine.Run(scenario, right, Line));
            if (one.Broken != other.Broken || !Steps(one).SequenceEqual(Steps(other)))
                yield return new(scenario, one, other);
        }
    }

    /// <summary>How a run ended, in one clause.</summary>
    public static string EndOf(ReplayReport report)
    {
        var end = report.Death is { } death ? $"dies ({death})"
            : report.Blocked.Count > 0 ? "waits for ever"
            : "ends";
        return report.Broken.IsEmpty
            ? $"{end}, no rule broken."
            : $"{end}; breaks {string.Join(", ", report.Broken.Rules.Select(KernelRules.WireName))}.";
    }

    /// <summary>The steps of both, the common ones once: ' ' for both, '-' for the left, '+' for the right.</summary>
    public IEnumerable<(char Mark, string Step)> Lines()
    {
        var (left, right) = (Steps(Left).ToArray(), Steps(Right).ToArray());
        var common = new int[left.Length + 1, right.Length + 1];
        for (var i = left.Length - 1; i >= 0; i--)
        {
            for (var j = right.Length - 1; j >= 0; j--)
            {
                common[i, j] = left[i] == right[j]
                    ? common[i + 1, j + 1] + 1
                    : Math.Max(common[i + 1, j], common[i, j + 1]);
            }
        }

        var (l, r) = (0, 0);
        while (l < left.Length || r < right.Length)
        {
            if (l < left.Length && r < right.Length && left[l] == right[r])
            {
                yield return (' ', left[l++]);
                r++;
            }
            else if (r == right.Length || (l < left.Length && common[l + 1, r] >= common[l, r + 1]))
            {
                yield return ('-', left[l++]);
            }
            else
            {
                yield return ('+', right[r++]);
            }
        }
    }

    private static IEnumerable<string> Steps(ReplayReport report) =>
        report.Steps.Select(step => step.Actor == "A" ? step.Step.ToString() : $"{step.Step} (rcu)");
}
