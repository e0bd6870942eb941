using CsCheck;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class ArrivalScheduleTests
{
    private static readonly Gen<TimeSpan> Time = Gen.Int[50, 5_000].Select(ms => TimeSpan.FromMilliseconds(ms));

    private static readonly Gen<Rate> EvenRate = Gen.OneOf<Rate>(
        Gen.Double[1, 400].Select(rate => (Rate)new Rate.Constant(rate)),
        Gen.Select(Gen.Double[0, 400], Gen.Double[1, 400], Time)
            .Select((from, to, over) => (Rate)new Rate.Ramp(from, to, over)),
        Gen.Select(Gen.Double[0, 400].Array[1, 5].Where(steps => steps.Max() > 1), Time)
            .Select((steps, every) => (Rate)new Rate.Step([.. steps], every)),
        Gen.Select(Gen.Double[1, 400], Gen.Double[0, 1], Time)
            .Select((rate, share, period) => (Rate)new Rate.Sine(rate, rate * share, period)),
        Gen.Select(Gen.Double[0, 200], Gen.Double[1, 400], Time, Gen.Double[0, 1])
            .Select((rate, peak, every, share) => (Rate)new Rate.Burst(rate, peak, every, every * share)));

    private static readonly Gen<Phase[]> Phases = Gen.Select(Time, Gen.Double[0, 2], EvenRate, Gen.Int[0, 3])
        .Select((length, share, own, kind) => new Phase("phase", length, share, kind == 0 ? own : null)).Array[1, 5];

    // Goal: every interval holds as many operations as the rate's integral over it, to within one.
    // Method: the integral is taken again by small steps over the rate that the schedule says it has.
    [Fact]
    public void Every_interval_holds_its_integral_of_operations() =>
        Gen.Select(EvenRate, Phases, Gen.Double[0, 1], Gen.Double[0, 1]).Sample(
            (rate, phases, left, right) =>
            {
                var schedule = new ArrivalSchedule(rate, phases, 1);
                var length = phases.Aggregate(TimeSpan.Zero, (sum, phase) => sum + phase.For);
                var (from, to) = (length * Math.Min(left, right), length * Math.Max(left, right));
                var due = DueTimes(schedule.CursorOf(0, 1));

                var inside = due.Count(ns => ns >= from.TotalNanoseconds && ns < to.TotalNanoseconds);
                var integral = schedule.OperationsBy(to) - schedule.OperationsBy(from);

                Assert.InRange(inside, integral - 1.001, integral + 1.001);
                Assert.InRange(Stepped(schedule, from, to), (integral * 0.98) - 3, (integral * 1.02) + 3);
            },
            iter: 300);

    [Fact]
    public void Due_times_never_fall_and_are_the_same_again() =>
        Gen.Select(Rates(), Phases, Gen.ULong).Sample(
            (rate, phases, seed) =>
            {
                var due = DueTimes(new ArrivalSchedule(rate, phases, seed).CursorOf(0, 1));

                Assert.Equal(due, DueTimes(new ArrivalSchedule(rate, phases, seed).CursorOf(0, 1)));
                Assert.Equal(due.Order(), due);
                Assert.All(due, ns => Assert.True(ns >= 0));
            },
            iter: 200);

    // Goal: clients share the operations without a gap and without one that two of them send.
    [Fact]
    public void Clients_share_evenly_spaced_operations_disjointly_and_completely() =>
        Gen.Select(EvenRate, Phases, Gen.Int[1, 9]).Sample(
            (rate, phases, clients) =>
            {
                var schedule = new ArrivalSchedule(rate, phases, 1);

                var shared = Enumerable.Range(0, clients)
                    .SelectMany(client => DueTimes(schedule.CursorOf(client, clients))).Order();

                Assert.Equal(DueTimes(schedule.CursorOf(0, 1)), shared);
            },
            iter: 200);

    // Goal: gaps that look like a Poisson arrival's, whole or shared: counts with a variance near their mean.
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public void A_Poisson_arrival_varies_as_much_as_its_mean(int clients)
    {
        const int seconds = 2_000;
        const double perSecond = 20;
        var schedule = new ArrivalSchedule(
            new Rate.Poisson(perSecond), [new Phase("steady", TimeSpan.FromSeconds(seconds), 1)], 11);

        var counts = new int[seconds];
        foreach (var client in Enumerable.Range(0, clients))
        {
            foreach (var ns in DueTimes(schedule.CursorOf(client, clients)))
                counts[ns / 1_000_000_000]++;
        }

        var variance = counts.Average(count => Math.Pow(count - counts.Average(), 2));
        Assert.InRange(counts.Average(), perSecond * 0.97, perSecond * 1.03);
        Assert.InRange(variance / counts.Average(), 0.85, 1.15);
    }

    [Fact]
    public void What_was_due_and_not_sent_is_counted_as_if_it_had_been_gone_through() =>
        Gen.Select(Rates(), Phases, Gen.Int[1, 5], Gen.Double[0, 1], Gen.Int[0, 40]).Sample(
            (rate, phases, clients, share, sent) =>
            {
                var schedule = new ArrivalSchedule(rate, phases, 3);
                var until = phases.Aggregate(TimeSpan.Zero, (sum, phase) => sum + phase.For) * share;
                var limit = schedule.OperationsBy(until);
                var cursor = schedule.CursorOf(clients - 1, clients);
                var same = schedule.CursorOf(clients - 1, clients);
                for (var number = 0; number < sent && cursor.HasNext; number++)
                {
                    cursor.Advance();
                    same.Advance();
                }

                var expected = DueTimes(same).Count(ns => ns < until.TotalNanoseconds);

                Assert.InRange(cursor.SkipUntil(until), expected - 1, expected + 1);
                Assert.True(!cursor.HasNext || cursor.DueNs >= until.TotalNanoseconds - 1e6 || limit == 0);
            },
            iter: 200);

    [Theory]
    [InlineData("kind: ramp, from: 0, to: 100, over: 10s", 10, 500)]
    [InlineData("kind: ramp, from: 100, to: 50, over: 10s", 20, 1250)]
    [InlineData("kind: step, perSecond: [10, 20, 40], every: 10s", 40, 1100)]
    [InlineData("kind: sine, perSecond: 100, amplitude: 100, period: 10s", 20, 2000)]
    [InlineData("kind: burst, perSecond: 10, peak: 110, every: 10s, for: 1s", 20, 400)]
    [InlineData("kind: constant, perSecond: 25", 4, 100)]
    public void The_integral_of_each_kind_is_known(string rate, int seconds, double operations)
    {
        var scenario = ScenarioFile.ReadScenario(
            "smoke",
            [
                ScenarioOverride.Parse($"load.arrival={{ kind: open, rate: {{ {rate} }} }}"),
                ScenarioOverride.Parse($"phases=[ {{ name: steady, for: {seconds}s }} ]"),
            ]);
        var schedule = new ArrivalSchedule(((Arrival.Open)scenario.Load.Arrival).Rate, scenario.Phases, 1);

        Assert.Equal(operations, schedule.Operations, 6);
        Assert.Equal(operations, DueTimes(schedule.CursorOf(0, 1)).Count, 0.0);
    }

    [Fact]
    public void A_rate_of_a_phase_begins_with_the_phase()
    {
        var schedule = new ArrivalSchedule(
            new Rate.Constant(10),
            [
                new("warm", TimeSpan.FromSeconds(10), 0.5),
                new("climb", TimeSpan.FromSeconds(10), 1, new Rate.Ramp(0, 20, TimeSpan.FromSeconds(10))),
                new("steady", TimeSpan.FromSeconds(10), 1),
                new(Phase.Drain, TimeSpan.FromSeconds(10), 1),
            ],
            1);

        Assert.Equal(50, schedule.OperationsBy(TimeSpan.FromSeconds(10)), 6);
        Assert.Equal(75, schedule.OperationsBy(TimeSpan.FromSeconds(15)), 6);
        Assert.Equal(250, schedule.Operations, 6);
        Assert.Equal([5.0, 10, 10, 0], new[] { 1, 15, 25, 35 }.Select(at => schedule.RateAt(TimeSpan.FromSeconds(at))));
    }

    private static Gen<Rate> Rates() =>
        Gen.OneOf(EvenRate, Gen.Double[1, 400].Select(rate => (Rate)new Rate.Poisson(rate)));

    private static double Stepped(ArrivalSchedule schedule, TimeSpan from, TimeSpan to)
    {
        const int steps = 4_000;
        var step = (to - from) / steps;
        return Enumerable.Range(0, steps).Sum(place => schedule.RateAt(from + (step * (place + 0.5))))
            * step.TotalSeconds;
    }

    private static List<long> DueTimes(ArrivalCursor cursor)
    {
        var due = new List<long>();
        for (; cursor.HasNext; cursor.Advance())
            due.Add(cursor.DueNs);
        return due;
    }
}
