using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Grains.Tests;

[Trait("tier", "cluster")]
public sealed class SessionTests
{
    [Fact]
    public async Task A_session_that_is_not_renewed_is_barred_then_reaped_and_the_unbind_ends()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        await fleet.Build();
        var session = fleet.Grains.GetGrain<ISessionGrain>("session:gen-01");
        await session.Open("test", fleet.Session, TimeSpan.FromSeconds(2), [LiveFleet.Host]);
        var held = await fleet.Alloc();

        // Nobody renews the lease; the reaper's free is what ends the unbind.
        Assert.Equal(Errno.OK, await fleet.Unbind());
        Assert.False(await session.Renew());
        Assert.Equal(Errno.ESTALE, (await fleet.Read(held)).Err);
        Assert.Equal(Errno.ESTALE, (await fleet.Free(held)).Err);
        Assert.Equal(Errno.ESTALE, (await fleet.Alloc()).Err);

        var reap = fleet.Stream("dev:" + LiveFleet.Device).Single(e => e.Kind is EventKind.Reap);
        Assert.Equal((held.Number, held.Address), (reap.Alloc.Number, reap.Start));
        var barred = fleet.Stream($"map:{LiveFleet.Device}/bar2").Single(e => e.Kind is EventKind.Barred);
        Assert.Contains(reap.After, p => p.Obj == barred.At.Obj && p.Seq >= barred.At.Seq);
        Assert.Equal(1, (await fleet.HostGrain.Quiesce()).Counters.Reaped);
        Assert.Empty(fleet.Checker.Snapshot().Findings);
    }

    [Fact]
    public async Task Closing_a_session_frees_what_it_still_holds()
    {
        await using var fleet = await LiveFleet.Start("CLEAN", resources: 2);
        await fleet.Build();
        var session = fleet.Grains.GetGrain<ISessionGrain>("session:gen-01");
        await session.Open("test", fleet.Session, TimeSpan.FromMinutes(1), [LiveFleet.Host]);
        await fleet.Alloc();
        await fleet.Alloc(LiveFleet.ResourceBytes);
        Assert.True(await session.Renew());
        Assert.Equal(2, await session.Close());
        Assert.Equal(0, await session.Close());
        Assert.Equal(0, (await fleet.HostGrain.Quiesce()).Counters.LiveAllocations);
        Assert.Equal(Errno.OK, await fleet.Unbind());
    }
}
