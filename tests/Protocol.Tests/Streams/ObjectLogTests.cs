using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;

namespace Fleet.Protocol.Tests.Streams;

[Trait("tier", "fast")]
public sealed class ObjectLogTests
{
    private sealed class HeldLog : ILifecycleLog, IEventClock
    {
        public List<(long[] Positions, TaskCompletionSource Done)> Commits { get; } = [];

        public TaskCompletionSource HasTwo { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public long NowNs => 0;

        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
        {
            var done = new TaskCompletionSource();
            Commits.Add(([.. events.Select(e => e.At.Seq)], done));
            if (Commits.Count == 2)
            {
                HasTwo.SetResult();
            }

            return new(done.Task);
        }
    }

    // Goal: a crash never takes an earlier position away and leaves a later one.
    [Fact]
    public async Task A_later_position_is_never_durable_before_an_earlier_one()
    {
        var held = new HeldLog();
        var log = Open(held);
        log.Add(EventKind.BindBegin);
        var first = log.CommitAsync().AsTask();
        log.Add(EventKind.BindEnd);
        var second = log.CommitAsync().AsTask();
        Assert.Single(held.Commits);
        Assert.False(second.IsCompleted);

        held.Commits[0].Done.SetResult();
        await first;
        await held.HasTwo.Task;
        Assert.False(second.IsCompleted);
        Assert.Equal([2L], held.Commits[1].Positions);
        Assert.False(log.IsSettled);

        held.Commits[1].Done.SetResult();
        await second;
        Assert.True(log.IsSettled);
    }

    [Fact]
    public async Task What_goes_out_with_another_commit_is_not_sent_twice()
    {
        var held = new HeldLog();
        var log = Open(held);
        log.Add(EventKind.BindBegin);
        var first = log.CommitAsync().AsTask();
        log.Add(EventKind.BindEnd);
        var both = new[] { log.CommitAsync().AsTask(), log.CommitAsync().AsTask() };
        held.Commits[0].Done.SetResult();
        await held.HasTwo.Task;
        held.Commits[1].Done.SetResult();
        await Task.WhenAll(first, both[0], both[1]);
        Assert.Equal(2, held.Commits.Count);
    }

    private static ObjectLog Open(HeldLog held) => new(
        new FleetContext(new(), null, held, new MemoryIncarnations(), held, "here", 1), "dev:host/0000:00:00.0");
}
