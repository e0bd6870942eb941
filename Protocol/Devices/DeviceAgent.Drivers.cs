using Fleet.Kernel;
using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>Drivers other than p2pdma: what they keep, and the requests that pass through a pmem's queue.</summary>
/// <remarks>
/// A plain mapping lives where its driver does, so the device itself keeps that mapping's stream and contents and
/// serves the requests that reach it. Pages are pinned at their page map.
/// Source: kernel-model B.9, H.2; docs/decisions/0020.
/// </remarks>
public sealed partial class DeviceAgent
{
    /// <summary>Pages of one request at most, as with the kernel's block layer at 64 KiB.</summary>
    private const int RequestPages = 16;

    private ObjectLog? _mapping;
    private OtherDriver? _other;

    /// <summary>What a device has whose driver is not p2pdma.</summary>
    private sealed class OtherDriver
    {
        public readonly List<DeviceRef> Bound = [];
        public readonly HashSet<long> Busy = [];
        public IomemResources? Iomem;
        public DevPagemap? BoundMap;
        public Maps.PageTags MappingTags;
        public long NextSlot;
    }

    private OtherDriver Other => _other ??= new();

    /// <summary>A request in flight: it entered the queue and has the disk open.</summary>
    private sealed record Bio(PmemDevice Pmem, RequestQueue Queue, long Slot);

    /// <summary>
    /// One request touches the mapping: a read or write of its pages, at a position of the mapping's own stream.
    /// </summary>
    /// <returns>
    /// <see cref="Errno.EFAULT"/>: executed, the mapping was gone; <see cref="Errno.EINVAL"/>: no such request is in
    /// flight, nothing was touched.
    /// </returns>
    public async ValueTask<AccessReply> Access(AccessRequest request)
    {
        if (request.Gen != Log.Gen || !Log.IsOpen || _mapping is null)
        {
            return new(Errno.ENODEV, default, 0);
        }

        if (IsBarred(request.Session))
        {
            return new(Errno.ESTALE, default, 0);
        }

        if (!_hot.Live.TryGet(request.Number, out var held) || held.Session != request.Session
            || held.Bio is not { } bio || !Covers(held, request))
        {
            return new(Errno.EINVAL, default, 0);
        }

        var at = _mapping.Take();
        AccessReply reply;
        try
        {
            await PmemProcedures.IoAccess(new FleetHost(this, "client"), bio.Pmem, request.Pfn);
            var page = unchecked((long)(request.Pfn - bio.Pmem.Region.StartPfn));
            reply = new(
                Errno.OK, at, Other.MappingTags.Access(page, request.PageCount, request.Direction, request.Tag));
        }
        catch (KernelOopsException)
        {
            // The operation at its position is the record of it.
            reply = new(Errno.EFAULT, at, 0);
        }

        Observe(request, reply);
        return reply;
    }

    /// <summary>Events of a plain mapping stand in a stream of its own, as those of a page map do.</summary>
    internal void RecordMapping(in KernelEvent happened)
    {
        var range = Plan.Resources[0];
        var at = _mapping!.Add(
            happened.Kind, pfn: range.StartAddress >> DevPagemap.PageShift,
            count: (long)(range.LengthBytes >> DevPagemap.PageShift),
            after: [new(Log.Obj, Log.Gen, Log.Last.Seq, Log.Last.Life)]);
        Learn(_mapping.Obj, at);
    }

    /// <summary>What a driver keeps in one life of the device, each part with its name.</summary>
    private DriverState NewState(int life)
    {
        var other = Other;
        other.Bound.Clear();
        other.BoundMap = null;
        var iomem = other.Iomem ??= new() { HandleId = Intern("iomem:" + Plan.Key) };
        var range = Plan.Resources[0];
        var pfn = range.StartAddress >> DevPagemap.PageShift;
        var pages = (long)(range.LengthBytes >> DevPagemap.PageShift);
        return Plan.Driver switch
        {
            DriverNames.Dax => NewDax(new(iomem, pfn, pages), life),
            DriverNames.Hmm => NewHmm(pfn, pages, life),
            DriverNames.PmemRaw => NewPmem(new(iomem, PmemMode.Raw, pfn, pages), life),
            _ => NewPmem(new(iomem, PmemMode.Fsdax, pfn, pages), life),
        };
    }

