using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;

namespace Fleet.Kernel.Block;

/// <summary>A request queue whose usage counter a page map of pmem may use as its reference.</summary>
/// <remarks>
/// Invariant: its memory is there while <see cref="References"/> is above 0 and until a grace period after; the counter
/// lies in it, so whoever reads the counter later reads freed memory. Kill callback of a page map: start a freeze.
/// Cleanup callback: blk_cleanup_queue. Source: struct request_queue, block/blk-core.c and blk-sysfs.c @ v5.2;
/// kernel-model A.2, B.9, scenarios.md S16, S18.
/// </remarks>
public sealed class RequestQueue : KernelObject, IRcuCallback
{
    private readonly QueueGate _gate = new();

    public RequestQueue()
        : base(KernelObjectKind.Queue) =>
        Usage = new RefObject(this, 0) { InitialMode = PercpuRefInit.Atomic, IsPolled = true };

    /// <summary>q_usage_counter: counts centrally until the queue is registered, then per CPU.</summary>
    public RefObject Usage { get; }

    /// <summary>Freezes begun and not undone; the counter is killed while it is above 0.</summary>
    public int FreezeDepth => _gate.FreezeDepth;

    /// <summary>No new request gets in, ever.</summary>
    public bool IsDying => _gate.IsDying;

    /// <summary>Drained for good.</summary>
    public bool IsDead => _gate.IsDead;

    /// <summary>Requests that entered and have not exited.</summary>
    public int InFlight { get; internal set; }

    /// <summary>Who keeps its memory: the driver, the disk, whoever has the disk open.</summary>
    public int References { get; internal set; }

    /// <summary>Its memory will be freed a grace period from now.</summary>
    public bool IsFreeQueued { get; private set; }

    internal QueueGate Gate => _gate;

    /// <summary>Takes a new life: nobody has frozen it and its driver holds it.</summary>
    internal void Begin()
    {
        _gate.Reset();
        InFlight = 0;
        References = 1;
        IsFreed = false;
        IsFreeQueued = false;
    }

    /// <summary>
    /// Returns the same queue allocated once more: other memory, known to the scheduler by the same sets.
    /// </summary>
    internal RequestQueue Another()
    {
        var another = new RequestQueue { Handle = Handle, HandleId = HandleId, Mask = Mask, Life = Life + 1 };
        another.Usage.Handle = Usage.Handle;
        another.Usage.Mask = Usage.Mask;
        another.Usage.CountMask = Usage.CountMask;
        another.Usage.ReapedMask = Usage.ReapedMask;
        another.Usage.Life = Usage.Life + 1;
        return another;
    }

    /// <summary>Has its memory freed a grace period later.</summary>
    /// <returns>False where no grace period is modelled here: the caller frees it now.</returns>
    internal bool FreeLater()
    {
        IsFreeQueued = true;
        Usage.Rcu?.Call(this);
        return Usage.Rcu is not null;
    }

    internal void Free(IKernelListener listener)
    {
        listener.Emit(new KernelEvent(EventKind.QueueFreed, this));
        listener.Emit(new KernelEvent(EventKind.ObjFree, null, this));
        IsFreed = true;
    }

    void IRcuCallback.RunAfterGracePeriod() => Free(Usage.Listener!);

    ulong IRcuCallback.Touches => Mask;

    /// <remarks>
    /// Who is inside and who keeps it are counted by steps that commute; the last put declares everything.
    /// </remarks>
    public override void HashPart(int part, ref ulong hash) =>
        StateHash.Mix(ref hash, (IsFreed ? 1UL : 0) | (IsDying ? 2UL : 0) | ((ulong)(uint)FreezeDepth << 2));

    public override void Reset()
    {
        base.Reset();
        _gate.Reset();
        InFlight = 0;
        References = 0;
        IsFreeQueued = false;
    }

    public override void HashInto(ref ulong hash)
    {
        base.HashInto(ref hash);
        _gate.HashInto(ref hash);
        StateHash.Mix(ref hash, ((ulong)(uint)References << 1) | (IsFreeQueued ? 1UL : 0));
    }
}
