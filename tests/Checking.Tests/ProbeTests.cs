using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests;

/// <summary>What each probe counts, and the clean history next to it that it does not count.</summary>
[Trait("tier", "fast")]
public sealed class ProbeTests
{
    [Fact]
    public void An_alloc_counts_only_between_begin_and_end_of_a_teardown()
    {
        Assert.Equal(
            1,
            Count("alloc-between-kill-and-wait-end", w => w.Bind().Unbind(whileWaiting: _ => w.Refuse(Errno.ENODEV))));
        Assert.Equal(0, Count("alloc-between-kill-and-wait-end", w =>
        {
            w.Bind();
            w.Refuse();
            w.BeginUnbind();
            w.Refuse();
            w.Teardown(0);
            w.Refuse();
        }));
    }

    [Fact]
    public void A_free_ends_a_wait_only_when_it_is_the_last_of_the_mapping()
    {
        Assert.Equal(1, Count("free-ends-wait", w =>
        {
            w.Bind();
            var (a, b) = (w.Alloc(page: 0), w.Alloc(page: 1));
            w.Unbind(whileWaiting: _ =>
            {
                w.Free(a, page: 0);
                w.Free(b, page: 1);
            });
        }));
        Assert.Equal(0, Count("free-ends-wait", w =>
        {
            w.Bind();
            w.Free(w.Alloc());
            w.Unbind();
        }));
    }

    [Fact]
    public void A_reaped_allocation_ends_a_wait_as_a_free_does() =>
        Assert.Equal(1, Count("free-ends-wait", w =>
        {
            w.Bind();
            var a = w.Alloc();
            w.Unbind(whileWaiting: _ => w.Dev(
                EventKind.Reap, e => e with { Alloc = a, Start = World.StartOf(0), SizeBytes = World.PageBytes }));
        }));

    [Fact]
    public void An_access_counts_after_the_kill_was_seen_at_the_page_map_and_before_the_removal()
    {
        Assert.Equal(1, Count("access-in-teardown-window", AccessWhileWaiting));
        Assert.Equal(0, Count("access-in-teardown-window", w =>
        {
            w.Bind();
            var a = w.Alloc();
            w.Access(a);
            w.Unbind(whileWaiting: _ => w.Free(a));
        }));
    }

    [Fact]
    public void An_access_counts_by_position_where_no_clock_can_be_compared() =>
        Assert.Equal(1, Count("access-in-teardown-window", w =>
        {
            w.Header = w.Header with { Clock = "", ClockBoundNs = null };
            AccessWhileWaiting(w);
        }));

    [Fact]
    public void An_unbind_with_a_live_holder_counts_once()
    {
        Assert.Equal(1, Count("unbind-with-live-holder", AccessWhileWaiting));
        Assert.Equal(0, Count("unbind-with-live-holder", w => w.Bind().Unbind()));
    }

    [Fact]
    public void A_rebind_counts_when_it_comes_back_to_the_same_addresses()
    {
        Assert.Equal(1, Count("rebind-reuses-range", w =>
        {
            w.Bind().Unbind();
            w.NextLife();
            w.Bind();
        }));
        Assert.Equal(0, Count("rebind-reuses-range", w => w.Bind(2).Unbind(2)));
    }

    [Fact]
    public void A_holder_on_the_older_resource_is_seen_when_the_newer_one_is_gone() =>
        Assert.Equal(1, Count("holder-on-older-resource", w =>
        {
            w.Bind(2);
            var older = w.Alloc(resource: 0);
            w.Unbind(2, resource =>
            {
                if (resource == 0)
                {
                    w.Free(older);
                }
            });
        }));

    [Fact]
    public void The_online_checker_counts_the_same_situations()
    {
        var world = new World();
        AccessWhileWaiting(world);
        var probes = world.Observe().Probes;
        Assert.Equal(1, probes["access-in-teardown-window"]);
        Assert.Equal(1, probes["unbind-with-live-holder"]);
        Assert.Equal(1, probes["free-ends-wait"]);
    }

    [Fact]
    public void A_required_probe_at_zero_makes_a_green_run_unknown_and_says_what_never_happened()
    {
        var world = new World();
        AccessWhileWaiting(world);

        Assert.Equal(RunVerdict.Valid, world.Check("free-ends-wait").Verdict);
        var report = world.Check("free-ends-wait", "rebind-reuses-range");
        Assert.Equal(RunVerdict.Unknown, report.Verdict);
        Assert.Equal(2, report.ExitCode);
        Assert.Equal(
            ["The required probe rebind-reuses-range stayed at zero: no device was bound again over the addresses of "
                + "an earlier mapping."],
            report.Reasons);
    }

    private static long Count(string probe, Action<World> happens)
    {
        var world = new World();
        happens(world);
        return world.Check().Probes[probe];
    }

    private static void AccessWhileWaiting(World w)
    {
        w.Bind();
        var a = w.Alloc();
        w.Unbind(whileWaiting: _ =>
        {
            w.Access(a);
            w.Free(a);
        });
    }
}
