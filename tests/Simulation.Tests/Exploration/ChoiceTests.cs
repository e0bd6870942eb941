using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Exploration;

[Trait("tier", "sim")]
public sealed class ChoiceTests
{
    private static int Runs;

    // Goal: leaving out identical clients loses no rule.
    // Method: two, then three clients that do the same beside an unbind; with the symmetry and without.
    [Theory]
    [InlineData("P0", 2, Strategy.SourceDpor)]
    [InlineData("P5", 2, Strategy.SourceDpor)]
    [InlineData("ALL", 2, Strategy.SourceDpor)]
    [InlineData("X6-5", 2, Strategy.SleepSets)]
    [InlineData("CLEAN", 2, Strategy.StateCache)]
    [InlineData("ALL", 3, Strategy.StateCache)]
    public void Identical_clients_may_begin_in_one_order_only(string name, int clients, Strategy strategy)
    {
        var scenario = AllocsBesideUnbind(clients);
        Assert.True(KernelProfile.TryParse(name, out var profile));
        var options = new ExploreOptions { Strategy = strategy, ChecksWrites = false };
        var reduced = Explorer.Run(scenario, profile, options);
        var full = Explorer.Run(scenario, profile, options with { UsesSymmetry = false });
        Assert.True(reduced.IsExhausted && full.IsExhausted);
        Assert.Equal(full.Broken, reduced.Broken);
        Assert.Equal(full.Worst, reduced.Worst);
        Assert.True(reduced.Schedules < full.Schedules, $"{reduced.Schedules} of {full.Schedules}");
    }

    // Goal: a world that depends on anything outside of it is noticed.
    [Fact]
    public void A_world_that_does_not_repeat_is_reported_with_both_runs()
    {
        var planted = new Scenario
        {
            Id = "planted",
            Title = "a step that knows how often it has run",
            Layout = Layout.L1,
            Actors =
            [
                new("A", async host =>
                {
                    await host.Point(Step.None, 0, host.World.Parts.Order.Mask);
                    if (Runs++ > 0)
                    {
                        host.World.Parts.Order.OpenNow();
                    }
                }),
            ],
        };
        var thrown = Assert.Throws<UnrepeatableException>(
            () => Repetition.Run(planted, KernelProfile.Default, new ExploreOptions()));
        Assert.NotEqual(thrown.First.HistoryDigests, thrown.Second.HistoryDigests);
    }

