using System.Collections.Concurrent;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Grains.Tests;

// Goal: wherever an unbind is when its silo is lost, the device ends unbound or fenced, what it had is reclaimed, and
// the history says how.
// Method: one unbind under a live holder is recorded to its end. Each event of it is a step: a device of its own is
// unbound for each, and from the commit with that event on nothing of the device becomes durable. When all of them
// stand there the silo is killed, and another one takes over. A step that the procedures gain is tried by itself.
[Trait("tier", "cluster")]
public sealed class CrashAtEachStepTests
{
    [Theory]
    [InlineData("ALL")]
    [InlineData("CLEAN")]
    public async Task An_unbind_that_is_cut_off_at_any_step_ends_fenced(string profile)
    {
        var steps = await StepsOf(profile);
        Assert.Contains(steps, step => step.Kind is EventKind.UnbindBegin);
        Assert.Contains(steps, step => step.Kind is EventKind.WaitEnd);
        Assert.Contains(steps, step => step.Kind is EventKind.UnbindEnd);
        await using var fleet = await Built(profile, steps.Count);
        var crashes = new Crashes(fleet, steps);
        fleet.Hold = crashes.Hold;
        await Task.WhenAll(steps.Select((_, place) => Unbind(fleet, place, crashes.At(place))));
        await fleet.Kill();
        fleet.Hold = null;

        foreach (var (place, step) in steps.Index())
        {
            await fleet.Device(fleet.Second, place).Check();
            var report = await fleet.Device(fleet.Second, place).Report();
            Assert.Equal((false, 0L, 0), (report.IsBound, report.Counters.LiveAllocations, report.Open.Count));
            var fenced = Assert.Single(fleet.DeviceStream(place), e => e.Kind is EventKind.Fenced);
            Assert.Equal(("failover", 2), (fenced.Actor, fenced.At.Gen));
            Assert.DoesNotContain(
                fleet.DeviceStream(place), e => e.At.Gen == 1 && e.Kind is EventKind.UnbindEnd);
            Assert.Equal((place, Errno.OK), (place, await fleet.Bind(fleet.Second, place)));
            var all = await fleet.Alloc(fleet.Second, place, sizeBytes: TwinFleets.ResourceBytes);
            Assert.Equal((step.Kind, Errno.OK), (step.Kind, all.Err));
            Assert.Equal(Errno.OK, (await fleet.Free(fleet.Second, all, place)).Err);
            Assert.Equal(Errno.OK, await fleet.Unbind(fleet.Second, place));
        }

        var verdict = fleet.Check();
        Assert.True(verdict.Complete, string.Join(' ', verdict.Reasons));
        Assert.Empty(verdict.Findings);
    }

    /// <summary>One event of an unbind.</summary>
    /// <param name="Stream">Place of its stream among those of the device.</param>
    private readonly record struct Step(int Stream, long Seq, EventKind Kind);

    private static async Task<TwinFleets> Built(string profile, int devices)
    {
        var fleet = new TwinFleets(profile, devices);
        await fleet.Start();
        var built = await fleet.First.GetGrain<IHostGrain>(TwinFleets.Host).Build(fleet.Run, fleet.Plan);
        Assert.Equal((devices, 0), (built.Bound, built.Failed.Count));
        return fleet;
    }

    private static async Task<IReadOnlyList<Step>> StepsOf(string profile)
    {
        await using var fleet = await Built(profile, 1);
        var streams = StreamsOf(fleet, 0);
        var before = fleet.Events.Count;
        await Unbind(fleet, 0, new TaskCompletionSource().Task);
        return
        [
            .. fleet.Events.Skip(before).Select(e => new Step(
                Array.IndexOf(streams, fleet.Objects.Name(e.At.Obj)), e.At.Seq, e.Kind)),
        ];
    }

    private static string[] StreamsOf(TwinFleets fleet, int place)
    {
        var device = fleet.Plan.Devices[place];
        return [device.Name, "map:" + device.ResourceKey(0), "ref:" + device.ResourceKey(0)];
    }

    /// <summary>Unbinds a device under a holder that gives back when the unbind waits for it.</summary>
    /// <param name="crash">Nothing of the device is answered any more.</param>
    private static async Task Unbind(TwinFleets fleet, int place, Task crash)
    {
        var held = await fleet.Alloc(fleet.First, place);
        Assert.Equal(Errno.OK, held.Err);
        var device = fleet.Device(fleet.First, place);
        var ticket = await device.Unbind(1_000_000 + place);
        while (!crash.IsCompleted && ticket.WaitsFor?.Contains("held by", StringComparison.Ordinal) is not true)
        {
            ticket = await device.AwaitTicket(ticket.Ticket);
        }

        if (!crash.IsCompleted)
        {
            await fleet.Free(fleet.First, held, place, crash);
        }

        while (!crash.IsCompleted && !ticket.IsDone)
        {
            ticket = await device.AwaitTicket(ticket.Ticket);
        }
    }

    /// <summary>Ends each device at a step of its own.</summary>
    private sealed class Crashes
    {
        private readonly ConcurrentDictionary<int, (int Place, int Stream)> _streams = new();
        private readonly TaskCompletionSource[] _crashes;
        private readonly IReadOnlyList<Step> _steps;

        public Crashes(TwinFleets fleet, IReadOnlyList<Step> steps)
        {
            _steps = steps;
            _crashes = [.. steps.Select(_ => new TaskCompletionSource(
                TaskCreationOptions.RunContinuationsAsynchronously))];
            foreach (var place in Enumerable.Range(0, steps.Count))
            {
                foreach (var (stream, name) in StreamsOf(fleet, place).Index())
                {
                    _streams[fleet.Objects.Intern(name)] = (place, stream);
                }
            }
        }

        public Task At(int place) => _crashes[place].Task;

        public Task Hold(IReadOnlyList<HistoryEvent> events)
        {
            if (!_streams.TryGetValue(events[0].At.Obj, out var at))
            {
                return Task.CompletedTask;
            }

            var step = _steps[at.Place];
            if (at.Stream == step.Stream && events.Any(e => e.At.Seq >= step.Seq))
            {
                _crashes[at.Place].TrySetResult();
            }

            return _crashes[at.Place].Task.IsCompleted ? new TaskCompletionSource().Task : Task.CompletedTask;
        }
    }
}
