using System.Numerics;
using Fleet.Kernel;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>One PCI device: the law's object, its slot of the refs, its live allocations, tickets and stream.</summary>
/// <remarks>
/// Invariant: the position of an operation is given in the turn in which the law executed it, so the device's own order
/// is the order in which its pool and slot changed. Concurrency: one grain turn; procedures interleave where they wait.
/// Source: design.md 2.2; drivers/base/dd.c for the device lock.
/// </remarks>
public sealed partial class DeviceAgent
{
    private readonly IFleetLinks _links;
    private Position[]? _learned;
    private RunPlan? _run;
    private DevicePlan? _plan;
    private Injection? _injection;
    private Hot _hot;
    private Tally _tally;

    /// <summary>What an alloc or a free reads and writes: side by side, since the rest lies lines away.</summary>
    private struct Hot
    {
        public ObjectLog Log;
        public PciDevice Device;
        public KernelProfile? Profile;
        public HashSet<int>? Barred;
        public HeldAllocations<LiveAllocation> Live;
        public long Allocations;
        public long Frees;
        public bool HasQueue;
        public ReachedObjects? Reached;
    }

    private struct Tally
    {
        public long AllocsRefused;
        public long Reaped;
        public long Binds;
        public long Unbinds;
        public long Oopses;
    }

    private readonly record struct LiveAllocation(P2pAllocation Memory, int Session, Bio? Bio = null);

    /// <param name="key"><c>host/bdf</c>.</param>
    public DeviceAgent(FleetContext context, string key, IFleetLinks links)
    {
        _links = links;
        _hot.Device = new();
        _hot.Log = new(context, context.Objects.Intern($"dev:{key}"));
    }

    public ObjectLog Log => _hot.Log;

    public DevicePlan Plan => _plan!;

    internal KernelProfile Profile => _hot.Profile!;

    /// <summary>Page maps of the same machine that may be in the way; null where none can be.</summary>
    internal IPgmapArrayLink? Neighbours { get; private set; }

    /// <summary>No failure is asked for between the steps that set a page map up: they may be one message.</summary>
    internal bool IsSetUpAtOnce => _injection is null;

    internal bool HasRefPerResource => Profile.Has(KernelSwitch.RefPerResource);

    /// <summary>Says what the device is, and begins an incarnation of it; a second time it changes nothing.</summary>
    /// <remarks>A life that an earlier incarnation left is fenced, here and at the page maps and resources.</remarks>
    /// <param name="kept">What the next incarnation is told to configure itself; null where somebody will do
    /// it.</param>
    /// <param name="cause">Who ended the earlier incarnation; see <see cref="FenceCause"/>.</param>
    /// <exception cref="ArgumentException">The run's profile or the plan's driver is not known.</exception>
    public async ValueTask Configure(
        RunPlan run, DevicePlan plan, KeptPlan? kept = null, string cause = FenceCause.Failover)
    {
        if (_plan is not null)
        {
            return;
        }

        if (!KernelProfile.TryParse(run.Profile, out var profile))
        {
            throw new ArgumentException($"There is no kernel profile \"{run.Profile}\".", nameof(run));
        }

        if (!DriverNames.All.Contains(plan.Driver)
            || (plan.Driver is not DriverNames.P2pdma && plan.Resources.Count != 1))
        {
            throw new ArgumentException(
                $"{plan.Name} cannot be bound to {plan.Resources.Count} ranges of a driver \"{plan.Driver}\".",
                nameof(plan));
        }

        (_run, _plan, _hot.Profile, _hot.HasQueue) = (run, plan, profile, plan.HasQueue);
        _injection = run.Injections.Count == 0 ? null : new Injection(run, plan.Name);
        Neighbours = run.SharesSections ? _links.PgmapArray(plan.Host) : null;
        _mapping = plan.HasPlainMapping ? new(Context, plan.MapName(0)) : null;
        Context.Incarnations.IsFencing = run.IsFenced;
        await Log.OpenAsync(kept);
        if (_mapping is not null)
        {
            await _mapping.OpenAsync();
        }

        if (Log.Before.Life > 0)
        {
            await Recover(cause);
        }

        await CommitAsync();
    }

    /// <summary>What an alloc or a free reaches, for whoever knows that one comes; empty while the device is not
    /// bound.</summary>
    /// <remarks>The same object as long as the agent lives. Only a device that is used has it.</remarks>
    public ReachedObjects Reached
    {
        get
        {
            if (_hot.Reached is null)
            {
                _hot.Reached = new();
                Reach();
            }

            return _hot.Reached;
        }
    }

