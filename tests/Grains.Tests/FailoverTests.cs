using Fleet.Checking;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Protocol.Calls;
using Orleans.Runtime;

namespace Fleet.Grains.Tests;

/// <summary>A device that is taken over, in real silos: what the old handles get, and what is left.</summary>
[Trait("tier", "cluster")]
public sealed class FailoverTests
{
    // Goal: after its silo is lost, a device ends unbound in a new incarnation, its old handles are gone, and it can be
    // bound and used again; who follows needs no more than its name.
    [Fact]
    public async Task A_lost_device_is_fenced_and_bound_again()
    {
        await using var fleet = await Built();
        var held = await fleet.Alloc(fleet.First);
        Assert.Equal(Errno.OK, (await fleet.Touch(fleet.First, held, tag: 0x77)).Err);
        await fleet.Kill();

        Assert.Equal(Errno.ENODEV, (await fleet.Free(fleet.Second, held)).Err);
        Assert.Equal(Errno.ENODEV, (await fleet.Touch(fleet.Second, held)).Err);
        Assert.Equal((Errno.ENODEV, 2), (await fleet.Alloc(fleet.Second, knownGen: 1)) is var told
            ? (told.Err, told.At.Gen) : default);
        Assert.False((await fleet.Device(fleet.Second).Report()).IsBound);

        Assert.Equal(Errno.OK, await fleet.Bind(fleet.Second));
        var again = await fleet.Alloc(fleet.Second, knownGen: 2);
        Assert.Equal((Errno.OK, 2, 2), (again.Err, again.At.Gen, again.At.Life));
        Assert.Equal(Errno.ENODEV, (await fleet.Touch(fleet.Second, held)).Err);
        Assert.Equal(Errno.OK, (await fleet.Touch(fleet.Second, again)).Err);
        Assert.Equal(Errno.OK, (await fleet.Free(fleet.Second, again)).Err);
        Assert.Equal(Errno.OK, await fleet.Unbind(fleet.Second));

        var key = fleet.Plan.Devices[0].ResourceKey(0);
        foreach (var name in new[] { fleet.Plan.Devices[0].Name, "map:" + key, "ref:" + key })
        {
            var fenced = Assert.Single(fleet.Stream(name), e => e.Kind is EventKind.Fenced);
            Assert.Equal(("failover", 2), (fenced.Actor, fenced.At.Gen));
        }

        var report = fleet.Check();
        Assert.True(report.Complete, string.Join(' ', report.Reasons));
        Assert.Empty(report.Findings);
    }

    // Goal: an activation that lives on in its old silo after it was taken over answers nobody with a success.
    [Fact]
    public async Task A_silo_that_was_replaced_falls_silent()
    {
        await using var fleet = await Built();
        var held = await fleet.Alloc(fleet.First);
        Assert.Equal(2, (await fleet.Alloc(fleet.Second)).At.Gen);

        Assert.Equal(Errno.ENODEV, (await fleet.Touch(fleet.First, held)).Err);
        Assert.Equal(Errno.ENODEV, (await fleet.Free(fleet.First, held)).Err);
        // It still believes to be a member here, so it may begin a third incarnation: never go on with the first.
        var late = await fleet.Alloc(fleet.First);
        Assert.Equal(Errno.ENODEV, late.Err);
        Assert.NotEqual(1, late.At.Gen);
        Assert.Empty(fleet.Check().Findings);
    }

    // Goal: the same situation without fences is seen for what it is, so a run that finds nothing means something.
    [Fact]
    public async Task Without_fences_two_incarnations_that_serve_are_found()
    {
        await using var fleet = await Built(isFenced: false);
        var held = await fleet.Alloc(fleet.First);
        Assert.Equal(2, (await fleet.Alloc(fleet.Second)).At.Gen);

        Assert.Equal(Errno.OK, (await fleet.Free(fleet.First, held)).Err);
        Assert.Equal(1, (await fleet.Alloc(fleet.First, knownGen: 2)).At.Gen);
        var finding = Assert.Single(fleet.Check().Findings);
        Assert.Equal(
            ("ONE-INCARNATION", FindingClass.Infrastructure), (finding.Rule, finding.Class));
    }

