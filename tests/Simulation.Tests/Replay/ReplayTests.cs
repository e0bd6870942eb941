using CsCheck;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Replay;

[Trait("tier", "sim")]
public sealed class ReplayTests
{
    public static TheoryData<string, string> Fixed()
    {
        var data = new TheoryData<string, string>();
        foreach (var one in FixedSchedules.All)
        {
            foreach (var profile in one.Profiles)
            {
                data.Add(one.Id, profile);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Fixed))]
    public void A_fixed_schedule_has_its_outcome(string id, string profileName)
    {
        var one = FixedSchedules.All.Single(known => known.Id == id);
        var (scenario, profile) = Explorer.Find(one.Scenario, profileName);
        var report = ScheduleLine.Run(scenario, profile, one.Line);
        Assert.Equal(one.Rules, report.Broken);
        Assert.Equal(one.IsBlocked, report.Blocked.Count > 0);
    }

    // Goal: the residual defect R2 comes out by itself, and small enough to be read.
    [Fact]
    public void S8_shrinks_to_four_switches_and_twenty_four_steps_at_most()
    {
        var (scenario, profile) = Explorer.Find("S8", "ALL");
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[KernelRule.OwnerAlive];
        var shrunk = Shrinker.Shrink(scenario, profile, KernelRule.OwnerAlive, found)!;
        Assert.True(shrunk.IsLeast);
        Assert.True(shrunk.IsOneMinimal);
        Assert.InRange(shrunk.Switches, 1, 4);
        Assert.InRange(shrunk.Steps, 1, 24);
        Assert.True(Replayer.Run(shrunk.Token).Broken.Has(KernelRule.OwnerAlive));
    }

    [Theory]
    [InlineData("S2", "P0", KernelRule.NoUseAfterRemove)]
    [InlineData("S9", "ALL", KernelRule.NoNullDeref)]
    [InlineData("S7", "X6-5", KernelRule.UnbindLive)]
    [InlineData("S17", "ALL", KernelRule.NoLeak)]
    [InlineData("S18", "ALL", KernelRule.ObjLive)]
    public void A_shrunk_schedule_breaks_the_same_rule_and_replays_alike(string id, string name, KernelRule rule)
    {
        var (scenario, profile) = Explorer.Find(id, name);
        var found = Explorer.Run(scenario, profile, new ExploreOptions()).First[rule];
        var shrunk = Shrinker.Shrink(scenario, profile, rule, found)!;
        Assert.True(shrunk.Steps <= found.Choices.Count);
        var text = shrunk.Token.ToString();
        var first = Replayer.Run(text);
        var second = Replayer.Run(text);
        Assert.True(first.Broken.Has(rule));
        Assert.Equal(first.StateDigest, second.StateDigest);
        Assert.Equal(
            first.Steps.Select(step => (step.Actor, step.Step, string.Join('|', step.Events))),
            second.Steps.Select(step => (step.Actor, step.Step, string.Join('|', step.Events))));
    }

    [Fact]
    public void A_token_survives_its_text() =>
        Check.Sample(
            Gen.Byte[0, 2].Array[0, 200],
            choices =>
            {
                var (scenario, profile) = Explorer.Find("S2", "X6-5");
                var text = new ReplayToken(scenario, profile, choices).ToString();
                Assert.True(ReplayToken.TryParse(text, out var parsed));
                Assert.Equal(choices, parsed.Choices);
                Assert.Equal((scenario, profile), (parsed.Scenario, parsed.Profile));
            });

    [Theory]
    [InlineData("")]
    [InlineData("x1:S8:ALL:a5")]
    [InlineData("x1:S8:ALL:a5:00000000")]
    [InlineData("x2:S8:ALL:a5:00000000")]
    [InlineData("x1:S99:ALL:a5:00000000")]
    [InlineData("x1:S8:ALL:z9999:00000000")]
    public void A_mangled_token_is_refused_in_one_sentence(string text) =>
        Assert.StartsWith(
            "The token cannot be read; accepted: ",
            Assert.Throws<ArgumentException>(() => Replayer.Run(text)).Message,
            StringComparison.Ordinal);
}
