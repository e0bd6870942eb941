using Fleet.Client.Faults;
using Fleet.Client.Inventory;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;

namespace Fleet.Client.Tests.Faults;

[Trait("tier", "fast")]
public sealed class RecoveryTests
{
    private readonly RecoveryWatch _watch = new(new LoadFleet(
        FleetPlan.Of(
            GeneratedInventory.Build(1, 4, 1, 1 << 20), 1, SectionPlacement.Own, null, "a test's inventory"),
        new ObjectTable()));

    [Fact]
    public void A_device_is_back_with_an_incarnation_that_is_newer_than_the_struck_one()
    {
        _watch.Allocated(0, gen: 3, MonotonicNs.Now);
        var recovery = _watch.Begin("silo-kill", "silo-1", isWhole: true, [0, 1]);

        _watch.Allocated(0, gen: 3, MonotonicNs.Now); // What the struck silo had answered before it died.
        Assert.Empty(recovery.BackNs);
        _watch.Allocated(0, gen: 4, MonotonicNs.Now);

        Assert.Single(recovery.BackNs);
        Assert.Equal(1, recovery.NotBack);
    }

    [Fact]
    public void An_allocation_that_was_sent_before_the_strike_says_nothing()
    {
        var before = MonotonicNs.Now;
        var recovery = _watch.Begin("silo-kill", "silo-1", isWhole: true, [0]);

        _watch.Allocated(0, gen: 9, before);

        Assert.Empty(recovery.BackNs);
    }

    [Fact]
    public void A_device_that_migrated_is_back_once_its_old_silo_is_gone()
    {
        _watch.Allocated(2, gen: 1, MonotonicNs.Now);
        var recovery = _watch.Begin("silo-restart", "silo-1", isWhole: true, [2]);
        recovery.Gone(MonotonicNs.Now);

        _watch.Allocated(2, gen: 1, MonotonicNs.Now + 1);

        Assert.Single(recovery.BackNs);
    }

    [Fact]
    public void A_device_that_is_struck_again_before_it_was_back_is_measured_from_then_on()
    {
        var first = _watch.Begin("silo-kill", "silo-1", isWhole: true, [0, 1]);
        _watch.Allocated(0, gen: 2, MonotonicNs.Now);
        var second = _watch.Begin("silo-kill", "silo-2", isWhole: true, [0, 1]);

        Assert.Equal((1, 1, 0), (first.BackNs.Length, first.StruckAgain, first.NotBack));
        Assert.Equal(2, second.NotBack);

        _watch.Allocated(1, gen: 3, MonotonicNs.Now);

        Assert.Equal((1, 1, 0), (first.BackNs.Length, first.StruckAgain, first.NotBack));
        Assert.Equal(1, second.NotBack);
    }

    [Fact]
    public void A_strike_on_a_whole_fleet_is_alone_until_another_one_strikes_before_its_devices_are_back()
    {
        var first = _watch.Begin("silo-kill", "silo-1", isWhole: true, [0]);
        _watch.Allocated(0, gen: 2, MonotonicNs.Now);
        var second = _watch.Begin("silo-pause", "silo-2", isWhole: true, [1]);
        Assert.True(first.IsAlone && second.IsAlone);

        var third = _watch.Begin("silo-kill", "silo-3", isWhole: true, [2]);

        Assert.True(first.IsAlone);
        Assert.False(second.IsAlone);
        Assert.False(third.IsAlone);
    }

    [Fact]
    public void A_strike_on_a_fleet_that_lacks_a_silo_is_not_alone() =>
        Assert.False(_watch.Begin("silo-kill", "silo-1", isWhole: false, [0]).IsAlone);
}