    [Fact]
    public async Task Surprise_removal_ends_the_life_where_it_stands()
    {
        await using var fleet = await Built(devices: 2);
        var held = await fleet.Alloc(fleet.First);
        var unbind = await fleet.Device(fleet.First).Unbind(77);
        Assert.False(unbind.IsDone);

        var removed = await fleet.Await(fleet.First, await fleet.Device(fleet.First).Remove(78));
        Assert.Equal(Errno.OK, removed.Err);
        Assert.Equal(Errno.ENOENT, (await fleet.Await(fleet.First, unbind)).Err);
        Assert.Equal(Errno.ENODEV, (await fleet.Free(fleet.First, held)).Err);
        Assert.Equal(Errno.ENODEV, (await fleet.Touch(fleet.First, held)).Err);
        Assert.Equal("surprise-remove", fleet.DeviceStream().Single(e => e.Kind is EventKind.Fenced).Actor);
        Assert.Equal(Errno.OK, await fleet.Bind(fleet.First));
        Assert.Equal(Errno.OK, (await fleet.Alloc(fleet.First)).Err);

        Assert.Equal(2, await fleet.First.GetGrain<IHostGrain>(TwinFleets.Host).Remove(79));
        Assert.Equal(0, (await fleet.First.GetGrain<IHostGrain>(TwinFleets.Host).Quiesce()).Bound);
        Assert.Empty(fleet.Check().Findings);
    }

    // Goal: what a host's and a session's silo knew is durable: another one reaps in its place.
    [Fact]
    public async Task A_host_and_a_session_go_on_elsewhere()
    {
        await using var fleet = await Built(devices: 3);
        await fleet.First.GetGrain<ISessionGrain>("session:gen-01").Open(
            "test", fleet.Session, TimeSpan.FromHours(1), [TwinFleets.Host]);
        await fleet.Kill();

        var session = fleet.Second.GetGrain<ISessionGrain>("session:gen-01");
        Assert.True(await session.Look());
        Assert.Equal(3, (await fleet.Second.GetGrain<IHostGrain>(TwinFleets.Host).Quiesce()).Devices);
        Assert.Equal(3, fleet.Plan.Devices.Count(device => fleet.Stream(device.Name)
            .Any(e => e.Kind is EventKind.Fenced)));
        Assert.Equal(Errno.OK, await fleet.Bind(fleet.Second));
        Assert.Equal(Errno.OK, (await fleet.Alloc(fleet.Second)).Err);
        Assert.Equal(1, await session.Close());
        Assert.False(await session.Look());
    }

    // Goal: an activation that hears no renewals, since its client talks to the one that replaced it, reaps nothing.
    // Method: the client renews at the second silo until the first one's lease has run out and its activation is gone.
    [Fact]
    public async Task A_session_that_was_taken_over_is_not_reaped_by_whoever_had_it_before()
    {
        await using var fleet = await Built();
        var before = fleet.First.GetGrain<ISessionGrain>("session:gen-01");
        await before.Open("test", fleet.Session, TimeSpan.FromSeconds(2), [TwinFleets.Host]);
        var session = fleet.Second.GetGrain<ISessionGrain>("session:gen-01");
        Assert.True(await session.Look());
        Assert.Equal(Errno.ENODEV, (await fleet.Alloc(fleet.Second)).Err);
        Assert.Equal(Errno.OK, await fleet.Bind(fleet.Second));
        var held = await fleet.Alloc(fleet.Second);

        var type = before.GetGrainId().Type;
        var management = fleet.First.GetGrain<IManagementGrain>(0);
        using var looks = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (Reaped().Length == 0
            && (await management.GetDetailedGrainStatistics()).Any(grain => grain.GrainId.Type == type))
        {
            Assert.True(await session.Renew());
            await looks.WaitForNextTickAsync();
        }

        Assert.Empty(Reaped());
        Assert.Equal(Errno.OK, (await fleet.Touch(fleet.Second, held)).Err);
        Assert.Equal(Errno.OK, (await fleet.Free(fleet.Second, held)).Err);
        Assert.True(await session.Renew());

        HistoryEvent[] Reaped() => [.. fleet.Events.Where(e => e.Kind is EventKind.Barred or EventKind.Reap)];
    }

    // Goal: what one silo decided to end is ended by the next one.
    [Fact]
    public async Task A_session_that_was_to_be_reaped_is_reaped_elsewhere()
    {
        await using var fleet = await Built();
        var session = fleet.First.GetGrain<ISessionGrain>("session:gen-01");
        await session.Open("test", fleet.Session, TimeSpan.FromMinutes(1), [TwinFleets.Host]);
        await fleet.Alloc(fleet.First);
        var reaping = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        fleet.Hold = events =>
        {
            if (events.All(e => e.Kind is not EventKind.Barred))
            {
                return Task.CompletedTask;
            }

            reaping.TrySetResult();
            return new TaskCompletionSource().Task;
        };
        session.Close().AsTask().Ignore();
        await reaping.Task;
        await fleet.Kill();
        fleet.Hold = null;

        Assert.False(await fleet.Second.GetGrain<ISessionGrain>("session:gen-01").Look());
        using var looks = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while ((await fleet.Incarnations.NamesAsync("session:")).Count > 0)
        {
            await looks.WaitForNextTickAsync();
        }

        Assert.Equal(Errno.OK, await fleet.Bind(fleet.Second));
        Assert.Equal(Errno.ESTALE, (await fleet.Alloc(fleet.Second)).Err);
    }

