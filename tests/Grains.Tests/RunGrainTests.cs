namespace Fleet.Grains.Tests;

[Trait("tier", "cluster")]
public sealed class RunGrainTests
{
    [Fact]
    public async Task Generators_take_seats_begin_together_obey_and_leave_their_last_words()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        var run = fleet.Grains.GetGrain<IRunGrain>("run-1");

        Assert.Equal(0, (await run.Join("early", [])).Number);
        await run.Open("plan", 2, "first");
        var seat = await run.Join("second", []);
        Assert.Equal((2, 2, 2, "plan"), (seat.Number, seat.Place, seat.Generators, seat.Plan));
        Assert.Equal(0, (await run.Join("third", [1])).Number);
        Assert.Equal("gathering", (await run.Status()).State);

        var first = run.Ready(1).AsTask();
        Assert.True(await run.Ready(2));
        Assert.True(await first || await run.Ready(1));
        Assert.Equal(new RunOrder(false, false, 0, 0), await run.Tell(new(2, "steady", 10, 5, 0)));

        Assert.Equal("paused", (await run.Order(isPaused: true, null, clientsMax: 7, speed: 0.5)).State);
        Assert.Equal(new RunOrder(true, false, 7, 0.5), await run.Tell(new(2, "steady", 11, 0, 0)));
        Assert.Equal("running", (await run.Order(isPaused: false, null, null, null)).State);
        Assert.Equal("stopping", (await run.Order(null, isStopped: true, null, null)).State);

        await run.Finish(new(
            2, [new(1, 1, 0, 11)], [new("lag", "", [5], [11])], 12, 11, 11, 11, true, [], [new("steady", 12, 11)]));
        var report = Assert.Single(await run.Reports());
        Assert.Equal((2, 11, 11), (report.Number, report.Counts[0].Count, report.Latency[0].Counts[0]));
        Assert.Equal("finished", (await run.Status()).Generators[1].State);
        await run.Finish(new(1, [], [], 0, 0, 0, 0, true, [], []));
        Assert.Equal("over", (await run.Status()).State);
    }
}
