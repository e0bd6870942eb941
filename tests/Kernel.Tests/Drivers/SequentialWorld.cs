using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Tests.Drivers;

/// <summary>A wait that nothing can end: every callback has run and nobody else is there.</summary>
internal sealed class HungException(Step step) : Exception($"Nothing can end the wait at {step}.")
{
    public Step Step { get; } = step;
}

/// <summary>
/// One machine whose actors run one after another, each to its end, with everything that happens on record.
/// </summary>
/// <remarks>Callbacks run when somebody waits for them, or in <see cref="Settle"/>: as late as they may.</remarks>
internal sealed class SequentialWorld(KernelProfile profile)
{
    private readonly Dictionary<FailPoint, (int Skip, Errno Err)> _failures = [];

    public KernelProfile Profile { get; } = profile;

    public RcuDomain Rcu { get; } = new();

    public PagemapRegistry Registry { get; } = new(sectionPages: 4);

    public IomemResources Iomem { get; } = new();

    public PciDevice Device { get; } = new();

    public NewObjects Objects { get; } = new();

    public List<KernelEvent> Events { get; } = [];

    /// <summary>What somebody else does, or sees, just before a step is done.</summary>
    public Action<Step>? AtPoint { get; set; }

    /// <summary>What a listener sees when it is told.</summary>
    public Action<EventKind>? AtEvent { get; set; }

    /// <summary>Points with what they declare to read and write, and events, in one order.</summary>
    public List<string> Trace { get; } = [];

    public SequentialHost Host => new(this);

    /// <summary>Every warning so far, by class.</summary>
    public IEnumerable<string> Warnings => Events.Where(e => e.Kind is EventKind.Warn).Select(e => e.Text!);

    /// <summary>Makes a step fail once.</summary>
    /// <param name="skip">Times that it succeeds before.</param>
    public void Fail(FailPoint point, Errno err = Errno.OK, int skip = 0) =>
        _failures[point] = (skip, err is Errno.OK ? FailPoints.DefaultErrno(point) : err);

    /// <summary>Whether a step that was to fail was reached.</summary>
    public bool HasFailed(FailPoint point) => !_failures.ContainsKey(point);

    /// <summary>Runs every callback that may run.</summary>
    public void Settle() => Rcu.RunCallbacks();

    public T Run<T>(ValueTask<T> procedure)
    {
        Assert.True(procedure.IsCompleted);
        return procedure.GetAwaiter().GetResult();
    }

    public void Run(ValueTask procedure)
    {
        Assert.True(procedure.IsCompleted);
        procedure.GetAwaiter().GetResult();
    }

    public Errno Bind(DriverState driver) => Run(DriverCore.Bind(Host, Device, driver));

    public Errno BindP2p(params PciBar[] bars) => Run(DriverCore.BindP2p(Host, Device, Objects, bars));

    public void Unbind() => Run(DriverCore.Unbind(Host, Device));

    /// <summary>Names of the functions of one kind of devres event, oldest first.</summary>
    public IEnumerable<string> Devres(EventKind kind) => Events.Where(e => e.Kind == kind).Select(e => e.Fn!);

    internal Errno Inject(FailPoint point)
    {
        if (!_failures.TryGetValue(point, out var plan))
        {
            return Errno.OK;
        }

        if (plan.Skip > 0)
        {
            _failures[point] = (plan.Skip - 1, plan.Err);
            return Errno.OK;
        }

        _failures.Remove(point);
        return plan.Err;
    }

    internal void WaitFor(Step step, Func<bool> isReady)
    {
        while (!isReady())
        {
            if (!Rcu.RunCallback())
            {
                throw new HungException(step);
            }
        }
    }
}