    private DevDax NewDax(DevDax dax, int life)
    {
        dax.HandleId = Intern($"dax:{Plan.Key}.{life}");
        dax.Region.HandleId = Intern("region:" + Plan.Key);
        Place(dax.Counter, Plan.RefName(0), life);
        Place(dax.Map, life);
        return dax;
    }

    private HmmDevmem NewHmm(ulong pfn, long pages, int life)
    {
        // The search takes whole sections from the top, so it ends at the range that the plan gives the device.
        var hmm = new HmmDevmem(Other.Iomem!, HmmSource.FreeRange, pfn + Sections((ulong)pages), pages)
        {
            HandleId = Intern($"pgmap:{Plan.ResourceKey(0)}.{life}"),
        };
        hmm.Region.HandleId = Intern("region:" + Plan.Key);
        Place(hmm.Counter, Plan.RefName(0), life);
        Place(hmm.Map, life);
        return hmm;
    }

    private PmemDevice NewPmem(PmemDevice pmem, int life)
    {
        var isRaw = pmem.Mode is PmemMode.Raw;
        pmem.HandleId = Intern(isRaw ? $"pmem:{Plan.Key}.{life}" : $"pgmap:{Plan.ResourceKey(0)}.{life}");
        pmem.Region.HandleId = Intern("region:" + Plan.Key);
        pmem.Badblocks.HandleId = Intern($"badblocks:{Plan.Key}.{life}");
        pmem.Mapping.HandleId = Intern(Plan.MapName(0));
        // A request may still have the disk open when its device is bound again: that queue is another one.
        pmem.Queue.HandleId = Intern($"{Plan.QueueName}.{life}");
        pmem.Queue.Life = life;
        var hasOwnRef = !isRaw && Profile.Has(KernelSwitch.PmemInternalRef);
        Place(pmem.Queue.Usage, hasOwnRef ? "ref:" + Plan.QueueKey : Plan.RefName(0), life);
        if (isRaw)
        {
            _mapping!.Life = life;
            return pmem;
        }

        if (hasOwnRef)
        {
            Place(pmem.InternalRef, Plan.RefName(0), life);
        }

        Place(pmem.Map, life);
        return pmem;
    }

    private static ulong Sections(ulong pages)
    {
        const ulong Section = 32_768;
        return (pages + Section - 1) / Section * Section;
    }

    private void Place(RefObject target, string name, int life)
    {
        var counted = new DeviceRef(Context.Objects.Intern(name), life, _links.Resource(name["ref:".Length..]));
        target.Handle = counted;
        target.Life = life;
        Other.Bound.Add(counted);
    }

    private void Place(DevPagemap map, int life)
    {
        map.Handle = NewMap(0, map);
        map.Life = life;
        Other.BoundMap = map;
    }

    /// <summary>The last steps at the page map and the refs of this binding.</summary>
    private void LearnBound()
    {
        if (_other?.BoundMap is { Handle: DeviceMap known })
        {
            Learn(known.Id, known.Last);
        }

        foreach (var counted in _other?.Bound ?? [])
        {
            Learn(counted.Id, counted.Last);
        }
    }

    /// <summary>A request enters the queue: open, then blk_queue_enter.</summary>
    private async ValueTask<AllocReply> AllocBio(AllocRequest request, PmemDevice? pmem)
    {
        var pages = (long)((request.SizeBytes + DevPagemap.PageBytes - 1) >> DevPagemap.PageShift);
        if (pmem is not { HasDisk: true })
        {
            return Entered(request, Errno.ENODEV, null);
        }

        if (pages is < 1 or > RequestPages || pages > pmem.Region.PageCount)
        {
            return Entered(request, Errno.EINVAL, null);
        }

        if (NextIdleSlot(pmem) is not { } slot)
        {
            return Entered(request, Errno.EAGAIN, null);
        }

        var host = new FleetHost(this, "client");
        var queue = pmem.Queue;
        AllocReply reply;
        try
        {
            await RequestQueueProcedures.Open(host, queue);
            var answer = await RequestQueueProcedures.IoEnter(host, queue);
            if (answer is QueueEnter.Entered)
            {
                Other.Busy.Add(slot);
                return Entered(request, Errno.OK, new(pmem, queue, slot));
            }

            reply = Entered(request, answer is QueueEnter.Frozen ? Errno.EAGAIN : Errno.ENODEV, null);
            await RequestQueueProcedures.Close(host, queue);
        }
        catch (KernelOopsException)
        {
            reply = Entered(request, Errno.EFAULT, null);
        }

        await CommitAsync();
        return reply;
    }

