using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Exploration;

[Trait("tier", "sim")]
public sealed class EngineTests
{
    // Goal: a reduction loses no rule and no final state.
    // Method: worlds small enough to run every schedule; each strategy must give the same sets.
    [Theory]
    [InlineData("S1", "P0")]
    [InlineData("S1", "P5")]
    [InlineData("S2", "ALL")]
    [InlineData("S3", "P0")]
    [InlineData("S3", "ALL")]
    [InlineData("S9", "X6-5")]
    [InlineData("S9", "L514")]
    [InlineData("S10", "V1")]
    [InlineData("S19", "ALL")]
    [InlineData("S29", "MAINLINE")]
    [InlineData("S29", "P0")]
    [InlineData("S16", "ALL")]
    [InlineData("S24", "P0")]
    [InlineData("S30", "L62")]
    public void Every_reduction_finds_what_running_every_schedule_finds(string scenario, string profile)
    {
        var options = new ExploreOptions { KeepsFinalStates = true, SchedulesMax = 2_000_000, ChecksWrites = false };
        var oracle = Explorer.Run(scenario, profile, options with { Strategy = Strategy.Exhaustive });
        Assert.True(oracle.IsExhausted);
        foreach (var strategy in (Strategy[])[Strategy.SleepSets, Strategy.SourceDpor, Strategy.StateCache])
        {
            var reduced = Explorer.Run(scenario, profile, options with { Strategy = strategy });
            Assert.True(reduced.IsExhausted);
            Assert.Equal(oracle.Broken, reduced.Broken);
            Assert.Equal(oracle.Worst, reduced.Worst);
            Assert.Equal(oracle.FinalStates!.Order(), reduced.FinalStates!.Order());
            Assert.True(reduced.Schedules <= oracle.Schedules);
        }
    }

    // Goal: a state gone back to is the one that was left, whatever procedures stood in it.
    // Method: every history, in its order, is what running each schedule from its beginning gives; and each state gone
    // back to has the digest that it had. The worlds bind, fail, die, map and wait.
    [Theory]
    [InlineData("S2", "ALL", Strategy.Exhaustive)]
    [InlineData("S3", "P0", Strategy.Exhaustive)]
    [InlineData("S8", "CLEAN", Strategy.SourceDpor)]
    [InlineData("S8", "ALL", Strategy.SourceDpor)]
    [InlineData("S8", "P0", Strategy.SourceDpor)]
    [InlineData("S8+late", "L62", Strategy.SourceDpor)]
    [InlineData("S8+keeps", "P0", Strategy.SleepSets)]
    [InlineData("S16", "ALL", Strategy.Exhaustive)]
    [InlineData("S18", "P0", Strategy.SourceDpor)]
    [InlineData("S24", "P0", Strategy.Exhaustive)]
    [InlineData("S25", "P3", Strategy.Exhaustive)]
    [InlineData("S25+reuse", "P3", Strategy.StateCache)]
    [InlineData("S30", "L62", Strategy.Exhaustive)]
    [InlineData("W1x2/b,a0/u/f0/a1", "CLEAN", Strategy.StateCache)]
    [InlineData("W1x1/b,u/b,u", "ALL", Strategy.Exhaustive)]
    public void Going_back_gives_what_running_from_the_beginning_gives(
        string scenario, string profile, Strategy strategy)
    {
        var options = new ExploreOptions
        {
            Strategy = strategy,
            SchedulesMax = 3_000,
            KeepsHistories = true,
            KeepsFinalStates = true,
        };
        var going = Explorer.Run(scenario, profile, options);
        var running = Explorer.Run(scenario, profile, options with { GoesBack = false });
        Assert.Equal(running.HistoryDigests, going.HistoryDigests);
        Assert.Equal(running.FinalStates!.Order(), going.FinalStates!.Order());
        Assert.Equal(running.Points, going.Points);
        Assert.Equal(running.Points, running.Executed);
        Assert.True(going.Executed <= running.Executed);
    }

