using System.Diagnostics;
using Fleet.Checking;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.LoadTests.HotPath;

/// <summary>Bound devices as plain agents that call each other: what an operation is without the grains.</summary>
/// <remarks>One thread; nothing that they record is kept.</remarks>
internal sealed class BareAgents : IFleetLinks, ILifecycleLog, IEventClock
{
    private const int PerTurn = 64;
    private const int Session = 1;

    private readonly Dictionary<string, MapAgent> _mapsByKey = [];
    private readonly Dictionary<string, ResourceAgent> _resources = [];
    private readonly FleetContext _context;
    private readonly DeviceAgent[] _devices;
    private readonly MapAgent[] _maps;
    private uint _random = 1;
    private long _op;

    private BareAgents(int devices, bool isChecked)
    {
        var objects = new ObjectTable();
        var checker = isChecked ? new OnlineChecker("ALL", objects, Refuse) : null;
        _context = new(objects, checker, this, new MemoryIncarnations(), this, "bench", 1);
        _devices = new DeviceAgent[devices];
        _maps = new MapAgent[devices];
    }

    long IEventClock.NowNs => Stopwatch.GetTimestamp();

    public static async Task<BareAgents> BindAsync(int devices, bool isChecked)
    {
        var run = new RunPlan("bench", "ALL", 1, TimeSpan.FromSeconds(2), 3600, []);
        var agents = new BareAgents(devices, isChecked);
        for (var d = 0; d < devices; d++)
        {
            var plan = new DevicePlan(
                $"host-{d / 100:D4}/0000:{d % 100:x2}:00.0", "p2pdma",
                [new PciBar(4, true, 0x40_0000_0000UL + ((ulong)d << 27), 16UL << 20)]);
            var device = new DeviceAgent(agents._context, plan.Key, agents);
            await device.Configure(run, plan);
            var bind = device.Bind(++agents._op);
            await bind.Done;
            (agents._devices[d], agents._maps[d]) = (device, agents._mapsByKey[plan.ResourceKey(0)]);
        }

        return agents;
    }

    public Task<long> RunAsync(TimeSpan duration)
    {
        var until = Stopwatch.GetTimestamp() + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        var done = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            for (var i = 0; i < PerTurn; i++)
            {
                Cycle();
            }

            done += 3 * PerTurn;
        }

        return Task.FromResult(done);
    }

    public IResourceLink Resource(string key) => new ResourceLink(
        _resources.TryGetValue(key, out var known) ? known : _resources[key] = new(_context, key));

    public IMapLink Map(string key) => new MapLink(
        _mapsByKey.TryGetValue(key, out var known) ? known
            : _mapsByKey[key] = new(_context, key, (_, resource) => Resource(resource)));

    public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events) => ValueTask.CompletedTask;

    private static void Refuse(Finding finding) => throw new InvalidOperationException($"Found {finding.Rule}.");

    private void Cycle()
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        var d = (int)(_random % (uint)_devices.Length);
        var device = _devices[d];
        var given = device.Alloc(new AllocRequest(++_op, Session, 4096)).Result;
        var touched = _maps[d].Access(new AccessRequest(
            ++_op, Session, given.At.Gen, given.Number, given.Address >> 12, 1, AccessDirection.Write, AccessVia.Dma,
            (ulong)_op));
        var freed = device.Free(new FreeRequest(
            ++_op, Session, given.At.Gen, given.Number, given.Address, 4096)).Result;
        if ((given.Err, touched.Err, freed.Err) is not (Errno.OK, Errno.OK, Errno.OK))
        {
            throw new InvalidOperationException($"answered {given.Err}, {touched.Err}, {freed.Err}");
        }
    }

    private sealed class ResourceLink(ResourceAgent agent) : IResourceLink
    {
        public async ValueTask<At> Init(int life, At cause)
        {
            await agent.Log.OpenAsync();
            return agent.Init(life, cause);
        }

        public ValueTask<At> Kill(int life, At cause) => new(agent.Kill(life, cause));

        public ValueTask<At> Confirm(int life, SlotReport[] folds) => new(agent.Confirm(life, folds));

        public ValueTask<At> Report(int life, SlotReport report) => new(agent.Report(life, report));

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) =>
            new(agent.WaitZero(life, step, cause));

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) => new(agent.Exit(life, endsCleanup, cause));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) => agent.Fence(life, cause, actor);

        public ValueTask<At> Look() => new(agent.Log.Last);
    }

    private sealed class MapLink(MapAgent agent) : IMapLink
    {
        public async ValueTask<At> Store(MapLife life, At cause)
        {
            await agent.Log.OpenAsync();
            return agent.Store(life, cause);
        }

        public async ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause)
        {
            await agent.Log.OpenAsync();
            return await agent.SetUp(life, slot, cause);
        }

        public ValueTask<At> AddMemory(int life, At cause) => new(agent.AddMemory(life, cause));

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) => agent.InitPages(life, slot, cause);

        public ValueTask<SlotReport> Fold(int life) => new(agent.Fold(life));

        public ValueTask<At> PutInitial(int life, At cause) => agent.PutInitial(life, cause);

        public ValueTask<At> Remove(int life, At cause, At reference) => new(agent.Remove(life, cause, reference));

        public ValueTask<At> Erase(int life, At cause) => new(agent.Erase(life, cause));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            agent.Fence(deviceGen, cause, actor);

        public ValueTask<At> Look() => new(agent.Log.Last);

        public ValueTask<At> Bar(int session, string name) => new(agent.Bar(session, name));

        public ValueTask<long> Reap(int session, string name) => agent.Reap(session);
    }
}
