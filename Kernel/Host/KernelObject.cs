namespace Fleet.Kernel.Host;

/// <summary>What a piece of kernel memory holds; the <c>kind</c> of <c>obj_alloc</c> and <c>obj_free</c>.</summary>
public enum KernelObjectKind : byte
{
    Device, P2pdma, Pgmap, Pool, Ref, Queue, DriverState, Fleet,
}

/// <summary>One object of the modelled kernel that can be touched, freed, and touched after it was freed.</summary>
/// <remarks>
/// Freed memory is poisoned and not reused. Concurrency: the turn or scheduler step of whoever runs the world.
/// </remarks>
public abstract class KernelObject(KernelObjectKind kind)
{
    [NotState]
    private byte _mask;

    public KernelObjectKind Kind { get; } = kind;

    /// <summary>What the host knows it by: a name, a slot, a proxy. The law never looks at it.</summary>
    [field: NotState]
    public object? Handle { get; set; }

    /// <summary>The same as a number, for what is known by no object; use either or both.</summary>
    [field: NotState]
    public int HandleId { get; set; }

    /// <summary>Set of one, for declaring what a step touches; 0 where nobody schedules.</summary>
    /// <exception cref="ArgumentException">A set of several.</exception>
    public ulong Mask
    {
        get => SetOfOne.Of(_mask);
        set => _mask = SetOfOne.Kept(value);
    }

    /// <summary>Its memory has been given back.</summary>
    public bool IsFreed { get; internal set; }

    /// <summary>Which reuse of the modelled object this is, counted from 1.</summary>
    public int Life { get; set; } = 1;

    /// <summary>Parts of its state that steps declare apart from each other, each under its own set.</summary>
    public virtual int PartCount => 1;

    /// <summary>Set of one under which a part is declared; the first is <see cref="Mask"/>.</summary>
    public virtual ulong PartMask(int part) => Mask;

    /// <summary>
    /// Folds in the state of one part: what a step that writes the part may change, and no other step.
    /// </summary>
    public virtual void HashPart(int part, ref ulong hash) => HashInto(ref hash);

    /// <summary>Folds the state that steps can see into <paramref name="hash"/>.</summary>
    public virtual void HashInto(ref ulong hash) => StateHash.Mix(ref hash, IsFreed ? 1UL : 0UL);

    /// <summary>Makes it memory that was never allocated, for the next run of the same world.</summary>
    public virtual void Reset() => IsFreed = false;
}
