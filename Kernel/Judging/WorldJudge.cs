using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Judging;

/// <summary>Judges a small world by its state at each event, so that every rule is decidable on the spot.</summary>
/// <remarks>
/// Invariant: what a rule looks at at an event is declared by the step that the event belongs to; a judge that looked
/// further would make the reduction unsound. Nothing after <see cref="IsOver"/> counts.
/// Concurrency: the scheduler's thread. Source: scenarios.md 2 and 2.1, kernel-model D and I.
/// </remarks>
public sealed class WorldJudge : IKernelListener
{
    /// <summary>Most actors of a world.</summary>
    public const int ActorsMax = 16;

    private const byte Registered = 1;
    private const byte Gone = 2;

    private readonly KernelProfile _profile;
    private readonly PciDevice _device;
    private readonly List<KernelObject> _made = [];
    private readonly List<RefObject> _refs = [];
    private readonly List<DevPagemap> _maps = [];
    private readonly List<LinearMapping> _linear = [];
    private readonly List<P2pAllocation> _live = [];
    private readonly List<RefObject> _healthy = [];
    private readonly List<byte> _nodes = [];
    private readonly PoolJudge _pool;
    private readonly DevPagemap?[] _owedResets = new DevPagemap?[ActorsMax];
    private ulong _inAddResource;
    private ulong _inTeardown;
    private ulong _inShow;
    private int _lastReleased;

    /// <param name="device">The device that events without a subject belong to.</param>
    public WorldJudge(KernelProfile profile, PciDevice device)
    {
        _profile = profile;
        _device = device;
        _pool = new(this);
    }

    /// <summary>Rules broken so far.</summary>
    public RuleSet Broken { get; private set; }

    /// <summary>A fatal event ended the history: the modelled kernel died.</summary>
    public bool IsOver { get; private set; }

    /// <summary>What the fatal event was, in the kernel's words.</summary>
    public string? Death { get; private set; }

    /// <summary>
    /// Who runs now: a number below <see cref="ActorsMax"/> that the scheduler gives before each step.
    /// </summary>
    [field: NotState]
    public int Actor { get; set; }

    /// <summary>Warnings of the kernel so far; they break no rule.</summary>
    public int Warnings { get; private set; }

    /// <summary>Things that clients hold: allocations, page pins, lookups, requests in flight.</summary>
    public int ClientHolds { get; set; }

    /// <summary>Counts the kills, ends of waits and removals so far: where a history stands.</summary>
    public int Kills { get; private set; }

    public int WaitsEnded { get; private set; }

    public int Removals { get; private set; }

    /// <summary>Also hears every event; set while a schedule is shown to a person.</summary>
    public IKernelListener? Witness { get; set; }

    private ulong ActorBit => 1UL << Actor;

    public void Reset()
    {
        Broken = RuleSet.Empty;
        IsOver = false;
        Death = null;
        Actor = 0;
        Warnings = 0;
        ClientHolds = 0;
        Kills = 0;
        WaitsEnded = 0;
        Removals = 0;
        _made.Clear();
        _refs.Clear();
        _maps.Clear();
        _live.Clear();
        _healthy.Clear();
        _linear.Clear();
        _nodes.Clear();
        _inAddResource = 0;
        _inTeardown = 0;
        _inShow = 0;
        _lastReleased = int.MaxValue;
        _pool.Reset();
        Array.Clear(_owedResets);
    }

    /// <summary>The kernel dies under the running actor: the history ends here.</summary>
    public void Die(OopsKind kind, KernelObject? subject, string where)
    {
        if (IsOver)
        {
            return;
        }

        Break(kind switch
        {
            OopsKind.NullDereference => KernelRule.NoNullDeref,
            OopsKind.UseAfterFree => KernelRule.ObjLive,
            OopsKind.RemovedMemory => KernelRule.NoUseAfterRemove,
            _ => subject is P2pPool { IsFreed: true } ? KernelRule.DestroyEmpty : KernelRule.FreeMatchesAlloc,
        });
        if ((_inShow & ActorBit) != 0)
        {
            Break(KernelRule.SysfsSafe);
        }

        Witness?.Emit(new KernelEvent(EventKind.Oops, null, subject) { Text = OopsKinds.WireName(kind), Fn = where });
        Death = $"{OopsKinds.WireName(kind)}: {where}";
        IsOver = true;
    }

