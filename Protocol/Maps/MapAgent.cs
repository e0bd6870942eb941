using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Memremap;
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
    private readonly Func<string, IResourceLink> _resources;
    private readonly RefSlot _slot = new();
    private readonly int _bar;
    private readonly int _device;
    private DevPagemap? _map;
    private PageTags? _tags;
    private IResourceLink? _resource;
    private HashSet<int>? _barred;
    private int _reference;
    private int _deviceGen;
    private int _life;

    /// <param name="key"><c>host/bdf/bar4</c>.</param>
    /// <param name="resources">Links to resources, by key.</param>
    public MapAgent(FleetContext context, string key, Func<string, IResourceLink> resources)
    {
        Log = new(context, "map:" + key);
        _resources = resources;
        var slash = key.LastIndexOf('/');
        _device = context.Objects.Intern("dev:" + key[..slash]);
        _bar = int.Parse(key.AsSpan(slash + 1 + "bar".Length));
    }

    public ObjectLog Log { get; }

    public At Store(MapLife life, At cause)
    {
        _life = life.Life;
        _deviceGen = life.DeviceGen;
        Log.Life = life.Life;
        _map = new DevPagemap(
            NoContainer.Instance, MemoryType.PciP2pdma, PagemapConsumer.P2pdma, life.StartPfn, life.PageCount)
        {
            IsStored = true,
        };
        _resource = _resources(life.ResourceKey);
        _reference = Log.Context.Objects.Intern("ref:" + life.ResourceKey);
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
        return Counted(Range(EventKind.PagesInit, [Device(cause)]));
    }

    public SlotReport Fold(int life) => life == _life ? _slot.Fold(_bar, Log.Last) : default;

    public ValueTask<At> PutInitial(int life, At cause)
    {
        if (life != _life || !_map!.HoldsInitialCounts)
        {
            return new(Log.Last);
        }

        // A page that somebody pins keeps its reference until that pin goes.
        _map.HoldsInitialCounts = false;
        _slot.Put(_map.PageCount - _map.PinnedPages);
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
        Range(EventKind.MapErase, [Device(cause)]);
        Log.Add(EventKind.GpWaitBegin);
        _map.ErasedForGood = true;
        return Log.Add(EventKind.GpWaitEnd);
    }

    public At Bar(int session, string name) =>
        (_barred ??= []).Add(session) ? Log.Add(EventKind.Barred, actor: "reaper", text: name) : Log.Last;

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

        var at = Log.Take();
        var reply = _map.IsPresent ? new AccessReply(Errno.OK, at, Touch(request, page)) : new(Errno.EFAULT, at, 0);
        if (Log.IsObserved)
        {
            Observe(request, reply);
        }

        return reply;
    }

    private ulong Touch(in AccessRequest request, long page)
    {
        if (request.Direction is AccessDirection.Write)
        {
            _tags ??= new();
            for (var i = 0; i < request.PageCount; i++)
            {
                _tags[page + i] = request.Tag;
            }

            return request.Tag;
        }

        if (_tags is null)
        {
            return 0;
        }

        var first = _tags[page];
        for (var i = 1; i < request.PageCount; i++)
        {
            if (_tags[page + i] != first)
            {
                return _tags[page + i];
            }
        }

        return first;
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
        await Log.CommitAsync();
        await _resource!.Report(_life, _slot.Report(_bar, at));
        return at;
    }

    private At Range(EventKind kind, Position[] after) =>
        Log.Add(kind, pfn: _map!.StartPfn, count: _map.PageCount, after: after);

    private Position Device(At at) => new(_device, at.Gen, at.Seq, at.Life);
}
