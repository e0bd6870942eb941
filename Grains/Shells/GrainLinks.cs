using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Shells;

/// <summary>The links between agents as messages between grains: repeated until they are answered, executed
/// once.</summary>
/// <remarks>A call ends without an answer only when its own incarnation is over.</remarks>
public sealed class GrainLinks(IGrainFactory grains, TimeProvider time)
{
    private readonly GrainReferences<IP2pdmaResourceGrain> _resources = new(grains);
    private Func<ObjectLog, string, IResourceLink>? _resourceOf;

    /// <summary>The way to a resource from an object that calls no other; one function for all objects.</summary>
    public Func<ObjectLog, string, IResourceLink> ResourceOf =>
        _resourceOf ??= (owner, key) => new Links(this) { Owner = owner }.Resource(key);

    /// <summary>Devices by their keys.</summary>
    internal GrainReferences<IPciDeviceGrain> Devices { get; } = new(grains);

    /// <summary>Page maps by their keys.</summary>
    internal GrainReferences<IPgmapGrain> Maps { get; } = new(grains);

    /// <summary>The links of one device, whose log is still to be named as their owner.</summary>
    internal Links New(PciDeviceGrain device) => new(this, device);

    private IGrainFactory Factory => grains;

    private TimeProvider Time => time;

    /// <summary>The links of one object: one to each part, whose numbers go on from life to life, so that a late
    /// message of an earlier one is known for what it is.</summary>
    internal sealed class Links(GrainLinks links, PciDeviceGrain? device = null) : IFleetLinks
    {
        // One of each is the rule, and there are as many of these as objects.
        private PartLink? _first;
        private PartLink? _second;
        private List<PartLink>? _more;

        /// <summary>Stream of the object that calls.</summary>
        public ObjectLog Owner { get; set; } = null!;

        public IResourceLink Resource(string key) => (IResourceLink)(
            Known(Names.Intern($"ref:{key}"), out var part)
            ?? Add(new ResourceLink(this, part, links._resources[key])));

        public IMapLink Map(string key) => (IMapLink)(
            Known(Names.Intern($"map:{key}"), out var part)
            ?? Add(new MapLink(this, part, links.Maps[key])));

        public IPgmapArrayLink PgmapArray(string host) =>
            new PgmapArrayLink(this, Factory.GetGrain<IPgmapArrayGrain>(host));

        /// <summary>Sends a call to a part until it is answered.</summary>
        /// <param name="numbers">Null for a call that may be executed as often as it arrives.</param>
        public async ValueTask<T> Send<T>(PartCallNumbers? numbers, Func<PartCall, ValueTask<T>> send)
        {
            var call = numbers?.Begin(Owner.Gen) ?? default;
            while (!Owner.IsOver)
            {
                try
                {
                    var reply = await send(call);
                    numbers?.Answered(call);
                    return reply;
                }
                catch (Exception e) when (LostCall.Is(e))
                {
                    await LostCall.PauseAsync(links.Time);
                }
            }

            throw new StaleIncarnationException(Owner.Name, Owner.Gen);
        }

        public void PartLost(DeviceAgent agent) => device?.OnPartLost(agent);

        private IGrainFactory Factory => links.Factory;

        private ObjectTable Names => Owner.Context.Objects;

        private PartLink? Known(int id, out int part)
        {
            part = id;
            return _first?.Part == id ? _first
                : _second?.Part == id ? _second
                : _more?.Find(link => link.Part == id);
        }

        private PartLink Add(PartLink link)
        {
            if (_first is null)
            {
                _first = link;
            }
            else if (_second is null)
            {
                _second = link;
            }
            else
            {
                (_more ??= new(1)).Add(link);
            }

            return link;
        }
    }

    /// <summary>The way to one part, with the numbers of the calls to it.</summary>
    /// <param name="part">Id of the part's name.</param>
    private abstract class PartLink(int part) : PartCallNumbers
    {
        public int Part => part;
    }

    private sealed class PgmapArrayLink(Links links, IPgmapArrayGrain grain)
        : IPgmapArrayLink
    {
        public ValueTask<string?> Conflict(MapRange range) => links.Send(null, _ => grain.Conflict(range));

        public ValueTask Store(MapRange range) => Send(() => grain.Store(range));

        public ValueTask Kill(string map) => Send(() => grain.Kill(map));

        public ValueTask Erase(string map) => Send(() => grain.Erase(map));

        private async ValueTask Send(Func<ValueTask> send) => await links.Send(null, async _ =>
        {
            await send();
            return true;
        });
    }

    private sealed class ResourceLink(Links links, int part, IP2pdmaResourceGrain grain)
        : PartLink(part), IResourceLink
    {
        public ValueTask<At> Init(int life, At cause) =>
            links.Send(this, call => grain.Init(life, cause, call));

        public ValueTask<At> Kill(int life, At cause) =>
            links.Send(this, call => grain.Kill(life, cause, call));

        public ValueTask<At> Confirm(int life, SlotReport[] folds) =>
            links.Send(this, call => grain.Confirm(life, folds, call));

        /// <summary>Cumulative: it may be executed as often as it arrives.</summary>
        public ValueTask<At> Report(int life, SlotReport report) =>
            links.Send(null, _ => grain.Report(life, report));

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) => links.Send(
            step is WaitStep.Poll ? null : this, call => grain.WaitZero(life, step, cause, call));

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) =>
            links.Send(this, call => grain.Exit(life, endsCleanup, cause, call));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            links.Send(this, call => grain.Fence(life, cause, actor, call));

        public ValueTask<At> Look() => links.Send(null, _ => grain.Look());
    }

    private sealed class MapLink(Links links, int part, IPgmapGrain grain)
        : PartLink(part), IMapLink
    {
        public ValueTask<At> Store(MapLife life, At cause) =>
            links.Send(this, call => grain.Store(life, cause, call));

        public ValueTask<At> AddMemory(int life, At cause) =>
            links.Send(this, call => grain.AddMemory(life, cause, call));

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) =>
            links.Send(this, call => grain.InitPages(life, slot, cause, call));

        public ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause) =>
            links.Send(this, call => grain.SetUp(life, slot, cause, call));

        /// <summary>Again, it gives the newest counts.</summary>
        public ValueTask<SlotReport> Fold(int life) => links.Send(null, _ => grain.Fold(life));

        public ValueTask<At> PutInitial(int life, At cause) =>
            links.Send(this, call => grain.PutInitial(life, cause, call));

        public ValueTask<At> Remove(int life, At cause, At reference) =>
            links.Send(this, call => grain.Remove(life, cause, reference, call));

        public ValueTask<At> Erase(int life, At cause) =>
            links.Send(this, call => grain.Erase(life, cause, call));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            links.Send(this, call => grain.Fence(deviceGen, cause, actor, call));

        public ValueTask<At> Look() => links.Send(null, _ => grain.Look());

        public ValueTask<At> Bar(int session, string name) => links.Send(null, _ => grain.Bar(session, name));

        public ValueTask<long> Reap(int session, string name) =>
            links.Send(null, _ => grain.Reap(session, name));
    }
}
