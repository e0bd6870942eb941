using Fleet.Kernel.Profiles;
using Fleet.Simulation.Replay;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Tests.Replay;

/// <summary>A replay tells every atomic step in the words of kernel-model E.</summary>
[Trait("tier", "fast")]
public sealed class FinestEventsTests
{
    [Fact]
    public void An_allocation_is_told_step_by_step()
    {
        Assert.True(ScenarioCatalog.TryFind("S8", out var scenario));
        var report = ScheduleLine.Run(scenario, KernelProfile.Default, "B2:*");
        var told = report.Steps.SelectMany(step => step.Events).Select(text => text.Split(' ')[0]);
        Assert.Equal(
            [
                "rcu_read_begin", "field_read", "field_read", "alloc_begin", "bits_set", "avail_dec", "chunk_try",
                "alloc_end", "rcu_read_begin", "ref_tryget_live", "rcu_read_end", "rcu_read_end",
            ],
            told.Take(12));
    }

    [Fact]
    public void An_unbind_tells_its_switch_and_its_grace_periods()
    {
        Assert.True(ScenarioCatalog.TryFind("S1", out var scenario));
        var report = ScheduleLine.Run(scenario, KernelProfile.Default, "A:* rcu:* A:*");
        var told = report.Steps.SelectMany(step => step.Events).Select(text => text.Split(' ')[0]).ToList();
        Assert.Equal(
            ["ref_kill", "switch_begin", "switch_done", "ref_zero", "ref_exit", "memory_remove", "map_erase"],
            told.Where(name => name is "ref_kill" or "switch_begin" or "switch_done" or "ref_zero" or "ref_exit"
                or "memory_remove" or "map_erase"));
        Assert.Equal(2, told.Count(name => name == "gp_wait_begin"));
        Assert.Equal(2, told.Count(name => name == "gp_wait_end"));
    }
}
