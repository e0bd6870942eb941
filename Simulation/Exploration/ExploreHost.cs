using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Simulation.Exploration;

/// <summary>The host of one actor of a small world: every point is a choice of the scheduler.</summary>
public readonly struct ExploreHost : IDirectHost<ExploreHost>
{
    private readonly World _world;
    private readonly Actor _actor;

    internal ExploreHost(World world, Actor actor)
    {
        _world = world;
        _actor = actor;
    }

    public static bool NeverSuspends => false;

    public World World => _world;

    public KernelProfile Profile => _world.Profile;

    public bool HearsSteps => _world.Judge.Witness is not null;

    public RcuDomain Rcu => _world.Rcu;

    public int ReaderSlot => _actor.Index;

    public ulong RcuMask => _actor.ReaderMask;

    public ulong AllReadersMask => _world.AllReadersMask;

    public ulong CallbacksMask => _world.CallbacksMask;

    public PagemapRegistry Registry => _world.Registry;

    public PointAwaiter<ExploreHost> Point(Step step, ulong reads, ulong writes)
    {
        _actor.Arm(step, reads, writes, null);
        return new(_actor);
    }

    public PointAwaiter<ExploreHost> Wait(Step step, IReadiness ready, ulong reads, ulong writes)
    {
        _actor.Arm(step, reads, writes, ready);
        if (_actor.RunsFree && !ready.IsReady)
        {
            // A prologue has no scheduler: what it waits for comes now, or its world cannot begin.
            _world.Settle();
            _actor.RunsFree = ready.IsReady;
        }

        return new(_actor);
    }

    public DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where)
    {
        if (kind is OopsKind.UseAfterFree && _world.Scenario.FreedMemoryKeeps)
        {
            _world.Judge.TouchFreed(subject, where);
            return new(survives: true);
        }

        _world.Judge.Die(kind, subject, where);
        return new(survives: false);
    }

    public Errno Inject(FailPoint point, KernelObject? subject) => _world.Inject(point, subject);

    public void RcuEnter()
    {
        _world.Rcu.EnterRead(_actor.Index);
        Tell(EventKind.RcuReadBegin);
    }

    public void RcuExit()
    {
        _world.Rcu.ExitRead(_actor.Index);
        Tell(EventKind.RcuReadEnd);
    }

    public ValueTask Synchronize() => _world.Synchronize(this);

    public ValueTask SysfsRemove(PciDevice device) => _world.SysfsRemove(this, device);

    public void Emit(in KernelEvent happened) => _world.Judge.Emit(happened);

    /// <summary>Tells what only a witness wants to know.</summary>
    internal void Tell(EventKind kind)
    {
        if (HearsSteps)
        {
            Emit(new KernelEvent(kind));
        }
    }

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
