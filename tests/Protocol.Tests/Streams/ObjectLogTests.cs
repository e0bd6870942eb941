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

    /// <summary>Every incarnation is over before its log hears of it.</summary>
    private sealed class EndedAtOnce : IIncarnations
    {
        private readonly MemoryIncarnations _memory = new();

        public bool IsFencing { get; set; } = true;

        public async ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan)
        {
            var begun = await _memory.BeginAsync(name, plan);
            begun.End();
            return begun;
        }

        public ValueTask<DurableObject> KnownAsync(string name) => _memory.KnownAsync(name);

        public ValueTask KeepAsync(string name, KeptPlan? plan) => _memory.KeepAsync(name, plan);

        public ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan) =>
            _memory.TryKeepAsync(name, gen, plan);

        public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix) => _memory.NamesAsync(prefix);

        public ValueTask LeaveAsync(string name, Tenure tenure) => _memory.LeaveAsync(name, tenure);
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

    // Goal: no call is answered in the name of an incarnation that another one has followed, or that was left.
    [Fact]
    public async Task A_log_hears_that_its_incarnation_is_over()
    {
        var held = new HeldLog();
        var incarnations = new MemoryIncarnations();
        var context = new FleetContext(new(), null, held, incarnations, held, "here", 1);
        var (first, second) = (new ObjectLog(context, "dev:h/1"), new ObjectLog(context, "dev:h/1"));
        Assert.False(first.Serves);
        await first.OpenAsync();
        Assert.True(first.Serves);
        await second.OpenAsync();
        Assert.Equal((false, true), (first.Serves, first.IsOver));
        Assert.Equal((true, false), (second.Serves, second.IsOver));
        await incarnations.LeaveAsync(second.Name, second.Tenure!);
        Assert.Equal((false, true), (second.Serves, second.IsOver));
    }

    // Goal: the end of an incarnation is heard also where it comes before its log has opened.
    [Fact]
    public async Task A_log_is_told_of_an_end_that_was_before()
    {
        var held = new HeldLog();
        var log = new ObjectLog(new(new(), null, held, new EndedAtOnce(), held, "here", 1), "dev:h/1");
        await log.OpenAsync();
        Assert.Equal((false, true), (log.Serves, log.IsOver));
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
