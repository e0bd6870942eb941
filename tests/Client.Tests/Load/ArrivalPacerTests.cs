using Fleet.Client.Load;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class ArrivalPacerTests
{
    private const long MsNs = 1_000_000;
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(3);

    private readonly LoadClock _clock = new();

    // Goal: what is intended at a time is sent at it or later, however many clients wait and in whatever order they
    // came.
    [Fact]
    public async Task Nothing_is_released_before_it_is_due()
    {
        using var pacer = new ArrivalPacer(_clock);
        var phase = _clock.Current;
        var random = new Random(7);

        var early = await Task.WhenAll(Enumerable.Range(0, 300).Select(_ => random.Next()).ToList().Select(async seed =>
        {
            var (own, wait) = (new Random(seed), new PacedWait());
            var least = long.MaxValue;
            for (var turn = 0; turn < 5; turn++)
            {
                var dueNs = MonotonicNs.Now + own.NextInt64(12 * MsNs);
                await pacer.WaitAsync(wait, dueNs, phase);
                least = Math.Min(least, MonotonicNs.Now - dueNs);
            }

            return least;
        })).WaitAsync(Bound);

        Assert.All(early, ns => Assert.True(ns >= 0, $"{-ns} ns early"));
    }

    [Fact]
    public async Task A_far_arrival_keeps_no_nearer_one_waiting()
    {
        using var pacer = new ArrivalPacer(_clock);
        var far = pacer.WaitAsync(new(), MonotonicNs.Now + (3_600_000 * MsNs), _clock.Current);
        await pacer.WaitAsync(new(), MonotonicNs.Now + MsNs, _clock.Current).AsTask().WaitAsync(Bound);

        var near = pacer.WaitAsync(new(), MonotonicNs.Now + (20 * MsNs), _clock.Current).AsTask();

        await near.WaitAsync(Bound);
        Assert.False(far.IsCompleted);
    }

    [Fact]
    public async Task A_change_of_the_clock_ends_every_wait()
    {
        using var pacer = new ArrivalPacer(_clock);
        var dueNs = MonotonicNs.Now + (3_600_000 * MsNs);
        var waits = Enumerable.Range(0, 200)
            .Select(place => pacer.WaitAsync(new(), dueNs + place, _clock.Current).AsTask()).ToList();

        _clock.Pause();

        await Task.WhenAll(waits).WaitAsync(Bound);
    }

    [Fact]
    public async Task Nobody_waits_in_a_phase_that_is_over()
    {
        using var pacer = new ArrivalPacer(_clock);
        var phase = _clock.Current;
        _clock.Enter("steady", 1, 0);

        await pacer.WaitAsync(new(), MonotonicNs.Now + (3_600_000 * MsNs), phase).AsTask().WaitAsync(Bound);
    }

    [Fact]
    public async Task A_pacer_that_is_disposed_of_ends_every_wait()
    {
        var pacer = new ArrivalPacer(_clock);
        var wait = pacer.WaitAsync(new(), MonotonicNs.Now + (3_600_000 * MsNs), _clock.Current).AsTask();

        pacer.Dispose();

        await wait.WaitAsync(Bound);
        Assert.True(pacer.WaitAsync(new(), MonotonicNs.Now + (3_600_000 * MsNs), _clock.Current).IsCompleted);
    }

    // Goal: what Orleans keeps of a call for the thread that had its answer is used again, since no thread only calls.
    [Fact]
    public async Task Who_was_due_goes_on_in_the_pool()
    {
        using var pacer = new ArrivalPacer(_clock);
        var (phase, wait) = (_clock.Current, new PacedWait());

        // Away from the context of the test, which would bring it back.
        await Task.Run(async () =>
        {
            for (var turn = 0; turn < 20; turn++)
            {
                await pacer.WaitAsync(wait, MonotonicNs.Now + MsNs, phase);
                Assert.True(Thread.CurrentThread.IsThreadPoolThread);
            }
        }).WaitAsync(Bound);
    }

    [Fact]
    public async Task A_client_may_dispose_of_its_pacer()
    {
        var pacer = new ArrivalPacer(_clock);

        var client = Task.Run(async () =>
        {
            await pacer.WaitAsync(new(), MonotonicNs.Now + MsNs, _clock.Current);
            pacer.Dispose();
        });

        await client.WaitAsync(Bound);
    }
}