    [Theory]
    [InlineData("S8", "ALL")]
    [InlineData("S18", "P0")]
    [InlineData("S25", "P3")]
    public void A_world_repeats(string id, string name)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        Assert.NotEmpty(Repetition.Run(scenario, profile, new ExploreOptions()).HistoryDigests!);
    }

    // Goal: a kill that other CPUs see late lets a tryget_live succeed that began after it, and nothing else does.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_kill_may_show_late(bool showsLate)
    {
        var planted = new Scenario
        {
            Id = "planted",
            Title = "a tryget_live after the kill",
            Layout = Layout.L1,
            ShowsKillsLate = showsLate,
            Prologue = async host => await host.RefInit(host.World.Parts.PlainRef, FailPoint.None),
            Actors =
            [
                new("A", async host =>
                {
                    await RefProcedures.Kill(host, host.World.Parts.PlainRef);
                    await host.World.Parts.Order.Open(host);
                }),
                new("B", async host =>
                {
                    await host.World.Parts.Order.Pass(host);
                    if (await RefProcedures.TryGetLive(host, host.World.Parts.PlainRef))
                    {
                        await host.Die(OopsKind.NullDereference, null, "it lives on");
                    }
                }),
            ],
        };
        var report = Explorer.Run(planted, KernelProfile.Default, new ExploreOptions());
        Assert.Equal(showsLate, report.Broken.Has(KernelRule.NoNullDeref));
        Assert.False(report.Broken.Has(KernelRule.LiveFailsAfterConfirm));
        var cached = Explorer.Run(
            planted, KernelProfile.Default, new ExploreOptions { Strategy = Strategy.StateCache });
        Assert.Equal(report.Broken, cached.Broken);
    }

    // Goal: kills that show late break nothing where they show at once and nothing is broken: the wait covers them.
    [Theory]
    [InlineData("S2", "ALL")]
    [InlineData("S8", "CLEAN")]
    [InlineData("S27", "CLEAN")]
    public void A_clean_order_is_clean_with_late_kills(string id, string name)
    {
        var report = Explorer.Run(id + ScenarioEdit.Late, name, new ExploreOptions());
        Assert.True(report.IsExhausted);
        Assert.Equal(RuleSet.Empty, report.Broken);
    }

    [Theory]
    [InlineData(GraceLength.Shortest)]
    [InlineData(GraceLength.Longest)]
    public void A_grace_period_of_fixed_length_gives_some_of_the_histories(GraceLength length)
    {
        var options = new ExploreOptions { Strategy = Strategy.Exhaustive, KeepsFinalStates = true };
        var any = Explorer.Run("S2", "P5", options);
        var some = Explorer.Run("S2", "P5", options with { Grace = length });
        Assert.True(some.IsExhausted);
        Assert.True(some.Schedules < any.Schedules);
        Assert.Subset(any.FinalStates!.ToHashSet(), some.FinalStates!.ToHashSet());
        Assert.Throws<ArgumentException>(
            () => Explorer.Run("S2", "P5", options with { Grace = length, Strategy = Strategy.SourceDpor }));
    }

    // Goal: memory that keeps its contents lets the kernel live on; the defect is told all the same.
    [Fact]
    public void Touching_freed_memory_is_told_whether_it_is_poison_or_not()
    {
        var poison = Explorer.Run("S8", "ALL", new ExploreOptions());
        var keeps = Explorer.Run("S8" + ScenarioEdit.Keeps, "ALL", new ExploreOptions());
        Assert.Equal(poison.Broken, keeps.Broken);
        Assert.True(keeps.Schedules > poison.Schedules);
    }

    // Goal: each step that can fail is made to fail, and the failure that patch 3 repaired comes out.
    [Fact]
    public void Single_failures_find_the_defect_of_patch_3_and_not_where_it_is_repaired()
    {
        var (scenario, broken) = Explorer.Find("S4-fail=add_resource.pool_add@1", "ALL-p3");
        var swept = FailureSweep.Run(scenario, broken, new ExploreOptions());
        Assert.True(swept.Single(one => one.Point is FailPoint.AddResourcePoolAdd).Broken.Has(KernelRule.NoStaleData));
        var repaired = FailureSweep.Run(scenario, KernelProfile.Default, new ExploreOptions());
        Assert.True(repaired.Count > 8);
        Assert.True(repaired.Single(one => one.Point is FailPoint.AddResourcePoolAdd).Broken.IsEmpty);
    }

    // Goal: what was changed of a world travels with its token.
    [Theory]
    [InlineData("S8+late-B1")]
    [InlineData("S8+keeps+fail=memremap.map_store@2")]
    [InlineData("S5-fail=add_resource.pool_add@2")]
    public void An_edited_world_survives_its_token(string name)
    {
        var (scenario, profile) = Explorer.Find(name, "ALL");
        Assert.True(ReplayToken.TryParse(new ReplayToken(scenario, profile, []).ToString(), out var parsed));
        Assert.Equal(name, parsed.Scenario.Name);
        Assert.Equal(scenario.Injections, parsed.Scenario.Injections);
        Assert.Equal(scenario.Actors.Select(one => one.Name), parsed.Scenario.Actors.Select(one => one.Name));
    }

    [Theory]
    [InlineData("S8-Z")]
    [InlineData("S8+L2")]
    [InlineData("S8+fail=nothing@1")]
    [InlineData("S8-fail=add_resource.pool_add@1")]
    [InlineData("S1+L1")]
    public void A_change_that_says_nothing_of_a_world_is_refused(string name) =>
        Assert.StartsWith(
            $"There is no small world '{name}'; accepted: ",
            Assert.Throws<ArgumentException>(() => Explorer.Find(name, "ALL")).Message,
            StringComparison.Ordinal);

    private static Scenario AllocsBesideUnbind(int clients)
    {
        string[] names = [.. Enumerable.Range(1, clients).Select(i => $"B{i}")];
        return new()
        {
            Id = "planted",
            Title = "identical clients beside an unbind",
            Layout = Layout.L1,
            Identical = [names],
            Prologue = host => host.World.Parts.Bind(host),
            Actors =
            [
                new("A", host => host.World.Parts.Unbind(host)),
                .. names.Select((name, i) => new ScenarioActor(name, host => host.World.Parts.Show(host))),
            ],
        };
    }

    // Goal: whether freed memory is allocated again is a choice, and changes what a stale pointer does.
    // Method: the release action that a failed add leaves behind without patch 3. Its page map is poison, and the
    // kernel dies at the next mapping; or it is the page map of the retry, and the kernel lives until the unbind.
    [Fact]
    public void A_stale_action_meets_poison_or_the_page_map_of_the_retry()
    {
        var apart = Explorer.Run("S25", "ALL-p3", new ExploreOptions());
        var reused = Explorer.Run("S25+reuse", "ALL-p3", new ExploreOptions());

        Assert.All([apart, reused], one => Assert.True(one.IsExhausted));
        Assert.False(apart.Broken.Has(KernelRule.NoStaleData));
        Assert.True(reused.Broken.Has(KernelRule.NoStaleData));
        Assert.True(reused.DepthMax > apart.DepthMax);
        Assert.True(Replayer.Run(
            new ReplayToken(Explorer.FindScenario("S25+reuse"), Explorer.Find("S25", "ALL-p3").Profile,
                reused.First[KernelRule.NoStaleData].Choices).ToString()).Broken.Has(KernelRule.NoStaleData));
    }

    [Theory]
    [InlineData("S25+reuse", "ALL")]
    [InlineData("S25+reuse", "CLEAN")]
    [InlineData("W2x1/b,a0/u,b,u/t0,f0", "CLEAN")]
    [InlineData("W2x1/b,a0/u,b,u/t0,f0+reuse", "CLEAN")]
    public void What_is_clean_stays_clean_when_memory_is_reused(string world, string profile)
    {
        var report = Explorer.Run(world, profile, new ExploreOptions());
        Assert.True(report.IsExhausted);
        Assert.Equal(RuleSet.Empty, report.Broken);
        Assert.Equal(
            Explorer.Run(world, profile, new ExploreOptions { Strategy = Strategy.Random, SchedulesMax = 500 }).Broken,
            report.Broken);
    }

    [Fact]
    public void Reuse_excludes_the_reductions_that_believe_declarations() =>
        Assert.Contains(
            "accepted for it",
            Assert.Throws<ArgumentException>(() => Explorer.Run(
                "S25+reuse", "ALL", new ExploreOptions { Strategy = Strategy.SourceDpor })).Message,
            StringComparison.Ordinal);
}
