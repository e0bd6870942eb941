using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Replay;

[Trait("tier", "sim")]
public sealed class ScheduleHistoryTests
{
    // Goal: two judges that share no code come to the same verdict on the same schedule.
    // Method: the schedule that breaks a rule here is written down as a history, and the checker judges the history.
    [Theory]
    [InlineData("S2", "P0", KernelRule.NoUseAfterRemove)]
    [InlineData("S2", "P5", KernelRule.NoUseAfterRemove)]
    [InlineData("S1", "V1", KernelRule.NoNullDeref)]
    [InlineData("S4", "ALL-p3", KernelRule.ErrorNoResidue)]
    [InlineData("S4", "ALL-p3", KernelRule.ObjLive)]
    [InlineData("S5", "P3", KernelRule.NoPermanentRefusal)]
    [InlineData("S4", "P5", KernelRule.ExitNotSwitching)]
    [InlineData("S7", "X6-5", KernelRule.UnbindLive)]
    [InlineData("S8", "ALL", KernelRule.ObjLive)]
    [InlineData("S9", "ALL", KernelRule.NoNullDeref)]
    [InlineData("S19", "ALL", KernelRule.KillOnce)]
    [InlineData("S25", "P3", KernelRule.NoGetFromZero)]
    [InlineData("S5", "P3", KernelRule.ResIndep)]
    [InlineData("S8", "ALL", KernelRule.OwnerAlive)]
    [InlineData("S4", "ALL-p3", KernelRule.NoStaleData)]
    [InlineData("S25", "P3", KernelRule.WaitEffective)]
    [InlineData("S24", "P0", KernelRule.NoLeak)]
    [InlineData("S3", "P0", KernelRule.ReapBeforeRemove)]
    [InlineData("S3", "P0", KernelRule.NoUseAfterRemove)]
    [InlineData("S15", "P5", KernelRule.NoUseAfterRemove)]
    [InlineData("S29", "MAINLINE", KernelRule.NoUseAfterRemove)]
    [InlineData("S12", "P5", KernelRule.ExitNotSwitching)]
    [InlineData("S14", "P5", KernelRule.UnbindLive)]
    [InlineData("S13", "ALL", KernelRule.NoLeak)]
    [InlineData("S16", "ALL", KernelRule.NoUseAfterRemove)]
    [InlineData("S18", "ALL", KernelRule.LookupSafe)]
    [InlineData("S21", "L515b", KernelRule.UnbindLive)]
    [InlineData("S5", "X6-5", KernelRule.ErrorPathTerminates)]
    public void The_checker_finds_the_rule_that_the_judge_found(string id, string name, KernelRule rule)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[rule];
        var report = Check(ScheduleHistory.Of(new ReplayToken(scenario, profile, found.Choices)));

        // The checker calls the rule by its name in the model, the matrix by its short one.
        var wanted = rule is KernelRule.ObjLive ? "NO-OP-AFTER-FREE" : KernelRules.WireName(rule);
        Assert.Contains(wanted, report.Findings.Select(finding => finding.Rule));
        Assert.NotEqual(RunVerdict.Valid, report.Verdict);
    }

    // Goal: no schedule that the judge calls clean gives the checker anything to say, whatever the driver.
    // Method: every world under every profile that breaks nothing, each with one schedule that a seed chooses.
    [Fact]
    public void A_schedule_of_a_clean_world_has_a_history_without_findings()
    {
        var judged = 0;
        foreach (var scenario in ScenarioCatalog.All)
        {
            foreach (var profile in KernelProfile.All.Where(scenario.AppliesTo))
            {
                if (!Explorer.Run(scenario, profile, new ExploreOptions { ChecksWrites = false }).Broken.IsEmpty)
                {
                    continue;
                }

                var report = Check(ScheduleHistory.Of(new ReplayToken(scenario, profile, Complete(scenario, profile))));
                Assert.True(
                    report.Findings.Count == 0,
                    $"{scenario.Id} {profile}: {string.Join("; ", report.Findings.Select(one => one.Text))}");
                judged++;
            }
        }

        Assert.InRange(judged, 150, 600);
    }

    // Goal: what the judge calls clean, the checker does too, and neither finds a defect of Fleet.
    [Theory]
    [InlineData("S1", "ALL", "A:!WaitReaped rcu:* A:*")]
    [InlineData("S2", "ALL", "A:!WaitReaped B:* rcu:* A:*")]
    [InlineData("S2", "CLEAN", "A:!WaitReaped B:* rcu:* A:*")]
    [InlineData("S7", "ALL", "A:!WaitReaped rcu:* A:!WaitReaped rcu:* A:* rcu:* A:*")]
    public void A_clean_schedule_has_a_history_without_findings(string id, string name, string line)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        Assert.True(ScheduleLine.Run(scenario, profile, line).Broken.IsEmpty);
        var report = Check(ScheduleHistory.Of(ScheduleLine.Token(scenario, profile, line)));
        Assert.Empty(report.Findings.Select(finding => $"{finding.Rule}: {finding.Text}"));
    }

    /// <summary>Everybody steps as far as they can, one after the other.</summary>
    private static IReadOnlyList<byte> Complete(Scenario scenario, KernelProfile profile)
    {
        var line = string.Join(' ', scenario.Actors.Append(null).Select(one => $"{one?.Name ?? "rcu"}:*"));
        return ScheduleLine.Token(scenario, profile, string.Join(' ', Enumerable.Repeat(line, 8))).Choices;
    }

    private static CheckReport Check(ScheduleHistory history)
    {
        var checker = new HistoryChecker(history.Header, history.Objects, []);
        foreach (var record in history.Records)
        {
            checker.Add(record);
        }

        return checker.Finish();
    }
}