    /// <summary>Freed memory was touched that still has its contents: a defect, and the kernel lives on.</summary>
    public void TouchFreed(KernelObject? subject, string where)
    {
        if (IsOver)
        {
            return;
        }

        Witness?.Emit(new KernelEvent(EventKind.Oops, null, subject)
        {
            Text = OopsKinds.WireName(OopsKind.UseAfterFree),
            Fn = where,
        });
        Break(KernelRule.ObjLive);
        if ((_inShow & ActorBit) != 0)
        {
            Break(KernelRule.SysfsSafe);
        }
    }

    public void Emit(in KernelEvent happened)
    {
        if (IsOver)
        {
            return;
        }

        Witness?.Emit(happened);
        switch (happened.Kind)
        {
            case EventKind.MemoryRemove:
                Removals++;
                BreakIf(happened.Subject is DevPagemap { Ref.Value: not 0 }, KernelRule.ReapBeforeRemove);
                break;
            case EventKind.MemoryAdd or EventKind.MapStore:
                OnMapped(happened.Subject);
                break;
            case EventKind.MapLookup:
                OnLookup((DevPagemap?)happened.Subject, (RefObject?)happened.Other, happened.Fn);
                break;
            case EventKind.RefInit:
                Remember(_refs, (RefObject)happened.Subject!);
                break;
            case EventKind.RefGet:
                BreakIf(happened.Count == 0, KernelRule.NoGetFromZero);
                break;
            case EventKind.RefTrygetLive:
                _pool.OnTryGetLive(Actor, (RefObject)happened.Subject!);
                OnTryGetLive((RefObject)happened.Subject!, (PercpuRefFlags)happened.Count);
                break;
            case EventKind.RefKill:
                Kills++;
                BreakIf(happened.Text is not null, KernelRule.KillOnce);
                break;
            case EventKind.RefZero:
                BreakIf(((RefObject)happened.Subject!).Owed != 0, KernelRule.CountConservation);
                break;
            case EventKind.RefExit:
                OnRefExit((RefObject)happened.Subject!);
                break;
            case EventKind.WaitEnd:
                WaitsEnded++;
                BreakIf(happened.Count != 0, KernelRule.WaitEffective);
                break;
            case EventKind.PageGet or EventKind.PagePut:
                BreakIf(
                    happened.Text == "hand-out"
                        ? happened.Count != ((DevPagemap)happened.Subject!).IdleCount
                        : happened.Count < 0,
                    KernelRule.PageCountNonneg);
                break;
            case EventKind.ObjAlloc:
                Remember(_made, happened.Other!);
                break;
            case EventKind.ObjFree:
                OnFree(happened.Other!);
                break;
            case EventKind.PoolCreate:
                Remember(_made, happened.Other!);
                break;
            case EventKind.RefPut:
                _pool.OnPut(Actor, (RefObject)happened.Subject!);
                break;
            case EventKind.PoolDestroy:
                BreakIf(((P2pPool)happened.Other!).InFlight != 0, KernelRule.DestroyEmpty);
                _pool.OnDestroy((P2pPool)happened.Other!);
                break;
            case EventKind.ChunkAdd:
                _pool.OnChunk(happened.Start, happened.SizeBytes, (RefObject?)happened.Other);
                break;
            case EventKind.AllocBegin:
                _pool.OnAllocBegin(Actor, (P2pPool)happened.Other!, happened.SizeBytes);
                break;
            case EventKind.AllocEnd:
                _pool.OnAllocEnd(Actor, (P2pPool)happened.Other!, happened.Err is Errno.OK, happened.Start);
                break;
            case EventKind.FreeBegin:
                LetGo((P2pPool)happened.Other!, happened.Start);
                _pool.OnFreeBegin(Actor, (P2pPool)happened.Other!);
                break;
            case EventKind.FreeEnd:
                _pool.OnFreeEnd(Actor, happened.Start, (RefObject?)happened.Other, happened.Err is Errno.OK);
                break;
            case EventKind.FieldSet:
                _pool.IsCleared = false;
                break;
            case EventKind.FieldClear:
                _pool.IsCleared = true;
                break;
            case EventKind.FieldRead:
                OnFieldRead(happened);
                break;
            case EventKind.ActionAddFailed:
                OnActionAddFailed(happened);
                break;
            case EventKind.ChunkTry:
                BreakIf(((RefObject)happened.Other!).Container.IsFreed, KernelRule.OwnerAlive);
                break;
            case EventKind.AddResourceBegin:
                OnAddResourceBegin();
                break;
            case EventKind.AddResourceEnd:
                OnAddResourceEnd(happened.Err, (P2pPagemap?)happened.Other);
                break;
            case EventKind.TeardownEnd:
                OnTeardownEnd((DevPagemap)happened.Other!);
                break;
            case EventKind.DevresAdd:
                Become(happened.Node, Registered);
                break;
            case EventKind.DevresRun:
                OnRun(happened);
                break;
            case EventKind.DevresRemove or EventKind.DevresFree:
                Leave(happened.Node);
                break;
            case EventKind.UnbindBegin:
                _inTeardown |= ActorBit;
                break;
            case EventKind.ReleaseAllBegin:
                _inTeardown |= ActorBit;
                _lastReleased = int.MaxValue;
                break;
            case EventKind.ReleaseAllEnd:
                _lastReleased = int.MaxValue;
                BreakIf(_nodes.Contains(Registered), KernelRule.ExactlyOnce);
                break;
            case EventKind.UnbindEnd:
                _inTeardown &= ~ActorBit;
                BreakIf(!IsQuiescent(), KernelRule.UnbindQuiescent);
                break;
            case EventKind.BindEnd:
                OnBindEnd(happened.Err);
                break;
            case EventKind.SysfsShowBegin:
                _inShow |= ActorBit;
                break;
            case EventKind.SysfsShowEnd:
                _inShow &= ~ActorBit;
                break;
            case EventKind.Warn:
                Warnings++;
                break;
        }
    }

