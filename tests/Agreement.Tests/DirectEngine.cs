using Fleet.Kernel;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Agreement.Tests;

/// <summary>
/// The law without anything around it: the procedures called one after another, in one memory, with no agent.
/// </summary>
/// <remarks>
/// A wait that nothing can end yet is looked at again after each operation. What a handle is worth is told by a plain
/// table beside; the contents of pages by another.
/// </remarks>
internal sealed class DirectEngine(KernelProfile profile, IReadOnlyList<PciBar> bars) : IEngine
{
    private readonly PciDevice _device = new();
    private readonly Objects _objects = new();
    private readonly Dictionary<long, P2pAllocation> _live = [];
    private readonly Dictionary<(int Resource, ulong Pfn), ulong> _tags = [];
    private TaskCompletionSource _changed = new();
    private Task? _ticket;
    private long _allocations;
    private bool _died;

    public KernelProfile Profile => profile;

    public RcuDomain Rcu { get; } = new();

    public PagemapRegistry Registry { get; } = new(sectionPages: 4);

    public ValueTask<Result> Alloc(ulong sizeBytes)
    {
        Result result;
        try
        {
            var reply = Now(P2pdmaProcedures.Alloc(new DirectHost(this), _device, sizeBytes));
            var owner = reply.ChosenOwner?.Resource ?? -1;
            result = Result.None with { Err = reply.Err, Owner = owner };
            if (reply.Succeeded)
            {
                var number = ++_allocations;
                _live[number] = reply.Allocation;
                result = result with
                {
                    Number = number,
                    Address = reply.Allocation.Address,
                    Resource = ResourceAt(reply.Allocation.Address),
                };
            }
        }
        catch (KernelOopsException oops)
        {
            result = Result.None with { Err = Errno.EFAULT, Owner = (oops.Subject as P2pPagemap)?.Index ?? -1 };
            LeaveSections();
        }

        Settle();
        return new(result);
    }

    public ValueTask<Result> Free(Held held)
    {
        var result = Result.None with { Err = Errno.EINVAL };
        if (_live.Remove(held.Number, out var memory))
        {
            try
            {
                var err = Now(P2pdmaProcedures.Free(new DirectHost(this), _device, memory));
                result = Result.None with { Err = err, Owner = memory.Owner?.Resource ?? -1 };
            }
            catch (KernelOopsException)
            {
                result = Result.None with { Err = Errno.EFAULT, Owner = memory.Owner?.Resource ?? -1 };
                LeaveSections();
            }
        }

        Settle();
        return new(result);
    }

    public ValueTask<Result> Access(Held held, ulong tag)
    {
        if (!_objects.Latest[held.Resource].Map.IsPresent)
        {
            return new(Result.None with { Err = Errno.EFAULT });
        }

        var page = (held.Resource, held.Address >> DevPagemap.PageShift);
        if (tag != 0)
        {
            _tags[page] = tag;
        }

        return new(Result.None with { Tag = _tags.GetValueOrDefault(page) });
    }

    public ValueTask<Result> Bind()
    {
        if (_device.IsBound)
        {
            return new(Result.None with { Err = Errno.EBUSY });
        }

        var bind = DriverCore.BindP2p(new DirectHost(this), _device, _objects, bars).AsTask();
        Settle();
        _ticket = bind;
        return new(Result.None with { Err = bind.IsCompletedSuccessfully ? bind.Result : Errno.OK });
    }

    public ValueTask<Result> Unbind()
    {
        if (!_device.IsBound)
        {
            return new(Result.None with { Err = Errno.ENODEV });
        }

        _ticket = DriverCore.Unbind(new DirectHost(this), _device).AsTask();
        Settle();
        return new(Result.None);
    }

    public ValueTask<bool> IsOpen(bool isExpected)
    {
        _died |= _ticket is { IsFaulted: true };
        return new(_ticket is { IsCompletedSuccessfully: false });
    }