    [Theory]
    [InlineData("S8", "CLEAN")]
    [InlineData("S18", "P0")]
    public void Going_back_runs_less_than_half_of_the_steps(string scenario, string profile)
    {
        var report = Explorer.Run(scenario, profile, new ExploreOptions { Strategy = Strategy.SourceDpor });
        Assert.True(report.IsExhausted);
        Assert.InRange(report.Executed, 1, report.Points / 2);
    }

    // Goal: a procedure of another builder, whose frames nobody can put back, is run from its beginning.
    [Fact]
    public void A_world_with_a_foreign_procedure_is_explored_by_running_it()
    {
        var (scenario, profile) = Explorer.Find("S2", "ALL");
        var foreign = scenario with
        {
            Actors =
            [
                scenario.Actors[0],
                new("B", async host =>
                {
                    await host.World.Parts.Access(host, 0);
                    await host.World.Parts.Free(host, 0);
                }),
            ],
            Sightings = [],
        };
        var report = Explorer.Run(foreign, profile, new ExploreOptions { Strategy = Strategy.Exhaustive });
        Assert.True(report.IsExhausted);
        Assert.Equal(report.Points, report.Executed);
        Assert.True(report.Schedules > 100);
    }

    // Goal: source-DPOR runs no more complete histories than sleep sets alone: one for each order of dependent steps.
    [Theory]
    [InlineData("S2", "ALL")]
    [InlineData("S8", "CLEAN")]
    [InlineData("S27", "L514")]
    public void Source_dpor_ends_no_more_histories_than_sleep_sets(string scenario, string profile)
    {
        var dpor = Explorer.Run(scenario, profile, new ExploreOptions { Strategy = Strategy.SourceDpor });
        var sleep = Explorer.Run(scenario, profile, new ExploreOptions { Strategy = Strategy.SleepSets });
        Assert.True(dpor.IsExhausted && sleep.IsExhausted);
        Assert.Equal(sleep.Broken, dpor.Broken);
        Assert.True(dpor.Schedules <= sleep.Schedules);
    }

    // Goal: worlds of four actors are exhausted, by states.
    // Method: recognising states needs only a small part of the schedules; before it did, a million were not enough.
    [Theory]
    [InlineData("W1x4/b,a0,a1/u/f0/f1/a2")]
    [InlineData("W1x4/b/u/a0/a1/a2")]
    public void Four_actors_are_exhausted_and_break_nothing_in_the_proposed_order(string world)
    {
        var report = Explorer.Run(world, "CLEAN", new ExploreOptions { SchedulesMax = 200_000 });
        Assert.True(report.IsExhausted);
        Assert.Equal(Strategy.StateCache, report.Strategy);
        Assert.True(report.Broken.IsEmpty);
    }

    // Goal: a state is recognised by what it is, not by how it was reached, and never when it is another one.
    // Method: three clients beside an unbind, with one strategy that believes digests and one that does not know them.
    [Theory]
    [InlineData("W1x2/b,a0/u/f0/a1", "CLEAN")]
    [InlineData("W1x2/b,a0/u/f0/a1", "ALL")]
    [InlineData("W1x2/b,a0/u/f0/a1", "P0")]
    [InlineData("W1x1/b,a0/u/f0/a1", "CLEAN")]
    [InlineData("W2x1/b,a0/u/f0/a1", "ALL")]
    [InlineData("S8", "ALL")]
    [InlineData("S8", "L515a")]
    public void States_lose_no_rule_that_declared_dependencies_find(string world, string profile)
    {
        var options = new ExploreOptions { KeepsFinalStates = true, ChecksWrites = false };
        var dpor = Explorer.Run(world, profile, options with { Strategy = Strategy.SourceDpor });
        var states = Explorer.Run(world, profile, options with { Strategy = Strategy.StateCache });
        Assert.True(dpor.IsExhausted && states.IsExhausted);
        Assert.Equal(dpor.Broken, states.Broken);
        Assert.Equal(dpor.Worst, states.Worst);
        Assert.Equal(dpor.FinalStates!.Order(), states.FinalStates!.Order());
    }

