using System.Text;
using Fleet.Checking;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Replay;

/// <summary>
/// The judge of a world sees its state, the checker only its history; what one says, the other should.
/// </summary>
[Trait("tier", "sim")]
public sealed class JudgesTests(ITestOutputHelper output)
{
    private const int SchedulesMax = 20_000;

    // Goal: two judges that share no code are of one opinion on every rule of every world.
    // Method: for each world, kernel and rule the first schedule that breaks it is written down as a history; whatever
    // either of them says alone is listed with its token.
    [Fact]
    public void The_checker_says_of_a_history_what_the_judge_says_of_its_world()
    {
        var missed = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        var alone = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        var agreed = 0;
        foreach (var scenario in ScenarioCatalog.All)
        {
            foreach (var profile in KernelProfile.All.Where(scenario.AppliesTo))
            {
                var options = new ExploreOptions { ChecksWrites = false, SchedulesMax = SchedulesMax };
                foreach (var (rule, found) in Explorer.Run(scenario, profile, options).First)
                {
                    var token = new ReplayToken(scenario, profile, found.Choices);
                    var judged = Replayer.Run(token).Broken.Rules.Select(NameOf).ToHashSet();
                    var checkedRules = Check(ScheduleHistory.Of(token));
                    if (checkedRules.Contains(NameOf(rule)))
                    {
                        agreed++;
                    }
                    else
                    {
                        Note(missed, NameOf(rule), token);
                    }

                    foreach (var other in checkedRules.Where(one => !judged.Contains(one)))
                    {
                        Note(alone, other, token);
                    }
                }
            }
        }

        var text = new StringBuilder($"both: {agreed}\n");
        foreach (var (side, rules) in new[] { ("judge alone", missed), ("checker alone", alone) })
        {
            foreach (var (rule, tokens) in rules)
            {
                text.Append(side).Append(' ').Append(rule).Append(": ").Append(tokens.Count).Append('\n');
                text.AppendJoin('\n', tokens.Select(one => $"    {one}")).Append('\n');
            }
        }

        output.WriteLine(text.ToString());
        Assert.InRange(agreed, 500, int.MaxValue);
        Assert.Empty(missed.Keys);
        Assert.Empty(alone.Keys);
    }

    private static void Note(SortedDictionary<string, List<string>> rules, string rule, ReplayToken token)
    {
        if (!rules.TryGetValue(rule, out var tokens))
        {
            rules[rule] = tokens = [];
        }

        tokens.Add(token.ToString());
    }

    /// <summary>The checker calls one rule by its name in the model, the matrix by its short one.</summary>
    private static string NameOf(KernelRule rule) =>
        rule is KernelRule.ObjLive ? "NO-OP-AFTER-FREE" : KernelRules.WireName(rule);

    private static HashSet<string> Check(ScheduleHistory history)
    {
        var checker = new HistoryChecker(history.Header, history.Objects, []);
        foreach (var record in history.Records)
        {
            checker.Add(record);
        }

        return [.. checker.Finish().Findings.Select(one => one.Rule)];
    }
}