/// <summary>The host of a <see cref="SequentialWorld"/>: points never suspend, waits run callbacks.</summary>
internal readonly struct SequentialHost(SequentialWorld world) : IDirectHost<SequentialHost>
{
    public static bool NeverSuspends => true;

    public KernelProfile Profile => world.Profile;

    public bool HearsSteps => true;

    public RcuDomain Rcu => world.Rcu;

    public int ReaderSlot => 0;

    public ulong RcuMask => 0;

    public ulong AllReadersMask => 0;

    public ulong CallbacksMask => 0;

    public PagemapRegistry Registry => world.Registry;

    public PointAwaiter<SequentialHost> Point(Step step, ulong reads, ulong writes)
    {
        world.Trace.Add($"{step} {reads:x} {writes:x}");
        world.AtPoint?.Invoke(step);
        return default;
    }

    public PointAwaiter<SequentialHost> Wait(Step step, IReadiness ready, ulong reads, ulong writes)
    {
        world.Trace.Add($"{step} {reads:x} {writes:x}");
        world.WaitFor(step, () => ready.IsReady);
        return default;
    }

    public DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where) =>
        throw new KernelOopsException(kind, subject, where);

    public Errno Inject(FailPoint point, KernelObject? subject) => world.Inject(point);

    public void RcuEnter() => Rcu.EnterRead(0);

    public void RcuExit() => Rcu.ExitRead(0);

    public ValueTask Synchronize()
    {
        var since = Rcu.Synchronize();
        var rcu = Rcu;
        world.WaitFor(Step.Synchronize, () => rcu.HasElapsed(since));
        return ValueTask.CompletedTask;
    }

    public ValueTask SysfsRemove(PciDevice device)
    {
        world.WaitFor(Step.SysfsRemove, () => device.Sysfs.Readers == 0);
        return ValueTask.CompletedTask;
    }

    public ValueTask<Errno> RefInit(RefObject target, FailPoint failure) => RefProcedures.Init(this, target, failure);

    public ValueTask<bool> RefTryGetLive(RefObject target) => RefProcedures.TryGetLive(this, target);

    public ValueTask RefPut(RefObject target, long count) => RefProcedures.Put(this, target, count);

    public bool RefIsDying(RefObject target) => target.Count!.IsDying;

    public ValueTask RefKill(RefObject target) => RefProcedures.Kill(this, target);

    public ValueTask RefWaitReaped(RefObject target) => RefProcedures.WaitReaped(this, target);

    public ValueTask RefExit(RefObject target) => RefProcedures.Exit(this, target);

    public ValueTask<DevPagemap?> MapConflict(DevPagemap target) => MapProcedures.Conflict(this, target);

    public ValueTask MapStore(DevPagemap target) => MapProcedures.Store(this, target);

    public ValueTask MemoryAdd(DevPagemap target) => MapProcedures.AddMemory(this, target);

    public ValueTask PagesInit(DevPagemap target) => MapProcedures.InitPages(this, target);

    public ValueTask PutInitialPages(DevPagemap target) => MapProcedures.PutInitialPages(this, target);

    public ValueTask MemoryRemove(DevPagemap target) => MapProcedures.RemoveMemory(this, target);

    public ValueTask MapErase(DevPagemap target) => MapProcedures.Erase(this, target);

    public void Emit(in KernelEvent happened)
    {
        world.Events.Add(happened);
        world.Trace.Add($"{happened.Kind}");
        world.AtEvent?.Invoke(happened.Kind);
    }
}

/// <summary>Makes every object of a binding anew.</summary>
internal sealed class NewObjects : P2pdmaObjects
{
    public List<P2pPagemap> Pagemaps { get; } = [];

    public PciP2pdma? Latest { get; private set; }

    public override PciP2pdma P2pdma() => Latest = new PciP2pdma();

    public override P2pPool Pool() => new();

    public override RefObject SharedRef(PciP2pdma container) => new(container, -1);

    public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes)
    {
        var added = new P2pPagemap(index, bar, startAddress, sizeBytes);
        Pagemaps.Add(added);
        return added;
    }
}
