using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.LoadTests.Law;

/// <summary>One machine with one device on which one actor runs procedures to their end.</summary>
internal sealed class LawMachine : P2pdmaObjects
{
    private const ulong Page = DevPagemap.PageBytes;
    private static readonly PciBar[] Bars = [new(0, true, 1UL << 40, Page)];
    private readonly PciP2pdma _p2pdma = new();
    private readonly P2pPool _pool = new();
    private readonly P2pPagemap _pagemap = new(0, Bars[0], Bars[0].StartAddress, Page);
    private readonly RefObject _shared;

    public LawMachine() => _shared = new(_p2pdma, -1);

    public PciDevice Device { get; } = new();

    public RcuDomain Rcu { get; } = new();

    public PagemapRegistry Registry { get; } = new(sectionPages: 32_768);

    /// <summary>Binds the device with one resource of one page and unbinds it.</summary>
    public void Cycle<THost>(THost host)
        where THost : struct, IDirectHost<THost>
    {
        Done(DriverCoreBind(host));
        Done(Kernel.Drivers.DriverCore.Unbind(host, Device));
    }

    public void Bind<THost>(THost host)
        where THost : struct, IDirectHost<THost> => Done(DriverCoreBind(host));

    /// <summary>Takes the page and gives it back, references included.</summary>
    public void AllocFree<THost>(THost host)
        where THost : struct, IDirectHost<THost>
    {
        var taken = Done(P2pdmaProcedures.Alloc(host, Device, Page));
        Done(P2pdmaProcedures.Free(host, Device, taken.Allocation));
    }

    public override PciP2pdma P2pdma() => _p2pdma;

    public override P2pPool Pool() => _pool;

    public override RefObject SharedRef(PciP2pdma container) => _shared;

    public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes) => _pagemap;

    private static T Done<T>(ValueTask<T> procedure) => procedure.GetAwaiter().GetResult();

    private static void Done(ValueTask procedure) => procedure.GetAwaiter().GetResult();

    private ValueTask<Errno> DriverCoreBind<THost>(THost host)
        where THost : struct, IDirectHost<THost> =>
        Kernel.Drivers.DriverCore.BindP2p(host, Device, this, Bars);
}

/// <summary>Who hears the events of a <see cref="LawHost{TEar}"/>; a struct, so that nobody costs nothing.</summary>
internal interface IEar
{
    void Hear(in KernelEvent happened);
}

internal readonly struct Nobody : IEar
{
    public void Hear(in KernelEvent happened)
    {
    }
}

/// <summary>Counts the events, as little as a listener can do.</summary>
internal readonly struct Counting(long[] count) : IEar
{
    public void Hear(in KernelEvent happened) => count[(int)happened.Kind]++;
}

/// <summary>The law on one thread: points cost nothing, a wait runs the callbacks that it waits for.</summary>
internal readonly struct LawHost<TEar>(LawMachine machine, TEar ear) : IDirectHost<LawHost<TEar>>
    where TEar : struct, IEar
{
    public static bool NeverSuspends => true;

    public KernelProfile Profile => KernelProfile.Default;

    public bool HearsSteps => typeof(TEar) != typeof(Nobody);

    public RcuDomain Rcu => machine.Rcu;

    public int ReaderSlot => 0;

    public ulong RcuMask => 0;

    public ulong AllReadersMask => 0;

    public ulong CallbacksMask => 0;

    public PagemapRegistry Registry => machine.Registry;

    public PointAwaiter<LawHost<TEar>> Point(Step step, ulong reads, ulong writes) => default;

    public PointAwaiter<LawHost<TEar>> Wait(Step step, IReadiness ready, ulong reads, ulong writes)
    {
        while (!ready.IsReady)
        {
            if (!machine.Rcu.RunCallback())
            {
                throw new InvalidOperationException($"Nothing can end the wait at {step}.");
            }
        }

        return default;
    }

    public DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where) =>
        throw new KernelOopsException(kind, subject, where);

    public Errno Inject(FailPoint point, KernelObject? subject) => Errno.OK;

    public void RcuEnter() => machine.Rcu.EnterRead(0);

    public void RcuExit() => machine.Rcu.ExitRead(0);

    public ValueTask Synchronize() => ValueTask.CompletedTask;

    public ValueTask SysfsRemove(PciDevice device) => ValueTask.CompletedTask;

    public void Emit(in KernelEvent happened) => ear.Hear(happened);

    public ValueTask<Errno> RefInit(RefObject target, FailPoint failure) => RefProcedures.Init(this, target, failure);

    public ValueTask<bool> RefTryGetLive(RefObject target) => RefProcedures.TryGetLive(this, target);

    public ValueTask RefPut(RefObject target, long count) => RefProcedures.Put(this, target, count);

    public bool RefIsDying(RefObject target) => RefProcedures.IsDying(target);

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
}
