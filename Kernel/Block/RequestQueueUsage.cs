using Fleet.Kernel.Block;

namespace Fleet.Kernel;

/// <summary>Answer of a request queue to a new request.</summary>
public enum QueueEnter : byte
{
    /// <summary>The request holds a reference until <see cref="RequestQueueUsage.Exit"/>.</summary>
    Entered,

    /// <summary>
    /// The queue is frozen: the caller waits until <see cref="RequestQueueUsage.IsFreezing"/> is false or the queue
    /// dies.
    /// </summary>
    Frozen,

    /// <summary>The queue is being removed: -ENODEV.</summary>
    Dying,
}

/// <summary>How many requests use a request queue, and how it is frozen, drained and declared dead.</summary>
/// <remarks>
/// Invariant: <see cref="Usage"/> is killed exactly while <see cref="FreezeDepth"/> is above 0.
/// The counter starts in atomic mode and counts per CPU once the queue is registered. A drain polls
/// <see cref="IsDrained"/>; it is not a completion. Concurrency: one turn.
/// Source: blk_freeze_queue_start, blk_cleanup_queue and blk_queue_enter of block/ @ v5.2, kernel-model B.9.
/// </remarks>
public sealed class RequestQueueUsage : IPercpuRefEvents
{
    private readonly QueueGate _gate = new();

    /// <param name="rcu">Where mode switches of <see cref="Usage"/> are queued.</param>
    /// <param name="cpus">Per-CPU counters of <see cref="Usage"/>.</param>
    public RequestQueueUsage(RcuDomain rcu, int cpus = 1)
    {
        Usage = new PercpuRef(rcu, this, cpus);
        Usage.Init(PercpuRefInit.Atomic);
    }

    /// <summary>q_usage_counter. Page maps of pmem use it as their reference.</summary>
    public PercpuRef Usage { get; }

    /// <summary>Freezes begun and not undone.</summary>
    public int FreezeDepth => _gate.FreezeDepth;

    public bool IsFreezing => FreezeDepth > 0;

    /// <summary>No new request gets in, ever.</summary>
    public bool IsDying => _gate.IsDying;

    /// <summary>Drained for good.</summary>
    public bool IsDead => _gate.IsDead;

    /// <summary>The condition that a freeze or cleanup waits for: frozen, and nobody inside.</summary>
    public bool IsDrained => Usage.IsZero;

    /// <summary>Times <see cref="Usage"/> descended to 0; each one wakes the waiters.</summary>
    public int Wakeups { get; private set; }

    /// <summary>The queue is registered with its disk: counts per CPU from now on.</summary>
    public PercpuRefSwitch Register() => Usage.SwitchToPercpu();

    /// <summary>A request wants in: flags read and increment in one.</summary>
    public QueueEnter Enter(int cpu = 0) => EnterWith(Usage.ReadFlags(), cpu);

    /// <summary>
    /// Second atomic step of <see cref="Enter"/>, with flags read earlier inside the same read section.
    /// </summary>
    public QueueEnter EnterWith(PercpuRefFlags flags, int cpu = 0) =>
        Usage.TryGetLiveIncrement(flags, cpu) ? QueueEnter.Entered : _gate.Refusal;

    /// <summary>A request is complete.</summary>
    public void Exit(int cpu = 0) => Usage.Put(cpu);

    /// <summary>Begins a freeze; only the first of nested ones kills the counter, so repeating it is safe.</summary>
    /// <returns>The kill; done at once unless it is the first and a mode switch is in flight.</returns>
    public PercpuRefSwitch StartFreeze() => _gate.StartFreeze() ? Usage.Kill() : default;

    /// <summary>Ends a freeze; the last one revives the counter.</summary>
    public PercpuRefSwitch Unfreeze(int cpu = 0) => _gate.Unfreeze() ? Usage.Resurrect(cpu) : default;

    /// <summary>First step of a cleanup: no new requests; begins a freeze and wakes those who wait to get in.</summary>
    public PercpuRefSwitch MarkDying() => _gate.MarkDying() ? Usage.Kill() : default;

    /// <summary>Step of a cleanup after the drain.</summary>
    public void MarkDead() => _gate.MarkDead();

    /// <summary>Makes it new.</summary>
    public void Reset()
    {
        Usage.Init(PercpuRefInit.Atomic);
        _gate.Reset();
        Wakeups = 0;
    }

    public void HashInto(ref ulong hash)
    {
        _gate.HashInto(ref hash);
        Usage.HashInto(ref hash);
    }

    void IPercpuRefEvents.Released(PercpuRef reference) => Wakeups++;
}
