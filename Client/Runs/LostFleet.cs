using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>A fleet that died with its process, as its stored history knows it.</summary>
/// <remarks>
/// Objects of the run go on in further incarnations. Every life that was open is fenced by the protocol's own recovery
/// before anything is bound again. Concurrency: filled by one reader, then any thread.
/// </remarks>
internal sealed class LostFleet(Func<int, string> nameOf) : IHistorySink, IIncarnations
{
    private readonly Dictionary<string, int> _gens = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DeviceState> _devices = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _plans = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();

    public bool IsFencing { get; set; } = true;

    public void Observe(HistoryEvent record)
    {
        var name = Saw(record.At);
        if (name.StartsWith("dev:", StringComparison.Ordinal))
            _devices[name] = _devices.GetValueOrDefault(name).After(record);
    }

    public void Observe(in Operation record) => Saw(record.At);

    public ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null)
    {
        lock (_gate)
        {
            if (plan is not null)
                _plans[name] = plan.Text;
            return new(new Tenure(
                _gens[name] = _gens.GetValueOrDefault(name) + 1, _devices.GetValueOrDefault(name),
                ServingTerm.Unlimited));
        }
    }

    public ValueTask<DurableObject> KnownAsync(string name)
    {
        lock (_gate)
        {
            return new(new DurableObject(
                _gens.GetValueOrDefault(name), _devices.GetValueOrDefault(name), _plans.GetValueOrDefault(name)));
        }
    }

    public ValueTask KeepAsync(string name, KeptPlan? plan)
    {
        lock (_gate)
        {
            if (plan is null)
                _plans.Remove(name);
            else
                _plans[name] = plan.Text;
            return default;
        }
    }

    public ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan)
    {
        lock (_gate)
        {
            var isNewest = _gens.GetValueOrDefault(name) == gen;
            if (isNewest)
                _plans[name] = plan.Text;
            return new(isNewest);
        }
    }

    public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix)
    {
        lock (_gate)
        {
            return new(_plans.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).ToList());
        }
    }

    public ValueTask LeaveAsync(string name, Tenure tenure)
    {
        tenure.End();
        return default;
    }

    /// <summary>Ends what the lost fleet left open, in incarnations of its objects that do nothing else.</summary>
    public async Task FenceAsync(FleetContext context, RunPlan plan, LoadFleet fleet)
    {
        var links = new FencingLinks(context);
        foreach (var device in fleet.Devices.Where(device => _gens.ContainsKey(device.Name)))
            await new DeviceAgent(context, device.Key, links).Configure(plan, device);
        _devices.Clear();
    }

    private string Saw(Position at)
    {
        var name = at.Obj == 0 ? "" : nameOf(at.Obj);
        if (name.Length > 0 && at.Gen > _gens.GetValueOrDefault(name))
            _gens[name] = at.Gen;
        return name;
    }

    /// <summary>An incarnation that only fences asks nothing else of anybody.</summary>
    private sealed class FencingLinks(FleetContext context) : IFleetLinks
    {
        public IResourceLink Resource(string key) => new ResourceLink(context, key);

        public IMapLink Map(string key) => new MapLink(context, key);
    }

    private sealed class ResourceLink(FleetContext context, string key) : IResourceLink
    {
        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            new ResourceAgent(context, key).Fence(life, cause, actor);

        public ValueTask<At> Init(int life, At cause) => throw Uncalled(key);

        public ValueTask<At> Kill(int life, At cause) => throw Uncalled(key);

        public ValueTask<At> Confirm(int life, SlotReport[] folds) => throw Uncalled(key);

        public ValueTask<At> Report(int life, SlotReport report) => throw Uncalled(key);

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) => throw Uncalled(key);

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) => throw Uncalled(key);

        public ValueTask<At> Look() => throw Uncalled(key);
    }

    private sealed class MapLink(FleetContext context, string key) : IMapLink
    {
        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            new MapAgent(context, key, (_, resource) => new ResourceLink(context, resource))
                .Fence(deviceGen, cause, actor);

        public ValueTask<At> Store(MapLife life, At cause) => throw Uncalled(key);

        public ValueTask<At> AddMemory(int life, At cause) => throw Uncalled(key);

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) => throw Uncalled(key);

        public ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause) => throw Uncalled(key);

        public ValueTask<SlotReport> Fold(int life) => throw Uncalled(key);

        public ValueTask<At> PutInitial(int life, At cause) => throw Uncalled(key);

        public ValueTask<At> Remove(int life, At cause, At reference) => throw Uncalled(key);

        public ValueTask<At> Erase(int life, At cause) => throw Uncalled(key);

        public ValueTask<At> Look() => throw Uncalled(key);

        public ValueTask<At> Bar(int session, string name) => throw Uncalled(key);

        public ValueTask<long> Reap(int session, string name) => throw Uncalled(key);
    }

    private static InvalidOperationException Uncalled(string key) => new($"No call goes to {key}.");
}
