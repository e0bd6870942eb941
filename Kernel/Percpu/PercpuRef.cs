namespace Fleet.Kernel;

/// <summary>A reference count that is cheap while alive and exact after <see cref="Kill"/>.</summary>
/// <remarks>
/// Invariant: <see cref="Value"/> is the number of references, the initial one and, while a switch is in flight, the
/// switch's own included. In per-CPU mode no put notices 0: <see cref="IPercpuRefEvents.Released"/> can only come after
/// a switch.
/// All counters are 64 bits wide and wrap, as the kernel's do; misuse gives the kernel's numbers, not an exception.
/// Concurrency: one turn. The two atomic steps of tryget, tryget_live, get and put are also offered apart: the flags
/// read, and what is done with flags read earlier; between the two, inside one read section, a kill may slip in.
/// Source: lib/percpu-refcount.c and include/linux/percpu-refcount.h @ v5.4, kernel-model B.3.
/// Differs: WARN and BUG are values; per-CPU memory that was freed still takes the increments of those who read its
/// pointer.
/// </remarks>
public sealed class PercpuRef : IRcuCallback
{
    /// <summary>
    /// What the central count contains on top while counting is per CPU: it keeps the count away from 0.
    /// </summary>
    internal const long Bias = long.MinValue;

    private readonly RcuDomain _rcu;
    private readonly IPercpuRefEvents _events;
    private readonly long[] _percpu;
    private long _count;
    private int _confirm;
    private PercpuRefFlags _flags;
    private bool _isBiased;
    private bool _isForcedAtomic;
    private bool _isReinitAllowed;

    /// <param name="rcu">Where callbacks of mode switches are queued.</param>
    /// <param name="events">Who is told.</param>
    /// <param name="cpus">Per-CPU counters; cpu arguments are 0 to this, exclusive.</param>
    public PercpuRef(RcuDomain rcu, IPercpuRefEvents events, int cpus = 1)
    {
        _rcu = rcu;
        _events = events;
        _percpu = new long[cpus];
        Reset();
    }

    /// <summary>
    /// The number of references of kernel-model A.3: central plus per-CPU counters, the bias taken off.
    /// </summary>
    public long Value
    {
        get
        {
            if (!_isBiased)
            {
                return _count;
            }

            return unchecked(_count - Bias + (HasPercpuMemory ? Sum() : 0));
        }
    }

    /// <summary>Killed, or exited.</summary>
    public bool IsDying => (_flags & PercpuRefFlags.Dead) != 0;

    /// <summary>Count is 0 as the kernel answers it: never in per-CPU mode, nor before a switch is complete.</summary>
    public bool IsZero => _flags != PercpuRefFlags.None && _count == 0;

    /// <summary>A switch to atomic mode is in flight: its callback has not run.</summary>
    public bool IsSwitching { get; private set; }

    /// <summary>
    /// Whether the per-CPU counters exist: from init to exit, or to the end of a switch that frees them.
    /// </summary>
    public bool HasPercpuMemory { get; private set; }

    /// <summary>Counting is per CPU.</summary>
    public bool IsPercpu => _flags == PercpuRefFlags.None;

    ulong IRcuCallback.Touches => _events.CallbackTouches;

    Host.KernelObject? IRcuCallback.FreedMemory => _events.CallbackFreedMemory;

    internal RcuDomain Rcu => _rcu;

    internal long CentralCount => _count;

    internal ReadOnlySpan<long> PercpuCounts => _percpu;

    /// <summary>Begins a life, also after an earlier one.</summary>
    /// <returns><see cref="Errno.ENOMEM"/> when the per-CPU memory cannot be had; nothing changes then.</returns>
    public Errno Init(PercpuRefInit init, Allocation allocation = Allocation.Succeeds)
    {
        if (allocation is Allocation.Fails)
        {
            return Errno.ENOMEM;
        }

        var isCentral = (init & (PercpuRefInit.Atomic | PercpuRefInit.Dead)) != 0;
        var isDead = (init & PercpuRefInit.Dead) != 0;
        Array.Clear(_percpu);
        HasPercpuMemory = true;
        IsSwitching = false;
        _confirm = 0;
        _isForcedAtomic = (init & PercpuRefInit.Atomic) != 0;
        _isReinitAllowed = isCentral || (init & PercpuRefInit.AllowReinit) != 0;
        _isBiased = !isCentral;
        _flags = (isCentral ? PercpuRefFlags.Atomic : 0) | (isDead ? PercpuRefFlags.Dead : 0);
        _count = unchecked((_isBiased ? Bias : 0) + (isDead ? 0 : 1));
        return Errno.OK;
    }

    /// <summary>First atomic step of get, tryget, tryget_live and put: reads the flags of the pointer word.</summary>
    public PercpuRefFlags ReadFlags() => _flags;

