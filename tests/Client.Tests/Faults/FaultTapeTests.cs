using Fleet.Client.Faults;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Tests.Faults;

[Trait("tier", "fast")]
public sealed class FaultTapeTests
{
    private static readonly Fault Kill = FaultOf(FaultKind.SiloKill, 12);
    private static readonly Fault Pause = FaultOf(FaultKind.SiloPause, 25);

    [Fact]
    public void A_tape_depends_on_its_seed_alone()
    {
        var tape = FaultTape.Of([Kill, Pause], 7).Take(200).ToList();

        Assert.Equal(tape, FaultTape.Of([Kill, Pause], 7).Take(200));
        Assert.NotEqual(tape, FaultTape.Of([Kill, Pause], 8).Take(200));
        Assert.Equal(tape.Select(strike => strike.Due).Order(), tape.Select(strike => strike.Due));
    }

    [Fact]
    public void One_more_fault_moves_no_strike_of_the_others()
    {
        var alone = FaultTape.Of([Kill], 7).Take(100);
        var beside = FaultTape.Of([Kill, Pause], 7).Where(strike => strike.Fault == 0).Take(100);

        Assert.Equal(alone, beside);
    }

    [Fact]
    public void A_fault_with_one_time_strikes_once_and_then()
    {
        var once = Kill with { When = new FaultSchedule.At(TimeSpan.FromSeconds(3)) };

        Assert.Equal(TimeSpan.FromSeconds(3), Assert.Single(FaultTape.Of([once], 1)).Due);
    }

    [Fact]
    public void Strikes_come_as_often_as_their_mean_says()
    {
        var hour = FaultTape.Of([Kill], 3).TakeWhile(strike => strike.Due < TimeSpan.FromHours(10)).Count();

        Assert.InRange(hour, 2700, 3300); // 3000 are due; the square root of that is 55.
    }

    [Fact]
    public void A_choice_falls_on_everybody_and_on_nobody_else()
    {
        var chosen = FaultTape.Of([Kill], 3).Take(200).Select(strike => strike.Among(3)).ToHashSet();

        Assert.Equal([0, 1, 2], chosen.Order());
    }

    [Theory]
    [InlineData(1ul, 10, 5)]
    public void Three_minutes_of_the_chaos_scenario_hold_what_it_is_to_show(ulong seed, int kills, int pauses)
    {
        var scenario = ScenarioFile.ReadScenario("chaos", []);
        Assert.Equal(seed, scenario.Seed);
        var faults = scenario.Faults.Where(FaultTape.IsTimed).ToList();
        var strikes = FaultTape.Of(faults, scenario.Seed).TakeWhile(strike => strike.Due < scenario.Duration)
            .GroupBy(strike => faults[strike.Fault].Kind).ToDictionary(kind => kind.Key, kind => kind.Count());

        Assert.True(strikes[FaultKind.SiloKill] >= kills + 1, $"{strikes[FaultKind.SiloKill]} kills");
        Assert.True(strikes[FaultKind.SiloPause] >= pauses + 1, $"{strikes[FaultKind.SiloPause]} pauses");
    }

    private static Fault FaultOf(FaultKind kind, int meanSeconds) => new(
        kind, null, null, null, new FaultSchedule.Interval(TimeSpan.FromSeconds(meanSeconds)), null, []);
}