    /// <summary>A wait that passes once what it waits for is there.</summary>
    public async ValueTask WaitAsync(Func<bool> isReady, Func<ValueTask> pass)
    {
        while (!isReady())
        {
            await _changed.Task;
        }

        await pass();
    }

    private static T Now<T>(ValueTask<T> procedure)
    {
        Assert.True(procedure.IsCompleted);
        return procedure.GetAwaiter().GetResult();
    }

    /// <summary>A task that dies keeps its locks, but no read section: its exit is a quiescent state.</summary>
    private void LeaveSections()
    {
        while (Rcu.IsReading(0))
        {
            Rcu.ExitRead(0);
        }
    }

    private int ResourceAt(ulong address) => _objects.Latest.Values
        .First(one => address - one.Map.StartAddress < one.Map.SizeBytes && address >= one.Map.StartAddress).Index;

    /// <summary>Runs every callback that may run, then lets each wait look.</summary>
    private void Settle()
    {
        while (true)
        {
            Rcu.RunCallbacks();
            var changed = _changed;
            _changed = new();
            changed.SetResult();
            if (!Rcu.RunCallback())
            {
                return;
            }
        }
    }

    private sealed class Objects : P2pdmaObjects
    {
        public Dictionary<int, P2pPagemap> Latest { get; } = [];

        public override PciP2pdma P2pdma() => new();

        public override P2pPool Pool() => new();

        public override RefObject SharedRef(PciP2pdma container) => new(container, -1);

        public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes) =>
            Latest[index] = new(index, bar, startAddress, sizeBytes);
    }
}

/// <summary>The host of a <see cref="DirectEngine"/>: points never suspend; only the wait for holders does.</summary>
internal readonly struct DirectHost(DirectEngine engine) : IDirectHost<DirectHost>
{
    public static bool NeverSuspends => true;

    public KernelProfile Profile => engine.Profile;

    public bool HearsSteps => false;

    public RcuDomain Rcu => engine.Rcu;

    public int ReaderSlot => 0;

    public ulong RcuMask => 0;

    public ulong AllReadersMask => 0;

    public ulong CallbacksMask => 0;

    public PagemapRegistry Registry => engine.Registry;

    public PointAwaiter<DirectHost> Point(Step step, ulong reads, ulong writes) => default;

    public PointAwaiter<DirectHost> Wait(Step step, IReadiness ready, ulong reads, ulong writes)
    {
        while (!ready.IsReady)
        {
            Assert.True(Rcu.RunCallback(), $"Nothing can end the wait at {step}.");
        }

        return default;
    }

    public DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where) =>
        throw new KernelOopsException(kind, subject, where);

    public Errno Inject(FailPoint point, KernelObject? subject) => Errno.OK;

    public void RcuEnter() => Rcu.EnterRead(0);

    public void RcuExit() => Rcu.ExitRead(0);

    public ValueTask Synchronize()
    {
        var since = Rcu.Synchronize();
        while (!Rcu.HasElapsed(since))
        {
            Assert.True(Rcu.RunCallback(), "Nothing can end a grace period.");
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask SysfsRemove(PciDevice device) => ValueTask.CompletedTask;

    public ValueTask<Errno> RefInit(RefObject target, FailPoint failure) => RefProcedures.Init(this, target, failure);

    public ValueTask<bool> RefTryGetLive(RefObject target) => RefProcedures.TryGetLive(this, target);

    public ValueTask RefPut(RefObject target, long count) => RefProcedures.Put(this, target, count);

    public bool RefIsDying(RefObject target) => target.Count!.IsDying;

    public ValueTask RefKill(RefObject target) => RefProcedures.Kill(this, target);

    public ValueTask RefWaitReaped(RefObject target)
    {
        var self = this;
        return engine.WaitAsync(() => target.Reaped.IsDone, () => RefProcedures.WaitReaped(self, target));
    }

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
    }
}