    /// <summary>pci_alloc_p2pmem for a client.</summary>
    /// <returns>Errors of the law with their position; <see cref="Errno.ESTALE"/> for a barred session,
    /// <see cref="Errno.EFAULT"/> when the modelled kernel died under it.</returns>
    public ValueTask<AllocReply> Alloc(in AllocRequest request)
    {
        if (!Log.IsOpen)
        {
            return new(new AllocReply(Errno.ENODEV, default, 0, 0, -1, -1));
        }

        if (request.KnownGen != 0 && request.KnownGen != Log.Gen && _run!.IsFenced)
        {
            // Addressed to another incarnation, which may have executed it: this one must not do so again.
            return new(new AllocReply(Errno.ENODEV, new(Log.Gen, 0, 0), 0, 0, -1, -1));
        }

        if (IsBarred(request.Session))
        {
            return new(new AllocReply(Errno.ESTALE, default, 0, 0, -1, -1));
        }

        if (_hot.HasQueue)
        {
            return AllocBio(request, _hot.Device.State as PmemDevice);
        }

        var pending = P2pdmaProcedures.Alloc(new FleetHost(this, "client"), _hot.Device, request.SizeBytes);
        return pending.IsCompletedSuccessfully
            ? new(Allocated(request, pending.Result))
            : AllocSlow(request, pending);
    }

    /// <summary>pci_free_p2pmem for a client.</summary>
    /// <returns>
    /// <see cref="Errno.ENODEV"/>: given by another incarnation; <see cref="Errno.ESTALE"/>: the session is barred;
    /// <see cref="Errno.EINVAL"/>: not the caller's, or freed already; none of them executed.
    /// </returns>
    public ValueTask<FreeReply> Free(in FreeRequest request)
    {
        if (request.Gen != Log.Gen || !Log.IsOpen)
        {
            return new(new FreeReply(Errno.ENODEV, default, -1));
        }

        if (IsBarred(request.Session))
        {
            return new(new FreeReply(Errno.ESTALE, default, -1));
        }

        if (!_hot.Live.TryGet(request.Number, out var held) || held.Session != request.Session)
        {
            return new(new FreeReply(Errno.EINVAL, default, -1));
        }

        _hot.Live.Remove(request.Number, out _);
        if (held.Bio is not null)
        {
            return FreeBio(request, held);
        }

        var pending = P2pdmaProcedures.Free(new FleetHost(this, "client"), _hot.Device, held.Memory);
        return pending.IsCompletedSuccessfully
            ? new(Freed(request, held, pending.Result))
            : FreeSlow(request, held, pending);
    }

    /// <summary>Refuses a lapsed session at every page map that it can reach, then frees what it holds.</summary>
    /// <returns>Allocations that were freed.</returns>
    public async ValueTask<long> ReapSession(int session, string name)
    {
        if (!Log.IsOpen || !(_hot.Barred ??= []).Add(session))
        {
            return 0;
        }

        var numbers = HeldBy(session);
        var reaped = Plan.HasPins ? await ReapPins(session, name) : 0;
        if (numbers.Count == 0)
        {
            return reaped;
        }

        try
        {
            foreach (var pagemap in _hot.Device.Resources.ToArray())
            {
                var map = (DeviceMap)pagemap.Map.Handle!;
                Learn(map, await map.Link.Bar(session, name));
            }
        }
        catch (PartLostException)
        {
            return reaped; // The life is over, and with it everything that the session held.
        }

        foreach (var number in numbers)
        {
            if (!_hot.Live.Remove(number, out var held))
            {
                continue;
            }

            reaped++;
            await Reap(number, held, name);
        }

        await CommitAsync();
        return reaped;
    }

    /// <summary>How the device stands.</summary>
    public DeviceReport Report() => new(
        Log.Name, _hot.Device.IsBound,
        new(
            _hot.Allocations, _tally.AllocsRefused, _hot.Frees, _tally.Reaped, _tally.Binds, _tally.Unbinds,
            _tally.Oopses,
            _injection?.Injected ?? 0, _hot.Live.Count),
        OpenTickets());

    internal int Intern(string name) => Context.Objects.Intern(name);

    internal DeviceRef NewRef(int resource, int life)
    {
        var key = Plan.RefKey(resource);
        return new(Context.Objects.Intern($"ref:{key}"), life, _links.Resource(key));
    }

    internal DeviceMap NewMap(int resource, DevPagemap map)
    {
        var key = Plan.ResourceKey(resource);
        return new(Context.Objects.Intern($"map:{key}"), map, _links.Map(key));
    }

