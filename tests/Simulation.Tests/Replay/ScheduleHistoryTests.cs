using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;

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
    public void The_checker_finds_the_rule_that_the_judge_found(string id, string name, KernelRule rule)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[rule];
        var report = Check(ScheduleHistory.Of(new ReplayToken(scenario, profile, found.Choices)));

        // The checker calls the rule by its name in the model, the matrix by its short one.
        var wanted = rule is KernelRule.ObjLive ? "NO-OP-AFTER-FREE" : KernelRules.WireName(rule);
        Assert.Contains(wanted, report.Findings.Select(finding => finding.Rule));
        Assert.Equal(RunVerdict.Invalid, report.Verdict);
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
