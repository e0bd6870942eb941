using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Memremap;

/// <summary>A percpu_ref with the completion that its release callback fires, as a page map counts on it.</summary>
/// <remarks>
/// The counters are used where the ref lives here (exploration, simulation); in the fleet they live in the resource's
/// grain and this is their name. Source: kernel-model A.1, B.3; p2pdma's release callback completes, nothing else.
/// </remarks>
public sealed class RefObject : KernelObject, IPercpuRefEvents
{
    private byte _countMask;
    private byte _reapedMask;

    /// <param name="container">The object in whose memory it lies: freed with it.</param>
    /// <param name="resource">Index of the resource it counts for; -1 for the one shared by a device.</param>
    public RefObject(KernelObject container, int resource)
        : base(KernelObjectKind.Ref)
    {
        Container = container;
        Resource = resource;
    }

    public KernelObject Container { get; }

    public int Resource { get; }

    /// <summary>How a life begins; a request queue counts centrally until it is registered.</summary>
    public PercpuRefInit InitialMode { get; init; } = PercpuRefInit.AllowReinit;

    /// <summary>A wait polls the count, as for a request queue's drain, instead of using up a completion.</summary>
    public bool IsPolled { get; init; }

    /// <summary>What the count itself is, apart from the flag word; both are part of the same object.</summary>
    public ulong CountMask
    {
        get => SetOfOne.Of(_countMask);
        set => _countMask = SetOfOne.Kept(value);
    }

    /// <summary>What the completion is.</summary>
    public ulong ReapedMask
    {
        get => SetOfOne.Of(_reapedMask);
        set => _reapedMask = SetOfOne.Kept(value);
    }

    /// <summary>Memory is (or was) mapped under it: a ref that never was is no matter of quiescence.</summary>
    public bool BackedMapping { get; internal set; }

    /// <summary>The exit has run; a second one is no event.</summary>
    public bool IsExited { get; internal set; }

    /// <summary>References that were taken and not given back, whatever the count says.</summary>
    internal long Held { get; set; }

    /// <summary>The initial reference was dropped by a kill in this life.</summary>
    internal bool IsKilled { get; set; }

    /// <summary>A kill is seen by other CPUs only some time after it, and before its grace period begins.</summary>
    /// <remarks>A choice of small worlds. Source: kernel-model G (8), H.5.</remarks>
    public bool ShowsKillsLate { get; set; }

    /// <summary>A kill that the other CPUs do not see yet.</summary>
    public bool IsKillHidden { get; internal set; }

    /// <summary>What the count must be: kernel-model A.3, from who holds what.</summary>
    internal long Owed => Held + (IsKilled ? 0 : 1) + (Count!.IsSwitching ? 1 : 0);

    /// <summary>Calls of the release callback in this life.</summary>
    public int Releases { get; private set; }

    /// <summary>The counters; null where the ref lives elsewhere.</summary>
    internal PercpuRef? Count { get; private set; }

    /// <summary>What the release callback fires; a wait reads it and a later life finds it as it was left.</summary>
    /// <remarks>Null where the ref lives elsewhere, and until it is placed.</remarks>
    internal Completion Reaped { get; private set; } = null!;

    /// <summary>References that <see cref="Count"/> holds, a pending mode switch counting 1.</summary>
    internal long Value => Count?.Value ?? 0;

    /// <summary>Who hears what its callbacks do; null where the ref lives elsewhere.</summary>
    internal IKernelListener? Listener { get; private set; }

    /// <summary>Where its callbacks are queued; null where the ref lives elsewhere.</summary>
    internal RcuDomain? Rcu => Count?.Rcu;

    /// <summary>
    /// Makes it live here, counted in one per-CPU counter and switched through <paramref name="rcu"/>.
    /// </summary>
    internal void PlaceHere(RcuDomain rcu, IKernelListener listener)
    {
        if (Count is null)
        {
            Count = new PercpuRef(rcu, this);
            Reaped = new Completion();
        }

        Listener = listener;
    }

    /// <summary>Counts from 1 in a new life, whose completion nobody has fired.</summary>
    internal void BeginLife()
    {
        Count!.Init(InitialMode);
        Held = 0;
        IsKilled = false;
        IsKillHidden = false;
        Reaped.Reinit();
        IsExited = false;
        BackedMapping = false;
        Releases = 0;
    }

    /// <summary>
    /// The kill is seen by everybody from now on; the grace period of its mode switch begins no earlier.
    /// </summary>
    public void ShowKill()
    {
        IsKillHidden = false;
        Rcu!.Restart(Count!);
    }

    /// <summary>Forgets everything, for a new life of the same object.</summary>
    public override void Reset()
    {
        Held = 0;
        IsKilled = false;
        IsKillHidden = false;
        Count?.Reset();
        Reaped?.Reinit();
        IsExited = false;
        IsFreed = false;
        BackedMapping = false;
        Releases = 0;
    }

    void IPercpuRefEvents.Released(PercpuRef reference)
    {
        Releases++;
        Listener!.Emit(new KernelEvent(EventKind.RefZero, this));
        Reaped.CompleteAll();
        Listener!.Emit(new KernelEvent(EventKind.Complete, this));
    }

    void IPercpuRefEvents.Folded(PercpuRef reference, PercpuRefWarn warn) =>
        Listener!.Emit(new KernelEvent(EventKind.SwitchDone, this) { Count = (long)warn });

    ulong IPercpuRefEvents.CallbackTouches => Container.Mask | Mask | CountMask | ReapedMask;

    /// <remarks>An exit frees the per-CPU memory that the callback sums, while the ref itself is still there.</remarks>
    KernelObject? IPercpuRefEvents.CallbackFreedMemory =>
        Container.IsFreed ? Container : IsExited ? this : null;

    public override int PartCount => 3;

    public override ulong PartMask(int part) => part switch { 0 => Mask, 1 => CountMask, _ => ReapedMask };

    public override void HashPart(int part, ref ulong hash)
    {
        switch (part)
        {
            case 0:
                StateHash.Mix(
                    ref hash, (ulong)(Count?.ReadFlags() ?? 0) | (IsExited ? 8UL : 0) | (IsKilled ? 16UL : 0)
                        | (IsKillHidden ? 32UL : 0));
                break;
            case 1:
                StateHash.Mix(ref hash, Value);
                StateHash.Mix(ref hash, Held);
                break;
            default:
                HashReaped(ref hash);
                break;
        }
    }

    public override void HashInto(ref ulong hash)
    {
        Count?.HashInto(ref hash);
        HashReaped(ref hash);
        StateHash.Mix(ref hash, (IsExited ? 1UL : 0) | (BackedMapping ? 2UL : 0));
    }

    private void HashReaped(ref ulong hash)
    {
        if (Reaped is null)
        {
            StateHash.Mix(ref hash, 0UL); // As a completion that nobody has fired.
        }
        else
        {
            Reaped.HashInto(ref hash);
        }
    }
}