    /// <summary>A client's alloc returned.</summary>
    /// <param name="expectsRoom">Nothing ran beside it, so a resource that was added well must serve it if it has
    /// room.</param>
    public void AllocReturned(in P2pAllocResult result, ulong sizeBytes, bool expectsRoom)
    {
        if (IsOver)
        {
            return;
        }

        if (!result.Succeeded)
        {
            BreakIf(expectsRoom && HasRoom(sizeBytes), KernelRule.NoPermanentRefusal);
            _pool.OnReturned(Actor);
            return;
        }

        foreach (var other in _live)
        {
            BreakIf(
                ReferenceEquals(other.Pool, result.Allocation.Pool)
                && result.Allocation.Address < other.Address + other.SizeBytes
                && other.Address < result.Allocation.Address + sizeBytes,
                KernelRule.NoOverlap);
        }

        _pool.OnAllocated(Actor, result.Allocation, SharedRef());
        _pool.OnReturned(Actor);
        _live.Add(result.Allocation);
        ClientHolds++;
    }

    /// <summary>A client has given an allocation back.</summary>
    public void FreeReturned(in P2pAllocation allocation)
    {
        if (!IsOver)
        {
            _pool.OnFreed(Actor, allocation, SharedRef());
            _pool.OnReturned(Actor);
        }

        ClientHolds--;
    }

    /// <summary>Judges what only the end of a history shows.</summary>
    /// <param name="blocked">Actors, as bits, that can never step again and have not finished; 0 for a complete
    /// history.</param>
    public void End(ulong blocked)
    {
        if (IsOver)
        {
            return;
        }

        foreach (var counted in _refs)
        {
            var isDone = counted is { IsKilled: true, Held: 0, Releases: 0, IsExited: false };
            BreakIf(isDone && !counted.Count!.IsSwitching, KernelRule.KillProgress);
        }

        if (blocked == 0)
        {
            OnComplete();
            return;
        }

        if ((blocked & _inAddResource) != 0)
        {
            Break(KernelRule.ErrorPathTerminates);
        }
        else if ((blocked & _inTeardown) != 0 && ClientHolds == 0)
        {
            Break(KernelRule.UnbindLive);
        }
    }

