using CsCheck;
using Fleet.Checking;
using Fleet.Checking.Explanation;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Replay;

[Trait("tier", "sim")]
public sealed class FindingCarrierTests
{
    private static readonly Gen<WorldScript> Scripts =
        from resources in Gen.Int[1, WorldScript.ResourcesMax]
        from pages in Gen.Int[1, WorldScript.PagesMax]
        from lists in Gen.Select(
            Gen.Enum<WorldOpKind>(), Gen.Int[0, resources - 1], Gen.Int[1, WorldScript.PagesMax])
            .Array[0, 6].Array[2, 7]
        select new WorldScript
        {
            Resources = resources,
            Pages = pages,
            Prologue = Ops(lists[0], 0),
            Actors = [.. lists[1..].Select(Ops)],
        };

    // Goal: what a history tells of a finding is enough to find the rule again, in a world no larger than needed.
    // Method: a schedule that breaks a rule of the catalog is written down as a history, judged, and carried back.
    [Theory]
    [InlineData("S8", "ALL", KernelRule.OwnerAlive, 24)]
    [InlineData("S2", "P0", KernelRule.NoUseAfterRemove, 8)]
    [InlineData("S3", "P0", KernelRule.ReapBeforeRemove, 8)]
    [InlineData("S7", "X6-5", KernelRule.UnbindLive, 40)]
    [InlineData("S9", "ALL", KernelRule.NoNullDeref, 24)]
    [InlineData("S5", "P3", KernelRule.ResIndep, 40)]
    [InlineData("S16", "ALL", KernelRule.NoUseAfterRemove, 24)]
    public void A_finding_of_a_history_is_shrunk_in_a_small_world(string id, string name, KernelRule rule, int steps)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[rule];
        var history = ScheduleHistory.Of(new ReplayToken(scenario, profile, found.Choices));
        var carried = Carry(history, KernelRules.WireName(rule));

        Assert.True(carried.IsReproduced, $"{carried.Obstacle} {carried.Others}");
        Assert.True(carried.IsWorldMinimal);
        Assert.True(carried.Shrunk!.IsOneMinimal);
        Assert.InRange(carried.Shrunk.Steps, 1, steps);
        Assert.True(Replayer.Run(carried.Shrunk.Token.ToString()).Broken.Has(rule));
    }

    [Fact]
    public void A_rule_of_fleet_itself_is_said_to_have_no_world()
    {
        var (scenario, profile) = Explorer.Find("S2", "P0");
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[KernelRule.NoUseAfterRemove];
        var history = ScheduleHistory.Of(new ReplayToken(scenario, profile, found.Choices));
        var carried = Carry(history, "NO-USE-AFTER-REMOVE", finding => finding with { Rule = "ONE-INCARNATION" });

        Assert.False(carried.IsReproduced);
        Assert.Contains("no rule of the modelled kernel", carried.Obstacle, StringComparison.Ordinal);
    }

    // Goal: a finding of a kernel that lacks the defect is not reproduced, and the carrier says so.
    [Fact]
    public void A_finding_that_no_small_world_has_is_reported_as_such()
    {
        var (scenario, profile) = Explorer.Find("S8", "ALL");
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[KernelRule.OwnerAlive];
        var history = ScheduleHistory.Of(new ReplayToken(scenario, profile, found.Choices));
        history.Header = history.Header with { Profile = "CLEAN" };
        var carried = Carry(history, "OWNER-ALIVE");

        Assert.False(carried.IsReproduced);
        Assert.Null(carried.Obstacle);
        Assert.True(carried.Worlds > 0);
        Assert.True(carried.Others.IsEmpty);
    }

    [Fact]
    public void A_written_world_survives_its_text() => Scripts.Sample(script =>
    {
        Assert.True(WorldScript.TryParse(script.ToString(), out var read));
        Assert.Equal(script.ToString(), read.ToString());
        Assert.Equal(script.Ops, read.Ops);
    });

    [Theory]
    [InlineData("W")]
    [InlineData("W1x1/b")]
    [InlineData("W0x1/b/u")]
    [InlineData("W1x17/b/u")]
    [InlineData("WD2x1/b/u")]
    [InlineData("WD1x1/b,a0/u")]
    [InlineData("W1x1/b/u,z")]
    [InlineData("W1x1/b/u,a0x")]
    [InlineData("W1x1/b/u,a99")]
    [InlineData("W1x1/b/u,p1")]
    [InlineData("W1x1/b,a0/u/t0/f0")]
    public void A_world_that_makes_no_sense_is_refused(string text) => Assert.False(WorldScript.TryParse(text, out _));

    [Fact]
    public void A_written_world_can_be_explored_by_its_text()
    {
        var report = Explorer.Run("W2x1/b,a0,a1,f0/u/t1,f1", "ALL", new ExploreOptions());
        Assert.True(report.IsExhausted);
        var cached = new ExploreOptions { Strategy = Strategy.StateCache };
        Assert.Equal(Explorer.Run("W2x1/b,a0,a1,f0/u/t1,f1", "ALL", cached).Broken, report.Broken);
    }

    private static CarriedFinding Carry(
        ScheduleHistory history, string rule, Func<Kernel.History.Finding, Kernel.History.Finding>? changed = null)
    {
        var checker = new HistoryChecker(history.Header, history.Objects, []);
        foreach (var record in history.Records)
        {
            checker.Add(record);
        }

        var finding = checker.Finish().Findings.First(one => one.Rule == rule);
        var records = new ExplainedRecords(changed?.Invoke(finding) ?? finding, history.Objects);
        foreach (var record in history.Records)
        {
            records.Add(record);
        }

        return FindingCarrier.Carry(history.Header, records, history.Objects);
    }

    private static List<WorldOp> Ops((WorldOpKind Kind, int Resource, int Pages)[] ops, int actor) =>
    [
        .. ops.Where(op => op.Kind is not (WorldOpKind.Enter or WorldOpKind.Leave)).Select(op => op.Kind switch
        {
            WorldOpKind.Alloc => new WorldOp(op.Kind, actor, op.Pages),
            WorldOpKind.Touch or WorldOpKind.Free => new WorldOp(op.Kind, actor),
            WorldOpKind.Pin => new WorldOp(op.Kind, op.Resource),
            _ => new WorldOp(op.Kind),
        }),
    ];
}
