using Fleet.Protocol.Devices;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Shells;

/// <summary>The links between agents as messages between grains.</summary>
public sealed class GrainLinks(IGrainFactory grains) : IFleetLinks
{
    public IResourceLink Resource(string key) => new ResourceLink(grains.GetGrain<IP2pdmaResourceGrain>(key));

    public IMapLink Map(string key) => new MapLink(grains.GetGrain<IPgmapGrain>(key));

    public IPgmapArrayLink PgmapArray(string host) => new PgmapArrayLink(grains.GetGrain<IPgmapArrayGrain>(host));

    private sealed class PgmapArrayLink(IPgmapArrayGrain grain) : IPgmapArrayLink
    {
        public ValueTask<string?> Conflict(MapRange range) => grain.Conflict(range);

        public ValueTask Store(MapRange range) => grain.Store(range);

        public ValueTask Kill(string map) => grain.Kill(map);

        public ValueTask Erase(string map) => grain.Erase(map);
    }

    private sealed class ResourceLink(IP2pdmaResourceGrain grain) : IResourceLink
    {
        public ValueTask<At> Init(int life, At cause) => grain.Init(life, cause);

        public ValueTask<At> Kill(int life, At cause) => grain.Kill(life, cause);

        public ValueTask<At> Confirm(int life, SlotReport[] folds) => grain.Confirm(life, folds);

        public ValueTask<At> Report(int life, SlotReport report) => grain.Report(life, report);

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) => grain.WaitZero(life, step, cause);

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) => grain.Exit(life, endsCleanup, cause);
    }

    private sealed class MapLink(IPgmapGrain grain) : IMapLink
    {
        public ValueTask<At> Store(MapLife life, At cause) => grain.Store(life, cause);

        public ValueTask<At> AddMemory(int life, At cause) => grain.AddMemory(life, cause);

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) => grain.InitPages(life, slot, cause);

        public ValueTask<SlotReport> Fold(int life) => grain.Fold(life);

        public ValueTask<At> PutInitial(int life, At cause) => grain.PutInitial(life, cause);

        public ValueTask<At> Remove(int life, At cause, At reference) => grain.Remove(life, cause, reference);

        public ValueTask<At> Erase(int life, At cause) => grain.Erase(life, cause);

        public ValueTask<At> Bar(int session, string name) => grain.Bar(session, name);

        public ValueTask<long> Reap(int session, string name) => grain.Reap(session, name);
    }
}
