using System.Numerics;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Maps;

/// <summary>
/// One page map: its memory and page counts, what is written on the pages, its slot of the ref, the barred sessions.
/// </summary>
/// <remarks>
/// Nothing here protects a page from anybody: whoever names it reaches it, as on the machine. Only the fences refuse:
/// a handle of another incarnation of the device, and a session that lapsed.
/// Concurrency: one grain turn. Source: kernel-model B.4 to B.7, A.3; design.md 2.2.
/// </remarks>
public sealed partial class MapAgent
{
    private readonly Func<ObjectLog, string, IResourceLink> _resources;
    private RefSlot _slot;
    private readonly int _bar;
    private readonly int _device;
    private DevPagemap? _map;
    private PageTags _tags;
    private IResourceLink? _resource;
    private HashSet<int>? _barred;
    private int _reference;
    private int _deviceGen;
    private int _life;
    private bool _dropsInBulk;
    private Dictionary<long, Pin>? _pins;
    private long _pinsMade;
    private ReachedObjects? _reached;
    private long _accesses;

    /// <summary>A page that a session pins; it outlives the mapping where nothing waits for it.</summary>
    private readonly record struct Pin(ulong Pfn, int Session);

    /// <param name="key"><c>host/bdf/bar4</c> or <c>host/nd:REGION/range0</c>.</param>
    /// <param name="resources">Links of an object to resources, by key; asked for one when it is first used.</param>
    public MapAgent(FleetContext context, string key, Func<ObjectLog, string, IResourceLink> resources)
    {
        Log = new(context, context.Objects.Intern($"map:{key}"));
        _resources = resources;
        var slash = key.LastIndexOf('/');
        _device = context.Objects.Intern($"dev:{key.AsSpan(0, slash)}");

        // A device without BARs has one range, whose page map counts in slot 0.
        var resource = key.AsSpan(slash + 1);
        _bar = resource is DevicePlan.RangeName ? 0 : int.Parse(resource["bar".Length..]);
    }

    public ObjectLog Log { get; }

    /// <summary>What an access reaches, for whoever knows that one comes; empty while nothing is mapped.</summary>
    /// <remarks>The same object as long as the agent lives. Only a page map that is used has it.</remarks>
    public ReachedObjects Reached
    {
        get
        {
            if (_reached is null)
            {
                _reached = new();
                Reach();
            }

            return _reached;
        }
    }

    public At Store(MapLife life, At cause)
    {
        _life = life.Life;
        _deviceGen = life.DeviceGen;
        _dropsInBulk = life.DropsInBulk;
        Log.Life = life.Life;
        _map = new DevPagemap(
            NoContainer.Instance, life.Type, PagemapConsumer.Foreign, life.StartPfn, life.PageCount)
        {
            IsStored = true,
        };
        _resource = null;
        _reference = Log.Context.Objects.Intern($"ref:{life.ResourceKey}");
        return Range(EventKind.MapStore, [Device(cause)]);
    }

    public At AddMemory(int life, At cause)
    {
        if (life != _life)
        {
            return Log.Last;
        }

        _map!.IsPresent = true;
        return Range(EventKind.MemoryAdd, [Device(cause)]);
    }

    /// <summary>
    /// Gives each page its count and each count its reference; a ref that is dead already is told at once.
    /// </summary>
    public ValueTask<At> InitPages(int life, RefSlotState slot, At cause)
    {
        if (life != _life)
        {
            return new(Log.Last);
        }

        _map!.InitPages();
        _slot.Begin(slot);
        _slot.Get(_map.PageCount);
        Reach();
        return Counted(Range(EventKind.PagesInit, [Device(cause)]));
    }

