using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Tests;

/// <summary>Two devices of one machine in one memory section.</summary>
[Trait("tier", "cluster")]
public sealed class SectionTests
{
    // Source: kernel-model C.5, scenario S26: before patch 6 nobody kills the ref of a resource that met a conflict.
    [Theory]
    [InlineData("ALL", true)]
    [InlineData("P0", false)]
    public async Task The_second_device_meets_the_first_and_its_unbind_ends_as_the_kernel_has_it(
        string profile, bool ends)
    {
        await using var fleet = await LiveFleet.Start(profile);
        var run = fleet.Run with { SharesSections = true };
        var plan = new HostPlan(LiveFleet.Host, [Plan(0), Plan(1)]);
        var first = fleet.Grains.GetGrain<IPciDeviceGrain>(plan.Devices[0].Key);
        await first.Configure(run, plan.Devices[0]);
        Assert.Equal(Errno.OK, await Done(first, await first.Bind(1)));

        var second = fleet.Grains.GetGrain<IPciDeviceGrain>(plan.Devices[1].Key);
        await second.Configure(run, plan.Devices[1]);
        Assert.Equal(Errno.ENOMEM, await Done(second, await second.Bind(2)));
        Assert.Contains(
            fleet.Stream(plan.Devices[1].Name),
            e => e.Kind is EventKind.ConflictHit && e.Other == fleet.Objects.Find(plan.Devices[0].MapName(0)));

        var unbind = await second.Unbind(3);
        while (!unbind.IsDone && !unbind.WaitsFor!.Contains("which nobody has killed", StringComparison.Ordinal))
        {
            unbind = await second.AwaitTicket(unbind.Ticket);
        }

        Assert.Equal(ends, unbind.IsDone);
    }

    private static async Task<Errno> Done(IPciDeviceGrain device, TicketReply ticket)
    {
        while (!ticket.IsDone)
        {
            ticket = await device.AwaitTicket(ticket.Ticket);
        }

        return ticket.Err;
    }

    private static DevicePlan Plan(int number) => new(
        $"{LiveFleet.Host}/0000:{number:x2}:00.0", DriverNames.P2pdma,
        [new PciBar(2, true, 0x40_0000_0000 + ((ulong)number * LiveFleet.ResourceBytes), LiveFleet.ResourceBytes)]);
}