    private AllocReply Entered(in AllocRequest request, Errno err, Bio? bio)
    {
        var at = Log.Take();
        AllocReply reply;
        if (bio is null)
        {
            _tally.AllocsRefused++;
            reply = new(err, at, 0, 0, -1, -1);
        }
        else
        {
            var number = ++_hot.Allocations;
            var address = (bio.Pmem.Region.StartPfn + ((ulong)bio.Slot * RequestPages)) << DevPagemap.PageShift;
            _hot.Live.Add(number, new(new(address, request.SizeBytes, null, null), request.Session, bio));
            reply = new(Errno.OK, at, number, address, 0, -1);
        }

        Observe(request, reply, owner: 0);
        return reply;
    }

    /// <summary>The request is complete: blk_queue_exit, then the disk is closed.</summary>
    private async ValueTask<FreeReply> FreeBio(FreeRequest request, LiveAllocation held)
    {
        var host = new FleetHost(this, "client");
        var exiting = Exit(host, held);

        // Its position is that of this very turn, in which the queue's counter was given back.
        var reply = Freed(request, held, exiting.IsFaulted ? Errno.EFAULT : Errno.OK);
        await Finish(host, held, exiting);
        return reply;
    }

    private async ValueTask<bool> ReapBio(long number, LiveAllocation held, string name)
    {
        var host = new FleetHost(this, "reaper");
        var exiting = Exit(host, held);
        Log.Add(
            EventKind.Reap, actor: "reaper", start: held.Memory.Address, sizeBytes: held.Memory.SizeBytes, text: name,
            alloc: new(Log.Obj, Log.Gen, number), after: TakeLearned());
        return await Finish(host, held, exiting);
    }

    private ValueTask Exit(FleetHost host, in LiveAllocation held)
    {
        Other.Busy.Remove(held.Bio!.Slot);
        return RequestQueueProcedures.IoExit(host, held.Bio.Queue);
    }

    private async ValueTask<bool> Finish(FleetHost host, LiveAllocation held, ValueTask exiting)
    {
        try
        {
            await exiting;
            await RequestQueueProcedures.Close(host, held.Bio!.Queue);
            return true;
        }
        catch (KernelOopsException)
        {
            return false;
        }
        finally
        {
            await CommitAsync();
        }
    }

    /// <summary>Requests in flight have pages of their own, as pages under writeback are locked.</summary>
    private long? NextIdleSlot(PmemDevice pmem)
    {
        var slots = Math.Max(1, pmem.Region.PageCount / RequestPages);
        for (var tried = 0L; tried < slots; tried++)
        {
            var slot = Other.NextSlot++ % slots;
            if (!Other.Busy.Contains(slot))
            {
                return slot;
            }
        }

        return null;
    }

    private static bool Covers(in LiveAllocation held, in AccessRequest request)
    {
        var first = unchecked((long)(request.Pfn - (held.Memory.Address >> DevPagemap.PageShift)));
        return first >= 0 && request.PageCount >= 1 && first <= RequestPages - request.PageCount;
    }

    private void Observe(in AccessRequest request, in AccessReply reply)
    {
        if (_mapping!.IsObserved)
        {
            _mapping.Observe(new Operation
            {
                Number = request.Op,
                Client = request.Session,
                Session = request.Session,
                Device = Log.Obj,
                Kind = OperationKind.Access,
                Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
                Direction = request.Direction,
                Via = request.Via,
                Err = reply.Err,
                At = new(_mapping.Obj, reply.At.Gen, reply.At.Seq, reply.At.Life),
                Alloc = new(Log.Obj, request.Gen, request.Number),
                Map = _mapping.Obj,
                Pfn = request.Pfn,
                PageCount = request.PageCount,
                Tag = reply.Tag,
            });
        }
    }
}