    /// <summary>From the begin of a free on the memory may be somebody else's.</summary>
    private void LetGo(P2pPool pool, ulong address)
    {
        for (var i = _live.Count - 1; i >= 0; i--)
        {
            if (_live[i].Address == address && ReferenceEquals(_live[i].Pool, pool))
            {
                _live.RemoveAt(i);
                return;
            }
        }
    }

    private static void Remember<T>(List<T> list, T one)
        where T : class
    {
        if (!list.Contains(one))
        {
            list.Add(one);
        }
    }

    internal void Break(KernelRule rule) => Broken |= rule;

    internal void BreakIf(bool isBroken, KernelRule rule)
    {
        if (isBroken)
        {
            Broken |= rule;
        }
    }

    private void OnTryGetLive(RefObject target, PercpuRefFlags flags) =>
        BreakIf(
            (flags & PercpuRefFlags.Dead) == 0 && target.IsKilled && !target.Count!.IsSwitching,
            KernelRule.LiveFailsAfterConfirm);

    private void OnRefExit(RefObject target)
    {
        var isUnused = target is { IsKilled: false, BackedMapping: false, Held: 0, Value: 1 };
        BreakIf(target.Value != 0 && !isUnused, KernelRule.ExitAfterZero);
        BreakIf(target.Count!.IsSwitching, KernelRule.ExitNotSwitching);
    }

    private void OnFree(KernelObject freed)
    {
        foreach (var map in _maps)
        {
            BreakIf(
                ReferenceEquals(map.Container, freed) && (map.IsStored || !map.ErasedForGood),
                KernelRule.MapErasedBeforeFree);
        }
    }

    private void OnMapped(KernelObject? mapped)
    {
        if (mapped is DevPagemap map)
        {
            Remember(_maps, map);
        }
        else if (mapped is LinearMapping linear)
        {
            Remember(_linear, linear);
        }
    }

    private void OnLookup(DevPagemap? map, RefObject? counted, string? what)
    {
        switch (what)
        {
            case "flags" or "increment":
                BreakIf(counted!.IsExited || counted.Container.IsFreed, KernelRule.LookupSafe);
                break;
            case "found":
                BreakIf(map is { IsPresent: false, WasRemoved: true }, KernelRule.LookupSafe);
                break;
        }
    }

    private void OnAddResourceBegin()
    {
        _inAddResource |= ActorBit;
        _healthy.Clear();
        foreach (var added in _device.Resources)
        {
            if (added.Map.Ref is { IsKilled: false } alive)
            {
                _healthy.Add(alive);
            }
        }
    }

    private void OnFieldRead(in KernelEvent read)
    {
        if (read.Fn == "test")
        {
            _pool.OnFieldTest(Actor);
        }
        else
        {
            BreakIf(read.Count != 0 && _device.Field is null, KernelRule.PublishedImpliesSetup);
        }
    }

    /// <summary>
    /// A registration failed: its function has to run before the call that asked for it returns. Only a mapping's
    /// release leaves a trace of having run.
    /// </summary>
    private void OnActionAddFailed(in KernelEvent failed)
    {
        foreach (var map in _maps)
        {
            if (failed.Fn == DevresFns.WireName(DevresFn.MemremapRelease)
                && ReferenceEquals(map.Container, failed.Other))
            {
                _owedResets[Actor] = map;
            }
        }
    }

    private void OnRegistrationReturned()
    {
        if (_owedResets[Actor] is not { } owed)
        {
            return;
        }

        Break(KernelRule.OrReset);
        _owedResets[Actor] = null;
    }

    private RefObject? SharedRef()
    {
        foreach (var counted in _refs)
        {
            if (counted is { Resource: -1, Container: PciP2pdma })
            {
                return counted;
            }
        }

        return null;
    }

    private void OnAddResourceEnd(Errno error, P2pPagemap? added)
    {
        _inAddResource &= ~ActorBit;
        OnRegistrationReturned();
        foreach (var other in _healthy)
        {
            BreakIf(error is not Errno.OK && other.IsKilled, KernelRule.ResIndep);
        }

        _healthy.Clear();
        if (error is Errno.OK)
        {
            return;
        }

        if (added is null)
        {
            return;
        }

        var hasResidue = added.Map.IsPresent || added.Map.IsStored;
        foreach (var node in _device.Devres.Nodes)
        {
            hasResidue |= ReferenceEquals(node.Data, added) || ReferenceEquals(node.Data, added.Map);
        }

        BreakIf(hasResidue, KernelRule.ErrorNoResidue);
    }