    /// <summary>
    /// Takes <paramref name="count"/> references, whatever the value; from 0 it revives the number, not the ref.
    /// </summary>
    public void Get(int cpu = 0, long count = 1) => GetWith(_flags, cpu, count);

    /// <summary>Second step of <see cref="Get"/>, with flags read earlier.</summary>
    public void GetWith(PercpuRefFlags flags, int cpu = 0, long count = 1) => Add(flags, cpu, count);

    /// <summary>Takes a reference unless the value is known to be 0.</summary>
    public bool TryGet(int cpu = 0) => TryGetWith(_flags, cpu);

    /// <summary>Second step of <see cref="TryGet"/>, with flags read earlier.</summary>
    public bool TryGetWith(PercpuRefFlags flags, int cpu = 0)
    {
        if (flags != PercpuRefFlags.None && _count == 0)
        {
            return false;
        }

        Add(flags, cpu, 1);
        return true;
    }

    /// <summary>Takes a reference unless killed.</summary>
    public bool TryGetLive(int cpu = 0) => TryGetLiveIncrement(_flags, cpu);

    /// <summary>
    /// Second step of <see cref="TryGetLive"/>: the increment, or the refusal, that flags read earlier ask for.
    /// </summary>
    /// <remarks>
    /// May succeed after a kill whose flag the read preceded; the switch waits for the read section around both.
    /// </remarks>
    public bool TryGetLiveIncrement(PercpuRefFlags flags, int cpu = 0) =>
        (flags & PercpuRefFlags.Dead) == 0 && TryGetWith(flags, cpu);

    /// <summary>Gives <paramref name="count"/> references back.</summary>
    /// <returns>True when this brought the count to 0 and <see cref="IPercpuRefEvents.Released"/> was called.</returns>
    public bool Put(int cpu = 0, long count = 1) => PutWith(_flags, cpu, count);

    /// <summary>Second step of <see cref="Put"/>, with flags read earlier.</summary>
    public bool PutWith(PercpuRefFlags flags, int cpu = 0, long count = 1)
    {
        Add(flags, cpu, unchecked(-count));
        if (flags == PercpuRefFlags.None || _count != 0)
        {
            return false;
        }

        _events.Released(this);
        return true;
    }

    /// <summary>Marks the ref dead, begins the switch to exact counting and drops the initial reference.</summary>
    /// <param name="confirm">Number to confirm with once all CPUs see it; 0 for no confirmation.</param>
    /// <remarks>A second kill warns and drops one reference too many.</remarks>
    public PercpuRefSwitch Kill(int confirm = 0)
    {
        var warn = IsDying ? PercpuRefWarn.KilledTwice : PercpuRefWarn.None;
        _flags |= PercpuRefFlags.Dead;
        return new(this, PercpuRefSwitch.Rest.SwitchAndPut, confirm, warn);
    }

    /// <summary>Revives a ref at 0.</summary>
    public PercpuRefSwitch Reinit(int cpu = 0) =>
        Resurrect(IsZero ? PercpuRefWarn.None : PercpuRefWarn.ReinitNotZero, cpu);

    /// <summary>Revives a killed ref, whatever its value, with a new initial reference.</summary>
    public PercpuRefSwitch Resurrect(int cpu = 0) => Resurrect(PercpuRefWarn.None, cpu);

    /// <summary>Counts centrally from now on, across kill and reinit, until <see cref="SwitchToPercpu"/>.</summary>
    /// <param name="confirm">Number to confirm with once all CPUs see it; 0 for no confirmation.</param>
    public PercpuRefSwitch SwitchToAtomic(int confirm = 0)
    {
        _isForcedAtomic = true;
        return new(this, PercpuRefSwitch.Rest.Switch, confirm, PercpuRefWarn.None);
    }

    /// <summary><see cref="SwitchToAtomic"/> that is done only when the switch is complete.</summary>
    public PercpuRefSwitch SwitchToAtomicSync()
    {
        _isForcedAtomic = true;
        return new(this, PercpuRefSwitch.Rest.SwitchAndWait, 0, PercpuRefWarn.None);
    }

    /// <summary>Counts per CPU from now on, or once revived.</summary>
    public PercpuRefSwitch SwitchToPercpu()
    {
        _isForcedAtomic = false;
        return new(this, PercpuRefSwitch.Rest.Switch, 0, PercpuRefWarn.None);
    }

    /// <summary>
    /// Frees the per-CPU memory. Does not wait, does not release, does not cancel a switch in flight.
    /// </summary>
    /// <returns><see cref="PercpuRefWarn.ExitWhileSwitching"/> when one is in flight. A second exit does
    /// nothing.</returns>
    public PercpuRefWarn Exit()
    {
        if (!HasPercpuMemory)
        {
            return PercpuRefWarn.None;
        }

        HasPercpuMemory = false;
        _flags = PercpuRefFlags.Atomic | PercpuRefFlags.Dead;
        return IsSwitching ? PercpuRefWarn.ExitWhileSwitching : PercpuRefWarn.None;
    }