    /// <summary><see cref="Store"/>, <see cref="AddMemory"/> and <see cref="InitPages"/>, in one turn.</summary>
    public ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause)
    {
        Store(life, cause);
        AddMemory(life.Life, cause);
        return InitPages(life.Life, slot, cause);
    }

    public SlotReport Fold(int life) => life == _life ? _slot.Fold(_bar, Log.Last) : default;

    public ValueTask<At> PutInitial(int life, At cause)
    {
        if (life != _life || !_map!.HoldsInitialCounts)
        {
            return new(Log.Last);
        }

        // A page that somebody pins keeps its reference until that pin goes, unless all references are dropped at once;
        // one that was put too often falls below zero and drops nothing.
        _map.HoldsInitialCounts = false;
        _slot.Put(_dropsInBulk ? _map.PageCount : _map.PageCount - _map.CountedApart);
        return Counted(Log.Add(
            EventKind.PagePut, actor: "unbind", pfn: _map.StartPfn, count: _map.CountOf(_map.StartPfn), text: "init",
            after: [Device(cause)]));
    }

    public At Remove(int life, At cause, At reference)
    {
        if (life != _life)
        {
            return Log.Last;
        }

        var at = Range(
            EventKind.MemoryRemove,
            reference.Seq == 0 ? [Device(cause)]
                : [Device(cause), new(_reference, reference.Gen, reference.Seq, reference.Life)]);
        _map!.IsPresent = false;
        _map.WasRemoved = true;
        return at;
    }

    /// <summary>
    /// Takes the entry out and waits for its readers: turns are the read sections, so none is open here.
    /// </summary>
    public At Erase(int life, At cause)
    {
        if (life != _life)
        {
            return Log.Last;
        }

        _map!.IsStored = false;
        _reached?.Clear();
        Range(EventKind.MapErase, [Device(cause)]);
        Log.Add(EventKind.GpWaitBegin);
        _map.ErasedForGood = true;
        return Log.Add(EventKind.GpWaitEnd);
    }

    public At Bar(int session, string name) =>
        (_barred ??= []).Add(session) ? Log.Add(EventKind.Barred, actor: "reaper", text: name) : Log.Last;

    /// <summary>Puts every page that a session pins.</summary>
    public async ValueTask<long> Reap(int session)
    {
        var numbers = _pins?.Where(pin => pin.Value.Session == session).Select(pin => pin.Key).Order().ToList() ?? [];
        foreach (var number in numbers)
        {
            if (_pins!.Remove(number, out var pin))
            {
                await PutPage(number, pin, "reaper").Counted;
            }
        }

        return numbers.Count;
    }

    /// <summary>
    /// get_user_pages: finds the page map by the page, takes a count of the page, lets the page map go again.
    /// </summary>
    /// <returns>Refused by the fences, by a page that is not there, and by a page map that is not live.</returns>
    public PinReply Get(in PinRequest request)
    {
        if (_map is null || IsForAnother(request.KnownGen))
        {
            return new(Errno.ENODEV, new(Log.Gen, 0, 0), _deviceGen, 0, 0);
        }

        if (_barred is not null && _barred.Contains(request.Session))
        {
            return new(Errno.ESTALE, default, 0, 0, 0);
        }

        if (request.Page < 0 || request.Page >= _map.PageCount)
        {
            return new(Errno.EINVAL, default, 0, 0, 0);
        }

        var pfn = _map.StartPfn + (ulong)request.Page;
        // A page whose last count has gone is on its way out, whatever this slot knows of the ref: try_get_page.
        if (!_map.IsStored || _map.CountOf(pfn) <= 0 || !_slot.TryGetLive())
        {
            var refused = Log.Add(EventKind.MapLookup, actor: "client", pfn: pfn, err: Errno.ENXIO);
            return new(Errno.ENXIO, refused, 0, 0, 0);
        }

        var number = PinReply.FirstNumber + ++_pinsMade;
        (_pins ??= [])[number] = new(pfn, request.Session);
        var at = Log.Add(
            EventKind.PageGet, actor: "client", pfn: pfn, count: _map.AddToCount(pfn, 1), text: "pin",
            alloc: new(_device, _deviceGen, number));
        _slot.Put(1);
        return new(Errno.OK, at, _deviceGen, number, pfn);
    }

    /// <summary>put_page of a pin; the last count of a page gives its reference back.</summary>
    public ValueTask<UnpinReply> Put(in UnpinRequest request)
    {
        if (_map is null || request.Gen != _deviceGen)
        {
            return new(new UnpinReply(Errno.ENODEV, default));
        }

        if (_barred is not null && _barred.Contains(request.Session))
        {
            return new(new UnpinReply(Errno.ESTALE, default));
        }

        if (_pins is null || !_pins.TryGetValue(request.Number, out var pin) || pin.Session != request.Session)
        {
            return new(new UnpinReply(Errno.EINVAL, default));
        }

        _pins.Remove(request.Number);
        var (reply, counted) = PutPage(request.Number, pin, "client");
        return counted.IsCompletedSuccessfully ? new(reply) : After(reply, counted);

        static async ValueTask<UnpinReply> After(UnpinReply reply, ValueTask<At> counted)
        {
            await counted;
            return reply;
        }
    }

    /// <summary>Touches pages as their holder does: one turn, one position, nothing stored.</summary>
    public AccessReply Access(in AccessRequest request)
    {
        if (_map is null || request.Gen != _deviceGen)
        {
            return new(Errno.ENODEV, default, 0);
        }

        if (_barred is not null && _barred.Contains(request.Session))
        {
            return new(Errno.ESTALE, default, 0);
        }

        var page = unchecked((long)(request.Pfn - _map.StartPfn));
        if (page < 0 || request.PageCount < 1 || page > _map.PageCount - request.PageCount)
        {
            return new(Errno.EINVAL, default, 0);
        }

        if (BitOperations.IsPow2(_accesses++))
        {
            Reach(); // Tables have grown meanwhile.
        }

        var at = Log.Take();
        var reply = _map.IsPresent
            ? new AccessReply(
                Errno.OK, at, _tags.Access(page, request.PageCount, request.Direction, request.Tag))
            : new(Errno.EFAULT, at, 0);
        if (Log.IsObserved)
        {
            Observe(request, reply);
        }

        return reply;
    }

    /// <remarks>Whoever owns the struct page now loses the count: nothing protects it.</remarks>
    private (UnpinReply Reply, ValueTask<At> Counted) PutPage(long number, Pin pin, string actor)
    {
        var id = new AllocId(_device, _deviceGen, number);
        if (!_map!.IsPresent)
        {
            // The machine would have faulted. The page's reference goes all the same, as a client's memory does after
            // an access that faulted: otherwise one defect would end its device for the rest of a run (decision 0020).
            var gone = Log.Add(EventKind.PagePut, actor, pfn: pin.Pfn, text: "pin", err: Errno.EFAULT, alloc: id);
            return (new(Errno.EFAULT, gone), Dropped(_map.AddToCount(pin.Pfn, -1) == 0, gone));
        }

        var count = _map.AddToCount(pin.Pfn, -1);
        var at = Log.Add(EventKind.PagePut, actor, pfn: pin.Pfn, count: count, text: "pin", alloc: id);
        return (new(Errno.OK, at), count == 0
            ? Dropped(true, Log.Add(EventKind.PageFinalPut, actor, pfn: pin.Pfn, text: "pin")) : new(at));
    }

    private ValueTask<At> Dropped(bool isLast, At at)
    {
        if (!isLast || _dropsInBulk)
        {
            return new(at);
        }

        _slot.Put(1);
        return Counted(at);
    }

    /// <summary>Finds anew what an access reaches, where somebody has asked for it.</summary>
    private void Reach()
    {
        if (_reached is not { } reached)
        {
            return;
        }

        reached.Clear();
        if (_map is { IsStored: true })
        {
            reached.Add(this);
            Log.AddTo(reached);
            reached.Add(_map);
            _tags.AddTo(reached);
        }
    }

    private void Observe(in AccessRequest request, in AccessReply reply) => Log.Observe(new Operation
    {
        Number = request.Op,
        Client = request.Session,
        Session = request.Session,
        Device = _device,
        Kind = OperationKind.Access,
        Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
        Direction = request.Direction,
        Via = request.Via,
        Err = reply.Err,
        At = new(Log.Obj, reply.At.Gen, reply.At.Seq, reply.At.Life),
        Alloc = new(_device, request.Gen, request.Number),
        Map = Log.Obj,
        Pfn = request.Pfn,
        PageCount = request.PageCount,
        Tag = reply.Tag,
    });

    /// <summary>After the fold a change counts only once the resource has it.</summary>
    private ValueTask<At> Counted(At at) => _slot.State is RefSlotState.Folded ? ReportAsync(at) : new(at);

    private async ValueTask<At> ReportAsync(At at)
    {
        var life = _life;
        var resource = _resource ??= _resources(Log, Log.Context.Objects.Name(_reference)["ref:".Length..]);
        await Log.CommitAsync();

        // Of a life that was fenced meanwhile nothing is counted any more.
        if (life == _life)
        {
            await resource.Report(life, _slot.Report(_bar, at));
        }

        return at;
    }

    private At Range(EventKind kind, Position[] after) =>
        Log.Add(kind, pfn: _map!.StartPfn, count: _map.PageCount, after: after);

    private Position Device(At at) => new(_device, at.Gen, at.Seq, at.Life);
}