    /// <summary>A page map of another device, found in the way of one of this device's.</summary>
    internal DevPagemap NeighbourOf(DevPagemap map, string name)
    {
        var neighbour = new DevPagemap(
            NoContainer.Instance, map.Type, PagemapConsumer.Foreign, map.StartPfn, map.PageCount);
        neighbour.Handle = new DeviceMap(
            Context.Objects.Intern(name), neighbour, _links.Map(name["map:".Length..]));
        return neighbour;
    }

    internal MapRange RangeOf(DevPagemap map) =>
        new(Context.Objects.Name(((DeviceMap)map.Handle!).Id), map.StartPfn, map.PageCount);

    internal MapLife LifeOf(DevPagemap map)
    {
        var resource = map.Container is not P2pPagemap pagemap ? 0 : HasRefPerResource ? pagemap.Index : -1;
        return new(
            map.Life, Log.Gen, Plan.RefKey(resource), map.StartPfn, map.PageCount, map.Type,
            MapProcedures.DropsInBulk(Profile, map));
    }

    internal Errno Inject(FailPoint point)
    {
        var error = _injection?.Next(point) ?? Errno.OK;
        if (error is not Errno.OK)
        {
            Log.Add(EventKind.Inject, actor: "fault", fn: FailPoints.WireName(point), err: error, after: TakeLearned());
        }

        return error;
    }

    /// <summary>Makes what was recorded durable, of the device and of a mapping that it keeps itself.</summary>
    internal ValueTask CommitAsync()
    {
        return _mapping is null ? Log.CommitAsync() : Both();

        async ValueTask Both()
        {
            await Log.CommitAsync();
            await _mapping.CommitAsync();
        }
    }

    /// <summary>Remembers a position at another object: the next event of this device comes after it.</summary>
    /// <exception cref="Incarnations.PartLostException">The other object has lost the life.</exception>
    internal At Learn(DeviceRef counted, At at)
    {
        Demand(counted.Id, counted.Last, at);
        counted.Last = at;
        return Learn(counted.Id, at);
    }

    internal At Learn(DeviceMap map, At at)
    {
        Demand(map.Id, map.Last, at);
        map.Last = at;
        return Learn(map.Id, at);
    }

    internal void Record(in KernelEvent happened, string actor) => Log.Add(
        happened.Kind, actor, NameOf(happened), happened.Start, happened.SizeBytes, happened.Pfn, happened.Count,
        happened.Node, happened.Fn, TextOf(happened), happened.Err, after: AfterOf(happened));

    internal void RecordOops(OopsKind kind, KernelObject? subject, string where, string actor)
    {
        _tally.Oopses++;
        Log.Add(
            EventKind.Oops, actor, MemoryName(subject), fn: where, text: OopsKinds.WireName(kind),
            after: TakeLearned());
    }

    /// <summary>The callback of the mode switch: folds every slot, then lets the resource count exactly.</summary>
    /// <remarks>Runs beside whoever killed the ref: in early profiles nothing orders the removal after it.</remarks>
    internal async Task SwitchAsync(RefObject target, DeviceRef counted)
    {
        var folds = new List<SlotReport> { counted.Slot.Fold(SlotReport.DeviceSlot, Log.Last) };
        for (var i = 0; i < counted.Maps.Count; i++)
        {
            var map = counted.Maps[i];
            var fold = await map.Link.Fold(counted.Life);
            Demand(map.Id, map.Last, fold.At);
            folds.Add(fold);
        }

        if (target.Container.IsFreed)
        {
            RecordOops(
                OopsKind.UseAfterFree, target.Container, "percpu_ref_switch_to_atomic_rcu runs on a freed ref", "rcu");
            await Log.CommitAsync();
            return;
        }

        Learn(counted, await counted.Link.Confirm(counted.Life, [.. folds]));
    }

    private static string KindName(KernelObject subject) => subject.Kind switch
    {
        KernelObjectKind.P2pdma => "p2pdma",
        KernelObjectKind.Pgmap => "p2p_pgmap",
        KernelObjectKind.Pool => "pool",
        KernelObjectKind.Queue => "queue",
        KernelObjectKind.DriverState => "driver",
        _ => "object",
    };

    /// <summary>The name of the memory in which an object lies: what is freed, and must not be touched after.</summary>
    private static int MemoryName(KernelObject? subject) => subject switch
    {
        DevPagemap map => MemoryName(map.Container),
        RefObject { Handle: DeviceRef counted } => counted.Id,
        { } named => named.HandleId,
        _ => 0,
    };