    /// <summary>
    /// Ends the switch in flight: folds the per-CPU counters into the central one, confirms, drops the switch's
    /// reference.
    /// </summary>
    /// <remarks>Warnings go to <see cref="IPercpuRefEvents.Folded"/>.</remarks>
    public void RunAfterGracePeriod()
    {
        _count = unchecked(_count + (HasPercpuMemory ? Sum() : 0) - Bias);
        _isBiased = false;
        _events.Folded(this,
            (HasPercpuMemory ? PercpuRefWarn.None : PercpuRefWarn.SummedFreedMemory)
            | (_count <= 0 ? PercpuRefWarn.NotPositiveAfterSwitch : PercpuRefWarn.None));
        if (_confirm != 0)
        {
            _events.Confirmed(this, _confirm);
        }

        _confirm = 0;
        IsSwitching = false;
        if (!_isReinitAllowed)
        {
            Exit();
        }

        Put();
    }

    /// <summary>Makes it memory that was never initialised, for reuse: dead, at 0, without per-CPU memory.</summary>
    /// <remarks>A callback still queued in the domain must be dropped too (<see cref="RcuDomain.Reset"/>).</remarks>
    public void Reset()
    {
        _count = 0;
        _confirm = 0;
        _flags = PercpuRefFlags.Atomic | PercpuRefFlags.Dead;
        _isBiased = false;
        _isForcedAtomic = false;
        _isReinitAllowed = false;
        IsSwitching = false;
        HasPercpuMemory = false;
    }

    /// <summary>Folds in all state that decides the future; per-CPU counters only where they still count.</summary>
    public void HashInto(ref ulong hash)
    {
        var bits = (ulong)_flags
            | (_isBiased ? 4UL : 0) | (_isForcedAtomic ? 8UL : 0) | (_isReinitAllowed ? 16UL : 0)
            | (IsSwitching ? 32UL : 0) | (HasPercpuMemory ? 64UL : 0);
        StateHash.Mix(ref hash, bits | ((ulong)(uint)_confirm << 32));
        StateHash.Mix(ref hash, _count);
        if (_isBiased && HasPercpuMemory)
        {
            foreach (var counter in _percpu)
            {
                StateHash.Mix(ref hash, counter);
            }
        }
    }

    /// <summary>Switches to the mode that the flags ask for; no earlier switch is in flight.</summary>
    internal PercpuRefWarn SwitchMode(int confirm)
    {
        if (_isForcedAtomic || IsDying)
        {
            ToAtomic(confirm);
            return PercpuRefWarn.None;
        }

        return ToPercpu();
    }

    /// <summary>Drops the initial reference at the end of a kill; in kernel terms with the switch lock held.</summary>
    internal void DropInitial() => Put();

    private PercpuRefSwitch Resurrect(PercpuRefWarn warn, int cpu)
    {
        var all = warn
            | (IsDying ? PercpuRefWarn.None : PercpuRefWarn.ResurrectNotDead)
            | (IsPercpu ? PercpuRefWarn.ResurrectWhilePercpu : PercpuRefWarn.None);
        _flags &= ~PercpuRefFlags.Dead;
        Get(cpu);
        return new(this, PercpuRefSwitch.Rest.Switch, 0, all);
    }

    private void ToAtomic(int confirm)
    {
        if ((_flags & PercpuRefFlags.Atomic) != 0)
        {
            if (confirm != 0)
            {
                _events.Confirmed(this, confirm);
            }

            return;
        }

        _flags |= PercpuRefFlags.Atomic;
        _confirm = confirm;
        IsSwitching = true;
        Get();
        _rcu.Call(this);
    }

    private PercpuRefWarn ToPercpu()
    {
        if (!HasPercpuMemory)
        {
            return PercpuRefWarn.BugNoPercpuMemory;
        }

        if (IsPercpu)
        {
            return PercpuRefWarn.None;
        }

        if (!_isReinitAllowed)
        {
            return PercpuRefWarn.ToPercpuWithoutReinit;
        }

        Array.Clear(_percpu);
        _count = unchecked(_count + Bias);
        _isBiased = true;
        _flags &= ~PercpuRefFlags.Atomic;
        return PercpuRefWarn.None;
    }

    private void Add(PercpuRefFlags flags, int cpu, long count)
    {
        if (flags == PercpuRefFlags.None)
        {
            _percpu[cpu] = unchecked(_percpu[cpu] + count);
        }
        else
        {
            _count = unchecked(_count + count);
        }
    }

    private long Sum()
    {
        var sum = 0L;
        foreach (var counter in _percpu)
        {
            sum = unchecked(sum + counter);
        }

        return sum;
    }
}
