using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Grains.Tests;

/// <summary>
/// One device of a live fleet under the profiles: the same steps, and what each kernel makes of them.
/// </summary>
[Trait("tier", "cluster")]
public sealed class TeardownTests
{
    [Fact]
    public async Task Unbind_waits_for_a_live_holder_and_its_free_ends_the_wait()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        var built = await fleet.Build();
        Assert.Equal((1, 0), (built.Bound, built.Failed.Count));

        var held = await fleet.Alloc();
        Assert.Equal(Errno.OK, held.Err);
        Assert.Equal(0x77UL, (await fleet.Write(held, 0x77)).Tag);
        Assert.Equal(0x77UL, (await fleet.Read(held)).Tag);

        var unbind = await fleet.UnbindUntil("session:gen-01 (1 allocation)");
        Assert.Equal(Errno.ENODEV, (await fleet.Alloc()).Err);
        Assert.Equal(0x77UL, (await fleet.Read(held)).Tag);

        var freed = await fleet.Free(held);
        Assert.Equal(Errno.OK, freed.Err);
        unbind = await fleet.Await(unbind);
        Assert.Equal(Errno.OK, unbind.Err);

        var device = fleet.Stream("dev:" + LiveFleet.Device).ToList();
        var end = device.Single(e => e.Kind is EventKind.TeardownEnd);
        Assert.True(freed.At.Seq < end.At.Seq);
        Assert.Equal(unbind.At.Seq, device.Single(e => e.Kind is EventKind.UnbindEnd).At.Seq);
        Assert.Equal(
            [
                EventKind.Incarnation, EventKind.RefInit, EventKind.RefKill, EventKind.SwitchBegin,
                EventKind.CleanupBegin, EventKind.WaitBegin, EventKind.SwitchDone, EventKind.RefZero,
                EventKind.Complete, EventKind.WaitEnd, EventKind.RefExit, EventKind.CleanupEnd,
            ],
            fleet.Kinds($"ref:{LiveFleet.Device}/bar2"),
            SameSetIgnoringSwitchRace);
        Assert.Equal(
            [
                EventKind.Incarnation, EventKind.MapStore, EventKind.MemoryAdd, EventKind.PagesInit, EventKind.PagePut,
                EventKind.MemoryRemove, EventKind.MapErase,
            ],
            fleet.Kinds($"map:{LiveFleet.Device}/bar2"));
        Assert.Empty(fleet.Checker.Snapshot().Findings);
    }

    // Goal: a device that is merely idle never looks like a fault.
    [Fact]
    public async Task An_idle_device_is_never_collected()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var held = await fleet.Alloc();
        await fleet.Write(held, 0x77);
        await fleet.Grains.GetGrain<IFrontGrain>("front").Submit([]);
        var management = fleet.Grains.GetGrain<IManagementGrain>(0);
        var before = await LivingAsync();

        await management.ForceActivationCollection(TimeSpan.Zero);

        // What holds nothing goes, so the collector did look.
        var after = await LivingAsync();
        Assert.Equal(["FrontGrain"], before.Except(after));
        Assert.Equal(0x77UL, (await fleet.Read(held)).Tag);
        Assert.Equal(held.At.Gen, (await fleet.Free(held)).At.Gen);

        async Task<string[]> LivingAsync() =>
            [.. (await management.GetDetailedGrainStatistics())
                .Select(grain => grain.GrainType.Split(',')[0].Split('.')[^1])
                .Where(type => type.EndsWith("Grain", StringComparison.Ordinal)).Distinct().Order()];
    }

    // Goal: a crash never takes a position away that lies before one in a client's record.
    [Fact]
    public async Task An_answer_leaves_when_all_before_its_position_is_durable()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var held = await fleet.Alloc();
        var (gate, waits) = fleet.HoldCommits();
        var unbind = fleet.Unbind();
        await waits;

        // A call after it is answered, so it has run by then.
        var free = fleet.Free(held);
        await fleet.DeviceGrain.Report();
        Assert.False(free.IsCompleted);

        gate.SetResult();
        Assert.Equal(Errno.OK, (await free).Err);
        Assert.Equal(Errno.OK, await unbind);
    }

    // The callback of the mode switch runs beside the unbinding thread, so its end may stand before or after the wait's
    // begin.
    private static bool SameSetIgnoringSwitchRace(EventKind[] expected, EventKind[] actual) =>
        expected.Where(k => k is not EventKind.SwitchDone)
            .SequenceEqual(actual.Where(k => k is not EventKind.SwitchDone))
        && actual.Count(k => k is EventKind.SwitchDone) == 1;

    [Fact]
    public async Task Before_patch_6_the_memory_goes_while_it_is_held()
    {
        await using var fleet = await LiveFleet.Start("P0");
        await fleet.Build();
        var held = await fleet.Alloc();
        var unbind = await fleet.UnbindUntil("the last reference of ref:");
        var touched = await fleet.Read(held);
        Assert.Equal(Errno.EFAULT, touched.Err);
        Assert.NotEqual(0, touched.At.Seq);
        Assert.Equal(Errno.OK, (await fleet.Free(held)).Err);
        Assert.Equal(Errno.OK, (await fleet.Await(unbind)).Err);
        Assert.Contains(fleet.Checker.Snapshot().Findings, f => f.Rule == "NO-USE-AFTER-REMOVE");
    }

    [Fact]
    public async Task The_first_version_of_the_series_dies_at_every_unbind_and_keeps_the_lock()
    {
        await using var fleet = await LiveFleet.Start("V1");
        await fleet.Build();
        await fleet.UnbindUntil("died and holds the device lock");
        var oops = fleet.Stream("dev:" + LiveFleet.Device).Single(e => e.Kind is EventKind.Oops);
        Assert.Equal("null-deref", oops.Text);

        await fleet.Until(await fleet.DeviceGrain.Bind(101), "waits for the device lock held by unbind");
        var report = await fleet.HostGrain.Close();
        Assert.Equal(2, report.Open.Count);
        Assert.All(report.Open, ticket => Assert.True(ticket.IsStuck));
        Assert.Equal(2, fleet.Stream("dev:" + LiveFleet.Device).Count(e => e.Kind is EventKind.Hang));
    }

    [Fact]
    public async Task Patch_6_without_patch_5_waits_for_its_own_later_step_and_says_so_at_once()
    {
        await using var fleet = await LiveFleet.Start("X6-5", resources: 2);
        await fleet.Build();
        await fleet.UnbindUntil("owed by a later step of the same thread");
        Assert.True((await fleet.HostGrain.Quiesce()).Open.Single().IsStuck);
    }

    [Fact]
    public async Task An_alloc_during_the_unbind_of_a_pair_meets_the_freed_owner_of_the_newer_resource()
    {
        await using var fleet = await LiveFleet.Start("ALL", resources: 2);
        await fleet.Build();

        // The newer resource is tried first: fill it, so that the next allocation lies in the older one.
        var newer = await fleet.Alloc(LiveFleet.ResourceBytes);
        var older = await fleet.Alloc();
        Assert.Equal((1, 0), (newer.Resource, older.Resource));
        await fleet.Free(newer, LiveFleet.ResourceBytes);
        await fleet.UnbindUntil($"{LiveFleet.Device}/bar2");
        var died = await fleet.Alloc();
        Assert.Equal(Errno.EFAULT, died.Err);
        Assert.Equal(1, died.Owner);
        Assert.NotEqual(0, died.At.Seq);
        Assert.Equal(
            "use-after-free", fleet.Stream("dev:" + LiveFleet.Device).Single(e => e.Kind is EventKind.Oops).Text);
        Assert.Contains(fleet.Checker.Snapshot().Findings, f => f.Rule == "OWNER-ALIVE");
    }

    [Fact]
    public async Task The_order_that_Fleet_proposes_survives_the_same_steps()
    {
        await using var fleet = await LiveFleet.Start("CLEAN", resources: 2);
        await fleet.Build();
        var newer = await fleet.Alloc(LiveFleet.ResourceBytes);
        var older = await fleet.Alloc();
        await fleet.Free(newer, LiveFleet.ResourceBytes);
        var unbind = await fleet.UnbindUntil($"{LiveFleet.Device}/bar2");
        Assert.Equal(Errno.ENODEV, (await fleet.Alloc()).Err);
        Assert.Equal(Errno.OK, (await fleet.Free(older)).Err);
        Assert.Equal(Errno.OK, (await fleet.Await(unbind)).Err);
        Assert.Equal(Errno.OK, await fleet.Bind());
        Assert.Equal(Errno.OK, (await fleet.Alloc()).Err);
        Assert.Empty(fleet.Checker.Snapshot().Findings);
    }

    [Fact]
    public async Task Without_patch_3_a_failed_pool_add_leaves_a_release_action_with_freed_data()
    {
        await using var fleet = await LiveFleet.Start(
            "ALL-p3", resources: 1, new Fleet.Protocol.Plans.InjectionPlan("add_resource.pool_add", Errno.ENOMEM, 1));
        var built = await fleet.Build();
        Assert.Equal(Errno.ENOMEM, built.Failed.Single().Err);
        Assert.Contains(fleet.Stream("dev:" + LiveFleet.Device), e => e.Kind is EventKind.Inject);
        await fleet.UnbindUntil("died");
        Assert.Contains(fleet.Checker.Snapshot().Findings, f => f.Rule == "NO-STALE-DATA");
    }
}