    private static int NameOf(in KernelEvent happened) => happened.Kind switch
    {
        EventKind.AddResourceBegin or EventKind.AddResourceEnd => 0,
        EventKind.TeardownBegin or EventKind.TeardownEnd or EventKind.ConflictHit =>
            happened.Other is DevPagemap { Handle: DeviceMap map } ? map.Id : 0,
        _ => MemoryName(happened.Other),
    };

    private static string? TextOf(in KernelEvent happened) => happened.Kind is EventKind.ObjAlloc or EventKind.ObjFree
        ? KindName(happened.Other!) : happened.Text;

    private At Learn(int obj, At at)
    {
        if (at.Seq != 0)
        {
            var position = new Position(obj, at.Gen, at.Seq, at.Life);
            foreach (ref var known in _learned.AsSpan())
            {
                if (known.Obj == obj)
                {
                    known = position;
                    return at;
                }
            }

            _learned = [.. _learned ?? [], position];
        }

        return at;
    }

    private Position[]? TakeLearned()
    {
        var after = _learned;
        _learned = null;
        return after;
    }

    private Position[]? AfterOf(in KernelEvent happened)
    {
        if (happened.Kind is EventKind.TeardownEnd && happened.Other is DevPagemap map)
        {
            LearnLast(map);
        }
        else if (happened.Kind is EventKind.UnbindEnd)
        {
            foreach (var resource in _hot.Device.Resources)
            {
                LearnLast(resource.Map);
            }

            LearnBound();
        }

        return TakeLearned();
    }

    private void LearnLast(DevPagemap map)
    {
        var known = (DeviceMap)map.Handle!;
        Learn(known.Id, known.Last);
        if (map.Ref?.Handle is DeviceRef counted)
        {
            Learn(counted.Id, counted.Last);
        }
    }

    /// <summary>Finds anew what an alloc or a free reaches, where somebody has asked for it.</summary>
    private void Reach()
    {
        if (_hot.Reached is not { } reached)
        {
            return;
        }

        reached.Clear();
        if (!_hot.Device.IsBound)
        {
            return; // What a binding had is not to be held after it.
        }

        reached.Add(this);
        Log.AddTo(reached);
        _hot.Device.AddTo(reached);
        _hot.Live.AddTo(reached);
        foreach (var resource in _hot.Device.Resources)
        {
            reached.Add(resource);
            reached.Add(resource.Map.Ref);
            reached.Add(resource.Map.Ref?.Handle);
        }
    }

    private FleetContext Context => Log.Context;

    private bool IsBarred(int session) => _hot.Barred is not null && _hot.Barred.Contains(session);

    private List<long> HeldBy(int session)
    {
        var numbers = new List<long>();
        foreach (var (number, held) in _hot.Live.InOrder())
        {
            if (held.Session == session)
            {
                numbers.Add(number);
            }
        }

        return numbers;
    }

    private AllocReply Allocated(in AllocRequest request, in P2pAllocResult result)
    {
        var at = Log.Take();
        var owner = (short)(result.ChosenOwner?.Resource ?? -1);
        AllocReply reply;
        if (result.Succeeded)
        {
            var number = ++_hot.Allocations;
            _hot.Live.Add(number, new(result.Allocation, request.Session));
            reply = new(Errno.OK, at, number, result.Allocation.Address, ResourceAt(result.Allocation), owner);
        }
        else
        {
            _tally.AllocsRefused++;
            reply = new(result.Err, at, 0, 0, -1, owner);
        }

        Observe(request, reply, MemoryName(result.ChosenOwner));
        return reply;
    }

    private async ValueTask<AllocReply> AllocSlow(AllocRequest request, ValueTask<P2pAllocResult> pending)
    {
        AllocReply reply;
        if (!pending.IsCompleted)
        {
            // Only a refusal gives a reference back; its position is that of this turn.
            reply = Allocated(request, new P2pAllocResult(default, Errno.ENOMEM, null));
            await Received(pending);
            return reply;
        }

        try
        {
            reply = Allocated(request, await pending);
        }
        catch (KernelOopsException oops)
        {
            _tally.AllocsRefused++;
            reply = new(Errno.EFAULT, Log.Take(), 0, 0, -1, OwnerIn(oops));
            Observe(request, reply, RefId(reply.Owner));
        }

        await CommitAsync();
        return reply;
    }

    /// <summary>Waits for a resource's receipt. One that has lost the life gives none, and nothing waits for it any
    /// more: what was executed stands.</summary>
    private static async ValueTask Received<T>(ValueTask<T> pending)
    {
        try
        {
            await pending;
        }
        catch (PartLostException)
        {
            return;
        }
    }