    private void OnTeardownEnd(DevPagemap map)
    {
        BreakIf(
            _profile.Has(KernelSwitch.RequireCleanup) && map.HasCleanupCallback
            && map is not { KillCalls: 1, CleanupCalls: 1 },
            KernelRule.CleanupOnceAfterKill);
        if (ReferenceEquals(_owedResets[Actor], map))
        {
            _owedResets[Actor] = null;
            foreach (var node in _device.Devres.Nodes)
            {
                BreakIf(
                    node.Fn == (int)DevresFn.MemremapRelease && ReferenceEquals(node.Data, map), KernelRule.OrReset);
            }
        }
    }

    private void OnRun(in KernelEvent run)
    {
        Leave(run.Node);
        if (_lastReleased != int.MaxValue || (_inTeardown & ActorBit) != 0)
        {
            BreakIf(run.Node > _lastReleased, KernelRule.Lifo);
            _lastReleased = run.Node;
        }

        var data = run.Text == "action" ? run.Other : null;
        var memory = data switch
        {
            // The data of p2pdma's own actions is the device, whatever the law keeps beside it.
            PciP2pdma => null,
            DevPagemap map => map.Container,
            RefObject counted => counted.Container,
            _ => data,
        };
        BreakIf(memory is { IsFreed: true }, KernelRule.NoStaleData);
    }

    private void Leave(int node)
    {
        BreakIf(node >= _nodes.Count || _nodes[node] != Registered, KernelRule.ExactlyOnce);
        Become(node, Gone);
    }

    /// <summary>Nodes are numbered in the order of their registration.</summary>
    private void Become(int node, byte what)
    {
        while (_nodes.Count <= node)
        {
            _nodes.Add(0);
        }

        _nodes[node] = what;
    }

    private void OnBindEnd(Errno error)
    {
        OnRegistrationReturned();
        if ((_inTeardown & ActorBit) != 0)
        {
            _inTeardown &= ~ActorBit;
            BreakIf(error is not Errno.OK && !IsQuiescent(), KernelRule.ProbeFailQuiescent);
        }
    }

    /// <summary>Nothing of the binding is left: kernel-model I34, refs that never backed a mapping excepted.</summary>
    private bool IsQuiescent()
    {
        foreach (var map in _maps)
        {
            if (map.Consumer is not PagemapConsumer.Foreign && (map.IsPresent || map.IsStored || map.PinnedPages > 0))
            {
                return false;
            }
        }

        foreach (var counted in _refs)
        {
            if (counted is { BackedMapping: true, IsExited: false })
            {
                return false;
            }
        }

        foreach (var made in _made)
        {
            if (made is P2pPool { IsFreed: false })
            {
                return false;
            }
        }

        foreach (var linear in _linear)
        {
            if (linear.IsMapped)
            {
                return false;
            }
        }

        return _device.Field is null && !_device.Sysfs.Exists;
    }

    private void OnComplete()
    {
        foreach (var counted in _refs)
        {
            BreakIf(!counted.IsExited && counted.Value != counted.Owed, KernelRule.CountConservation);
            BreakIf(
                counted.Count!.HasPercpuMemory && counted.Container.Kind is not KernelObjectKind.Fleet,
                KernelRule.NoLeak);
        }

        foreach (var made in _made)
        {
            BreakIf(!made.IsFreed, KernelRule.NoLeak);
        }

        foreach (var map in _maps)
        {
            BreakIf(map.Consumer is not PagemapConsumer.Foreign && map.IsPresent, KernelRule.NoLeak);
        }

        foreach (var linear in _linear)
        {
            BreakIf(linear.IsMapped, KernelRule.NoLeak);
        }
    }

    private bool HasRoom(ulong sizeBytes)
    {
        foreach (var added in _device.Resources)
        {
            foreach (var chunk in _device.Field?.Pool?.Pool.Chunks ?? [])
            {
                if (added.Contains(chunk.Start) && chunk.AvailBytes >= sizeBytes)
                {
                    return true;
                }
            }
        }

        return false;
    }
}