    // Goal: memory that a client is giving back may be another's before its free has returned.
    [Fact]
    public void Memory_on_its_way_back_overlaps_with_nobody() =>
        Assert.True(Explorer.Run("W1x1/b,a0/u/f0/a1", "CLEAN", new ExploreOptions()).Broken.IsEmpty);

    // Goal: what is put back before a schedule is what running the prologue again would have made.
    // Method: the same steps in a world to which a witness listens, which makes it run the prologue each time.
    [Theory]
    [InlineData("S8", "ALL")]
    [InlineData("S5", "P0")]
    [InlineData("S18", "P0")]
    [InlineData("S29", "L514")]
    public void A_world_that_begins_again_is_the_one_that_began_first(string scenarioId, string profileName)
    {
        var (scenario, profile) = Explorer.Find(scenarioId, profileName);
        Explorer.OnOwnThread(() =>
        {
            var used = new World(scenario, profile);
            var fresh = new World(scenario, profile);
            fresh.Judge.Witness = new Deaf();
            for (var seed = 1UL; seed <= 20; seed++)
            {
                used.Begin();
                fresh.Begin();
                var choices = new ChoiceStream(seed);
                for (var enabled = used.EnabledMask(); enabled != 0; enabled = used.EnabledMask())
                {
                    Assert.Equal(fresh.EnabledMask(), enabled);
                    Assert.Equal(fresh.StateDigest(), used.StateDigest());
                    var chosen = Enumerable.Range(0, World.ActorsMax)
                        .Where(actor => (enabled & (1U << actor)) != 0)
                        .ToList() is var able ? able[choices.Below(able.Count)] : 0;
                    used.StepActor(chosen);
                    fresh.StepActor(chosen);
                }

                Assert.Equal(fresh.Judge.Broken, used.Judge.Broken);
            }

            return 0;
        });
    }

    [Fact]
    public void S2_under_all_six_patches_is_exhausted_and_clean()
    {
        var report = Explorer.Run("S2", "ALL", new ExploreOptions());
        Assert.True(report.IsExhausted);
        Assert.Equal(WorldVerdict.Clean, report.Worst);
        Assert.Empty(report.Unseen);
    }

    [Fact]
    public void S8_finds_the_freed_owner_and_is_clean_in_the_proposed_order()
    {
        Assert.Equal(
            RuleSet.Of(KernelRule.ObjLive, KernelRule.OwnerAlive),
            Explorer.Run("S8", "ALL", new ExploreOptions()).Broken);
        var proposed = Explorer.Run("S8", "CLEAN", new ExploreOptions());
        Assert.True(proposed.IsExhausted);
        Assert.Equal(WorldVerdict.Clean, proposed.Worst);
    }

    [Theory]
    [InlineData(Strategy.Random)]
    [InlineData(Strategy.Pct)]
    [InlineData(Strategy.Coverage)]
    public void Sampling_finds_the_page_race_and_repeats_with_its_seed(Strategy strategy)
    {
        var options = new ExploreOptions { Strategy = strategy, SchedulesMax = 400, Seed = 7 };
        var first = Explorer.Run("S2", "P0", options);
        var second = Explorer.Run("S2", "P0", options);
        Assert.True(first.Broken.Has(KernelRule.NoUseAfterRemove));
        Assert.False(first.IsExhausted);
        Assert.Equal(first.Broken, second.Broken);
        Assert.Equal(first.Points, second.Points);
        Assert.Equal(
            first.First[KernelRule.NoUseAfterRemove].Choices, second.First[KernelRule.NoUseAfterRemove].Choices);
    }