    private FreeReply Freed(in FreeRequest request, in LiveAllocation held, Errno err)
    {
        if (BitOperations.IsPow2(++_hot.Frees))
        {
            Reach(); // Tables have grown meanwhile.
        }

        var reply = new FreeReply(err, Log.Take(), (short)(held.Memory.Owner?.Resource ?? -1));
        Observe(request, held, reply);
        return reply;
    }

    private async ValueTask<FreeReply> FreeSlow(FreeRequest request, LiveAllocation held, ValueTask<Errno> pending)
    {
        FreeReply reply;
        if (!pending.IsCompleted)
        {
            // The memory is back in the pool; what is awaited is the resource's receipt of the reference.
            reply = Freed(request, held, Errno.OK);
            await Received(pending);
            return reply;
        }

        try
        {
            reply = Freed(request, held, await pending);
        }
        catch (KernelOopsException)
        {
            reply = Freed(request, held, Errno.EFAULT);
        }

        await CommitAsync();
        return reply;
    }

    /// <summary>
    /// Pins outlive a binding where nothing waits for them, so the page map is asked whatever is bound.
    /// </summary>
    private async ValueTask<long> ReapPins(int session, string name)
    {
        var map = _links.Map(Plan.ResourceKey(0));
        Learn(Context.Objects.Intern(Plan.MapName(0)), await map.Bar(session, name));
        var reaped = await map.Reap(session, name);
        _tally.Reaped += reaped;
        return reaped;
    }

    private async ValueTask Reap(long number, LiveAllocation held, string name)
    {
        _tally.Reaped++;
        if (held.Bio is not null)
        {
            if (!await ReapBio(number, held, name))
            {
                _tally.Reaped--;
            }

            return;
        }

        var pending = P2pdmaProcedures.Free(new FleetHost(this, "reaper"), _hot.Device, held.Memory);
        Log.Add(
            EventKind.Reap, actor: "reaper", other: MemoryName(held.Memory.Owner), start: held.Memory.Address,
            sizeBytes: held.Memory.SizeBytes, text: name, alloc: new(Log.Obj, Log.Gen, number), after: TakeLearned());
        try
        {
            await pending;
        }
        catch (PartLostException)
        {
            return;
        }
        catch (KernelOopsException)
        {
            // The oops is recorded; the reaper goes on with what else the session held.
            _tally.Reaped--;
        }
    }

    private static short OwnerIn(KernelOopsException oops) =>
        oops.Subject is P2pPagemap owner ? (short)owner.Index : (short)-1;

    private short ResourceAt(in P2pAllocation memory)
    {
        if (memory.Owner is { } owner)
        {
            return (short)owner.Resource;
        }

        foreach (var resource in _hot.Device.Resources)
        {
            if (memory.Address - resource.Map.StartAddress < resource.Map.SizeBytes
                && memory.Address >= resource.Map.StartAddress)
            {
                return (short)resource.Index;
            }
        }

        return -1;
    }

    private void Observe(in AllocRequest request, in AllocReply reply, int owner)
    {
        if (Log.IsObserved)
        {
            Log.Observe(new Operation
            {
                Number = request.Op,
                Client = request.Session,
                Session = request.Session,
                Device = Log.Obj,
                Kind = OperationKind.Alloc,
                Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
                Err = reply.Err,
                At = new(Log.Obj, reply.At.Gen, reply.At.Seq, reply.At.Life),
                Alloc = reply.Number == 0 ? default : new(Log.Obj, reply.At.Gen, reply.Number),
                Address = reply.Address,
                SizeBytes = request.SizeBytes,
                Owner = owner,
            });
        }
    }

    private void Observe(in FreeRequest request, in LiveAllocation held, in FreeReply reply)
    {
        if (Log.IsObserved)
        {
            Log.Observe(new Operation
            {
                Number = request.Op,
                Client = request.Session,
                Session = request.Session,
                Device = Log.Obj,
                Kind = OperationKind.Free,
                Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
                Err = reply.Err,
                At = new(Log.Obj, reply.At.Gen, reply.At.Seq, reply.At.Life),
                Alloc = new(Log.Obj, request.Gen, request.Number),
                Address = request.Address,
                SizeBytes = request.SizeBytes,
                Owner = MemoryName(held.Memory.Owner),
            });
        }
    }

    private int RefId(short resource)
    {
        if (resource < 0)
        {
            return 0;
        }

        foreach (var known in _hot.Device.Resources)
        {
            if (known.Index == resource)
            {
                return MemoryName(known.OwnRef);
            }
        }

        return Context.Objects.Intern(Plan.RefName(resource));
    }
}
