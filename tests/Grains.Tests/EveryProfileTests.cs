using Fleet.Kernel;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Tests;

/// <summary>Failing and held resources under every profile.</summary>
[Trait("tier", "cluster")]
public sealed class EveryProfileTests
{
    /// <summary>What fails, and the profiles whose unbind never ends then.</summary>
    private static readonly (InjectionPlan? Failure, string Stuck)[] Failures =
    [
        (null, "V1 X6-5 X6c"),
        (new("add_resource.pool_add", Errno.ENOMEM, 0, Nth: 1), "ALL-p3 P0 P1 P2 P5 V1 X6c"),
        (new("add_resource.pool_add", Errno.ENOMEM, 0, Nth: 2), "ALL-p3 P0 P1 P2 P5 V1 X6-5 X6c"),
        (new("memremap.memory_add", Errno.ENOMEM, 0, Nth: 2), "P5 V1 X6-5 X6c"),
        (new("memremap.devres_node", Errno.ENOMEM, 0, Nth: 1), "P5 V1 X6c"),
        (new("setup.sysfs_group", Errno.ENOMEM, 0, Nth: 1), "V1 X6c"),
    ];

    // Goal: every profile comes to the end that the model foresees (S4 to S7), and Fleet itself to none.
    // Method: two resources, one failure, holders that free at once after the unbind began, on one silo for all
    // profiles.
    [Fact]
    public async Task Unbinds_end_or_are_stuck_as_the_model_has_it()
    {
        await using var fleet = await LiveFleet.Start("ALL");
        var number = 0;
        foreach (var (failure, stuck) in Failures)
        {
            var ended = await Task.WhenAll(KernelProfile.All.Select(
                async profile => (profile.Name, Done: await Play(fleet, profile.Name, failure, ++number))));
            Assert.Equal(
                $"{failure?.Point}: {stuck}",
                $"{failure?.Point}: "
                + $"{string.Join(' ', ended.Where(e => !e.Done).Select(e => e.Name).Order(StringComparer.Ordinal))}");
        }

        Assert.Equal(0, fleet.Positions.Misplaced);
    }

    private static async Task<bool> Play(LiveFleet fleet, string profile, InjectionPlan? failure, int number)
    {
        var host = fleet.Grains.GetGrain<IHostGrain>($"host-{number:d4}");
        var plan = new DevicePlan($"host-{number:d4}/0000:00:00.0", "p2pdma", [Bar(number, 2), Bar(number, 4)]);
        var run = new RunPlan("test", profile, 1, TimeSpan.FromMilliseconds(50), 30, failure is null ? [] : [failure]);
        await host.Build(run, new HostPlan($"host-{number:d4}", [plan]));
        var device = fleet.Grains.GetGrain<IPciDeviceGrain>(plan.Key);
        var held = new List<AllocReply>();
        for (var i = 0; i < 3; i++)
        {
            held.Add(await device.Alloc(new(i, fleet.Session, 4096)));
        }

        var unbind = await device.Unbind(10);
        await device.Alloc(new(4, fleet.Session, 4096));
        foreach (var one in held.Where(h => h.Err is Errno.OK))
        {
            var freed = await device.Free(new(5, fleet.Session, one.At.Gen, one.Number, one.Address, 4096));
            Assert.True(freed.Err is Errno.OK or Errno.EFAULT);
        }

        while (!unbind.IsDone)
        {
            if ((await device.Report()).Open.Any(open => open.IsStuck))
            {
                break;
            }

            unbind = await device.AwaitTicket(unbind.Ticket);
        }

        Assert.All((await host.Close()).Open, open => Assert.DoesNotContain("Fleet itself", open.WaitsFor));
        return unbind.IsDone;
    }

    private static PciBar Bar(int number, int bar) =>
        new(bar, true, ((ulong)number << 34) + ((ulong)bar << 30), LiveFleet.ResourceBytes);
}