    // Goal: a step that writes what it did not declare stops the exploration at once.
    [Fact]
    public void An_undeclared_write_is_reported()
    {
        var planted = new Scenario
        {
            Id = "planted",
            Title = "a gate is opened under a point that declares nothing",
            Layout = Layout.L1,
            Actors =
            [
                new("A", async host =>
                {
                    await host.Point(Step.None, 0, 0);
                    host.World.Parts.Order.OpenNow();
                }),
            ],
        };
        var thrown = Assert.Throws<UndeclaredWriteException>(
            () => Explorer.Run(planted, KernelProfile.Default, new ExploreOptions()));
        Assert.Contains("Gate", thrown.Message, StringComparison.Ordinal);
    }

    // Goal: a procedure that forgets to wait is caught without being told what to look for.
    // Method: a teardown that frees a ref right after the kill, with a holder beside it.
    [Fact]
    public void A_teardown_without_its_wait_is_caught()
    {
        var planted = new Scenario
        {
            Id = "planted",
            Title = "kill, exit, no wait",
            Layout = Layout.L1,
            Prologue = async host =>
            {
                await host.RefInit(host.World.Parts.PlainRef, FailPoint.None);
                await Kernel.Memremap.RefProcedures.Get(host, host.World.Parts.PlainRef, 1);
            },
            Actors =
            [
                new("A", async host =>
                {
                    await host.RefKill(host.World.Parts.PlainRef);
                    await host.RefExit(host.World.Parts.PlainRef);
                }),
                new("B", async host => await host.RefPut(host.World.Parts.PlainRef, 1)),
            ],
        };
        var report = Explorer.Run(planted, KernelProfile.Default, new ExploreOptions());
        Assert.True(report.Broken.Has(KernelRule.ExitAfterZero));
        Assert.True(report.Broken.Has(KernelRule.ExitNotSwitching));
        Assert.True(report.Broken.Has(KernelRule.ObjLive));
    }

    // Goal: show why the declarations are checked: with a wrong mask the reduction loses the other order in silence.
    [Fact]
    public void A_wrong_mask_loses_schedules_which_is_why_writes_are_checked()
    {
        static Scenario Planted(bool declares) => new()
        {
            Id = "planted",
            Title = "one opens, one looks",
            Layout = Layout.L1,
            Actors =
            [
                new("A", async host =>
                {
                    await host.Point(Step.None, 0, declares ? host.World.Parts.Order.Mask : 0);
                    host.World.Parts.Order.OpenNow();
                }),
                new("B", async host =>
                {
                    await host.Point(Step.None, host.World.Parts.Order.Mask, 0);
                    if (!host.World.Parts.Order.IsReady)
                    {
                        await host.Die(OopsKind.NullDereference, null, "it is not there yet");
                    }
                }),
            ],
        };
        var unchecked_ = new ExploreOptions { ChecksWrites = false };
        Assert.True(Explorer.Run(Planted(true), KernelProfile.Default, unchecked_).Broken.Has(KernelRule.NoNullDeref));
        Assert.True(Explorer.Run(Planted(false), KernelProfile.Default, unchecked_).Broken.IsEmpty);
        Assert.Throws<UndeclaredWriteException>(
            () => Explorer.Run(Planted(false), KernelProfile.Default, new ExploreOptions()));
    }

    [Theory]
    [InlineData("S99", "ALL", "There is no small world 'S99'; accepted: S1, ")]
    [InlineData("S1", "nope", "There is no profile 'nope'; accepted: P0, ")]
    [InlineData("S30", "ALL", "S30 has no meaning under ALL")]
    public void An_unknown_world_is_refused_in_one_sentence(string scenario, string profile, string sentence) =>
        Assert.StartsWith(
            sentence,
            Assert.Throws<ArgumentException>(() => Explorer.Run(scenario, profile, new ExploreOptions())).Message,
            StringComparison.Ordinal);

    private sealed class Deaf : IKernelListener
    {
        public void Emit(in KernelEvent happened)
        {
        }
    }
}
