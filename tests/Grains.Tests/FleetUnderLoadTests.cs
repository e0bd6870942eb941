using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Tests;

/// <summary>Many clients on several devices, while they are unbound and bound again under them.</summary>
[Trait("tier", "cluster")]
public sealed class FleetUnderLoadTests
{
    private const int Devices = 6;
    private const int Clients = 16;
    private const int OperationsEach = 250;
    private const int OperationsAtMost = 100_000;

    private int _unbinds;

    // Goal: no interleaving that a real silo produces breaks a rule where the profile has no defect, and positions stay
    // dense.
    // Method: clients hold allocations across unbinds until the situations under test have happened; the online checker
    // judges; every unbind has to end when all let go.
    [Theory]
    [InlineData("ALL", 1)]
    [InlineData("CLEAN", 2)]
    public async Task Nothing_is_found_where_there_is_no_defect(string profile, int resources)
    {
        await using var fleet = await LiveFleet.Start(profile, Devices, resources, []);
        Assert.Equal(Devices, (await fleet.HostGrain.Build(fleet.Run, fleet.Plan)).Bound);
        using var drained = new CancellationTokenSource();
        var rebinds = Enumerable.Range(0, Devices).Select(d => Rebind(fleet, d, drained.Token)).ToList();
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(c => Client(fleet, c)));
        await drained.CancelAsync();
        await Task.WhenAll(rebinds);

        var report = await fleet.HostGrain.Close();
        Assert.Empty(report.Open);
        Assert.Equal(0, report.Counters.LiveAllocations);
        Assert.Equal(_unbinds, report.Counters.Unbinds);
        Assert.True(_unbinds > Devices, "hardly any unbind");
        Assert.Equal(0, fleet.Positions.Misplaced);
        var seen = fleet.Checker.Snapshot();
        Assert.Empty(seen.Findings);
        Assert.True(seen.Probes["unbind-with-live-holder"] > 0, "no unbind met a holder");
        Assert.True(seen.Probes["free-ends-wait"] > 0, "no free ended a wait");
    }

    /// <summary>Clients that outrun the first unbinds would end before one of them met a holder.</summary>
    private bool Happened(LiveFleet fleet)
    {
        var probes = fleet.Checker.Snapshot().Probes;
        return Volatile.Read(ref _unbinds) > Devices && probes["unbind-with-live-holder"] > 0
            && probes["free-ends-wait"] > 0;
    }

    private async Task Rebind(LiveFleet fleet, int device, CancellationToken drained)
    {
        var grain = fleet.Grains.GetGrain<IPciDeviceGrain>(fleet.Plan.Devices[device].Key);
        while (!drained.IsCancellationRequested)
        {
            Interlocked.Increment(ref _unbinds);
            await Done(grain, await grain.Unbind(0));
            await Done(grain, await grain.Bind(0));
        }
    }

    private static async Task Done(IPciDeviceGrain grain, TicketReply ticket)
    {
        while (!ticket.IsDone)
        {
            ticket = await grain.AwaitTicket(ticket.Ticket);
        }

        Assert.Equal(Errno.OK, ticket.Err);
    }

    private async Task Client(LiveFleet fleet, int number)
    {
        var random = new Random(number);
        var held = new List<(int Device, AllocReply Memory, ulong Tag)>();
        for (var i = 0; i < OperationsEach || (i < OperationsAtMost && !Happened(fleet)); i++)
        {
            await Task.Yield();
            var op = ((long)number << 32) + i;
            if (held.Count < 4 && random.Next(3) == 0)
            {
                var device = random.Next(Devices);
                var memory = await fleet.Grains.GetGrain<IPciDeviceGrain>(fleet.Plan.Devices[device].Key)
                    .Alloc(new(op, fleet.Session, 4096));
                if (memory.Err is Errno.OK)
                {
                    held.Add((device, memory, (ulong)op));
                    Assert.Equal(Errno.OK, await Touch(fleet, held[^1], AccessDirection.Write));
                }
            }
            else if (held.Count > 0)
            {
                var picked = held[random.Next(held.Count)];
                Assert.Equal(Errno.OK, await Touch(fleet, picked, AccessDirection.Read));
                if (random.Next(3) == 0)
                {
                    held.Remove(picked);
                    await Free(fleet, picked);
                }
            }
        }

        foreach (var left in held)
        {
            await Free(fleet, left);
        }
    }

    private static async Task<Errno> Touch(
        LiveFleet fleet, (int Device, AllocReply Memory, ulong Tag) held, AccessDirection direction)
    {
        var plan = fleet.Plan.Devices[held.Device];
        var reply = await fleet.Grains.GetGrain<IPgmapGrain>(plan.ResourceKey(held.Memory.Resource)).Access(new(
            1, fleet.Session, held.Memory.At.Gen, held.Memory.Number, held.Memory.Address >> 12, 1, direction,
            AccessVia.Dma,
            direction is AccessDirection.Write ? held.Tag : 0));
        Assert.Equal(held.Tag, reply.Tag);
        return reply.Err;
    }

    private static async Task Free(LiveFleet fleet, (int Device, AllocReply Memory, ulong Tag) held)
    {
        var reply = await fleet.Grains.GetGrain<IPciDeviceGrain>(fleet.Plan.Devices[held.Device].Key)
            .Free(new(2, fleet.Session, held.Memory.At.Gen, held.Memory.Number, held.Memory.Address, 4096));
        Assert.Equal(Errno.OK, reply.Err);
    }
}