    // Goal: an operation whose answer was lost has one outcome, whoever is asked, and is executed no more afterwards.
    [Fact]
    public async Task A_lost_answer_is_found_again_and_a_lost_request_never_executed()
    {
        await using var fleet = await Built();
        var (device, map) = (fleet.Device(fleet.First), fleet.Map(fleet.First));
        var made = await device.Alloc(new(100, fleet.Session, 4096, fleet.Client));
        var asked = await device.Resolve(new(fleet.Session, fleet.Client, 100));
        Assert.Equal((CallStand.Answered, made), (asked.Stand, asked.Reply.ToAlloc()));
        Assert.Equal(made, await device.Alloc(new(100, fleet.Session, 4096, fleet.Client)));
        Assert.Equal(1, (await device.Report()).Counters.Allocs);

        Assert.Equal(CallStand.Refused, (await map.Resolve(new(fleet.Session, fleet.Client, 101))).Stand);
        var late = await map.Access(new(
            101, fleet.Session, made.At.Gen, made.Number, made.Address >> 12, 1, AccessDirection.Write, AccessVia.Dma,
            7, fleet.Client));
        Assert.Equal((Errno.ESTALE, 0L), (late.Err, late.At.Seq));

        await fleet.Kill();
        Assert.Equal(
            CallStand.Refused,
            (await fleet.Device(fleet.Second).Resolve(new(fleet.Session, fleet.Client, 102))).Stand);
        Assert.Equal(
            Errno.ESTALE, (await fleet.Device(fleet.Second).Alloc(new(102, fleet.Session, 4096, fleet.Client))).Err);
    }

    // Goal: a pin whose message comes once more after a failover pins nothing: whoever asked has its answer, or is told
    // that it was not executed, and would never give that pin back.
    [Fact]
    public async Task A_pin_that_comes_twice_across_a_failover_is_one_pin()
    {
        await using var fleet = await Built(driver: DriverNames.Dax);
        var request = new PinRequest(100, fleet.Session, 5, fleet.Client, KnownGen: 1);
        var pin = await fleet.Map(fleet.First).Pin(request);
        Assert.Equal((Errno.OK, 1, 1), (pin.Err, pin.At.Gen, pin.Gen));
        Assert.Equal(pin, await fleet.Map(fleet.First).Pin(request));
        await fleet.Kill();

        Assert.Equal(Errno.ENODEV, (await fleet.Map(fleet.Second).Pin(request)).Err);
        Assert.Equal(Errno.OK, await fleet.Bind(fleet.Second));
        var late = await fleet.Map(fleet.Second).Pin(request with { Op = 101 });
        Assert.Equal((Errno.ENODEV, 2, 0L, 2), (late.Err, late.At.Gen, late.At.Seq, late.Gen));

        var again = await fleet.Map(fleet.Second).Pin(new(102, fleet.Session, 5, fleet.Client, late.At.Gen));
        Assert.Equal((Errno.OK, 2), (again.Err, again.At.Gen));
        Assert.Equal(
            Errno.OK,
            (await fleet.Map(fleet.Second).Unpin(new(103, fleet.Session, again.Gen, again.Number, fleet.Client))).Err);
        Assert.Equal(Errno.OK, await fleet.Unbind(fleet.Second));
        Assert.Equal(
            [1, 2],
            fleet.Stream(fleet.Plan.Devices[0].MapName(0)).Where(e => e.Kind is EventKind.PageGet)
                .Select(e => e.At.Gen));
    }

    [Fact]
    public async Task A_bind_that_is_asked_for_twice_is_one_bind()
    {
        await using var fleet = await Built();
        Assert.Equal(Errno.OK, await fleet.Unbind(fleet.First));
        var first = await fleet.Device(fleet.First).Bind(500);
        var second = await fleet.Device(fleet.First).Bind(500);
        Assert.Equal((first.Ticket, Errno.OK), (second.Ticket, (await fleet.Await(fleet.First, second)).Err));
    }

    private static async Task<TwinFleets> Built(
        int devices = 1, bool isFenced = true, string driver = DriverNames.P2pdma)
    {
        var fleet = new TwinFleets(devices: devices, isFenced: isFenced, driver: driver);
        await fleet.Start();
        var built = await fleet.First.GetGrain<IHostGrain>(TwinFleets.Host).Build(fleet.Run, fleet.Plan);
        Assert.Equal((devices, 0), (built.Bound, built.Failed.Count));
        return fleet;
    }
}
