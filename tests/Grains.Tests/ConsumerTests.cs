using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Tests;

/// <summary>Consumers of page maps on a real silo: what a holder holds is one call each, with its position.</summary>
[Trait("tier", "cluster")]
public sealed class ConsumerTests
{
    [Theory]
    [InlineData(DriverNames.Dax)]
    [InlineData(DriverNames.PmemFsdax)]
    [InlineData(DriverNames.Hmm)]
    public async Task A_pinned_page_keeps_the_unbind_waiting_until_it_is_put(string driver)
    {
        await using var fleet = await LiveFleet.Start("CLEAN");
        var plan = Plan(driver);
        var device = fleet.Grains.GetGrain<IPciDeviceGrain>(plan.Key);
        var map = fleet.Grains.GetGrain<IPgmapGrain>(plan.ResourceKey(0));
        await device.Configure(fleet.Run, plan);
        for (var life = 1; life <= 2; life++)
        {
            Assert.Equal(Errno.OK, await Done(device, await device.Bind(10 * life)));
            var pin = await map.Pin(new(2, fleet.Session, 5));
            Assert.Equal(Errno.OK, pin.Err);
            var got = fleet.Stream(plan.MapName(0)).Last();
            Assert.Equal((EventKind.PageGet, pin.At.Seq, pin.Number), (got.Kind, got.At.Seq, got.Alloc.Number));

            var unbind = await device.Unbind((10 * life) + 1);
            while (!unbind.WaitsFor!.Contains("that are pinned", StringComparison.Ordinal))
            {
                unbind = await device.AwaitTicket(unbind.Ticket);
            }

            Assert.Equal(Errno.ENXIO, (await map.Pin(new(4, fleet.Session, 6))).Err);
            var through = await map.Access(new(
                5, fleet.Session, pin.Gen, pin.Number, pin.Pfn, 1, AccessDirection.Read, AccessVia.Dma, 0));
            Assert.Equal(Errno.OK, through.Err);
            Assert.Equal(Errno.OK, (await map.Unpin(new(6, fleet.Session, pin.Gen, pin.Number))).Err);
            Assert.Equal(Errno.OK, await Done(device, unbind));
        }

        Assert.Equal(0, fleet.Positions.Misplaced);
        Assert.Empty(fleet.Checker.Snapshot().Findings);
    }

    [Theory]
    [InlineData("CLEAN", Errno.OK)]
    [InlineData("ALL", Errno.EFAULT)]
    public async Task A_request_in_flight_touches_an_unmapped_raw_pmem_until_the_drain_comes_first(
        string profile, Errno touched)
    {
        await using var fleet = await LiveFleet.Start(profile);
        var plan = Plan(DriverNames.PmemRaw);
        var device = fleet.Grains.GetGrain<IPciDeviceGrain>(plan.Key);
        await device.Configure(fleet.Run, plan);
        Assert.Equal(Errno.OK, await Done(device, await device.Bind(1)));
        var request = await device.Alloc(new(2, fleet.Session, 4096));
        var access = new AccessRequest(
            3, fleet.Session, request.At.Gen, request.Number, request.Address >> 12, 1, AccessDirection.Write,
            AccessVia.Cpu, 7);
        Assert.Equal((Errno.OK, 7UL), ((await device.Access(access)).Err, 7UL));

        var unbind = await device.Unbind(4);
        while (!unbind.WaitsFor!.Contains("the last reference", StringComparison.Ordinal))
        {
            unbind = await device.AwaitTicket(unbind.Ticket);
        }

        Assert.Equal(touched, (await device.Access(access with { Op = 5 })).Err);
        var freed = await device.Free(
            new(6, fleet.Session, request.At.Gen, request.Number, request.Address, 4096));
        Assert.Equal(Errno.OK, freed.Err);
        Assert.Equal(Errno.OK, await Done(device, unbind));
        Assert.Equal(
            touched is Errno.OK ? [] : ["NO-USE-AFTER-REMOVE"],
            fleet.Checker.Snapshot().Findings.Select(found => found.Rule));
    }

    private static DevicePlan Plan(string driver) => new(
        LiveFleet.Host + (driver is DriverNames.Hmm ? "/hmm:0" : "/nd:region0"), driver,
        [new PciBar(0, true, 0x40_0000_0000, LiveFleet.ResourceBytes)]);

    private static async Task<Errno> Done(IPciDeviceGrain device, TicketReply ticket)
    {
        while (!ticket.IsDone)
        {
            ticket = await device.AwaitTicket(ticket.Ticket);
        }

        return ticket.Err;
    }
}
