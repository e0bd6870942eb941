using Fleet.Client.Faults;
using Fleet.Client.Inventory;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;

namespace Fleet.Client.Tests.Faults;

// Goal: the figures that say a run of strikes met something count exactly what was planted.
[Trait("tier", "fast")]
public sealed class StrikeCountsTests
{
    private readonly LoadFleet _fleet = new(
        FleetPlan.Of(
            GeneratedInventory.Build(1, 4, 1, 1 << 20), 1, SectionPlacement.Own, null, "a test's inventory"),
        new ObjectTable());

    private OpenTicket Open(int device, OperationKind kind) => new(_fleet.Devices[device].Key, kind, 1, "");

    [Fact]
    public void A_strike_met_live_handles_where_a_device_of_the_silo_had_an_allocation_out()
    {
        var counts = new StrikeCounts(_fleet);
        _fleet.Allocated(2);
        counts.Count(FaultKind.SiloKill, [0, 1], []);
        Assert.Equal(0, counts.WithLiveHandles);

        counts.Count(FaultKind.SiloPause, [1, 2], []);
        _fleet.Released(2);
        counts.Count(FaultKind.SiloKill, [2], []);

        Assert.Equal(1, counts.WithLiveHandles);
    }

    [Fact]
    public void A_kill_met_a_teardown_where_a_device_of_the_silo_was_being_unbound()
    {
        var counts = new StrikeCounts(_fleet);
        counts.Count(FaultKind.SiloKill, [0, 1], [Open(2, OperationKind.Unbind), Open(0, OperationKind.Bind)]);
        counts.Count(FaultKind.SiloPause, [0], [Open(0, OperationKind.Unbind)]);
        Assert.Equal(0, counts.KillsInTeardown);

        counts.Count(FaultKind.SiloKill, [0, 1], [Open(0, OperationKind.Unbind), Open(1, OperationKind.Unbind)]);

        Assert.Equal(1, counts.KillsInTeardown);
    }

    [Fact]
    public void An_operation_whose_answer_was_lost_stays_unknown_until_it_is_resolved_either_way()
    {
        var counters = new LoadCounters();
        for (var lost = 0; lost < 4; lost++)
            counters.AnswerLost();
        counters.Resolved(isExecuted: true);
        counters.Resolved(isExecuted: false);
        counters.Resolved(isExecuted: false);

        Assert.Equal((1L, 2L, 1L), (counters.ResolvedExecuted, counters.ResolvedNotSeen, counters.Unresolved));
    }
}
