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
    /// <param name="owner">Stream of the object that calls.</param>
    public IFleetLinks Of(Func<ObjectLog> owner) => new Links(this, grains, owner);

    private async ValueTask<T> Send<T>(
        Func<ObjectLog> owner, PartCallNumbers? numbers, Func<PartCall, ValueTask<T>> send)
    {
        var log = owner();
        var call = numbers?.Begin(log.Gen) ?? default;
        var reply = await LostCall.RepeatAsync(() => send(call), time, () =>
        {
            if (log.IsOver)
            {
                throw new StaleIncarnationException(log.Name, log.Gen);
            }
        });
        numbers?.Answered(call);
        return reply;
    }

    private sealed class Links(GrainLinks links, IGrainFactory grains, Func<ObjectLog> owner) : IFleetLinks
    {
        // Few, and there are as many lists as objects.
        private readonly List<(int Part, PartCallNumbers Numbers)> _numbers = new(1);

        public IResourceLink Resource(string key) => new ResourceLink(
            links, owner, NumbersOf("ref:" + key), grains.GetGrain<IP2pdmaResourceGrain>(key));

        public IMapLink Map(string key) => new MapLink(
            links, owner, NumbersOf("map:" + key), grains.GetGrain<IPgmapGrain>(key));

        public IPgmapArrayLink PgmapArray(string host) => new PgmapArrayLink(
            links, owner, grains.GetGrain<IPgmapArrayGrain>(host));

        /// <summary>They go on from life to life: a late message of an earlier one is known for what it is.</summary>
        private PartCallNumbers NumbersOf(string name)
        {
            var part = owner().Context.Objects.Intern(name);
            foreach (var (known, numbers) in _numbers)
            {
                if (known == part)
                {
                    return numbers;
                }
            }

            var first = new PartCallNumbers();
            _numbers.Add((part, first));
            return first;
        }
    }

    private sealed class PgmapArrayLink(GrainLinks links, Func<ObjectLog> owner, IPgmapArrayGrain grain)
        : IPgmapArrayLink
    {
        public ValueTask<string?> Conflict(MapRange range) => links.Send(owner, null, _ => grain.Conflict(range));

        public ValueTask Store(MapRange range) => Send(() => grain.Store(range));

        public ValueTask Kill(string map) => Send(() => grain.Kill(map));

        public ValueTask Erase(string map) => Send(() => grain.Erase(map));

        private async ValueTask Send(Func<ValueTask> send) => await links.Send(owner, null, async _ =>
        {
            await send();
            return true;
        });
    }

    private sealed class ResourceLink(
        GrainLinks links, Func<ObjectLog> owner, PartCallNumbers numbers, IP2pdmaResourceGrain grain) : IResourceLink
    {
        public ValueTask<At> Init(int life, At cause) =>
            links.Send(owner, numbers, call => grain.Init(life, cause, call));

        public ValueTask<At> Kill(int life, At cause) =>
            links.Send(owner, numbers, call => grain.Kill(life, cause, call));

        public ValueTask<At> Confirm(int life, SlotReport[] folds) =>
            links.Send(owner, numbers, call => grain.Confirm(life, folds, call));

        /// <summary>Cumulative: it may be executed as often as it arrives.</summary>
        public ValueTask<At> Report(int life, SlotReport report) =>
            links.Send(owner, null, _ => grain.Report(life, report));

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) => links.Send(
            owner, step is WaitStep.Poll ? null : numbers, call => grain.WaitZero(life, step, cause, call));

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) =>
            links.Send(owner, numbers, call => grain.Exit(life, endsCleanup, cause, call));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            links.Send(owner, numbers, call => grain.Fence(life, cause, actor, call));

        public ValueTask<At> Look() => links.Send(owner, null, _ => grain.Look());
    }

    private sealed class MapLink(
        GrainLinks links, Func<ObjectLog> owner, PartCallNumbers numbers, IPgmapGrain grain) : IMapLink
    {
        public ValueTask<At> Store(MapLife life, At cause) =>
            links.Send(owner, numbers, call => grain.Store(life, cause, call));

        public ValueTask<At> AddMemory(int life, At cause) =>
            links.Send(owner, numbers, call => grain.AddMemory(life, cause, call));

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) =>
            links.Send(owner, numbers, call => grain.InitPages(life, slot, cause, call));

        /// <summary>Again, it gives the newest counts.</summary>
        public ValueTask<SlotReport> Fold(int life) => links.Send(owner, null, _ => grain.Fold(life));

        public ValueTask<At> PutInitial(int life, At cause) =>
            links.Send(owner, numbers, call => grain.PutInitial(life, cause, call));

        public ValueTask<At> Remove(int life, At cause, At reference) =>
            links.Send(owner, numbers, call => grain.Remove(life, cause, reference, call));

        public ValueTask<At> Erase(int life, At cause) =>
            links.Send(owner, numbers, call => grain.Erase(life, cause, call));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            links.Send(owner, numbers, call => grain.Fence(deviceGen, cause, actor, call));

        public ValueTask<At> Look() => links.Send(owner, null, _ => grain.Look());

        public ValueTask<At> Bar(int session, string name) => links.Send(owner, null, _ => grain.Bar(session, name));

        public ValueTask<long> Reap(int session, string name) =>
            links.Send(owner, null, _ => grain.Reap(session, name));
    }
}
