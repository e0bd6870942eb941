using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
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
    private readonly Lock _gate = new();

    public void Observe(HistoryEvent record)
    {
        var name = Saw(record.At);
        if (name.StartsWith("dev:", StringComparison.Ordinal))
            _devices[name] = _devices.GetValueOrDefault(name).After(record);
    }

    public void Observe(in Operation record) => Saw(record.At);

    public ValueTask<int> NextAsync(string name)
    {
        lock (_gate)
        {
            return new(_gens[name] = _gens.GetValueOrDefault(name) + 1);
        }
    }

    /// <summary>Ends what the lost fleet left open, in incarnations of its objects that do nothing else.</summary>
    public async Task FenceAsync(FleetContext context, RunPlan plan, LoadFleet fleet)
    {
        foreach (var device in fleet.Devices.Where(device => _gens.ContainsKey(device.Name)))
        {
            var agent = new DeviceAgent(context, device.Key, Unlinked.Instance);
            await agent.Recover(plan, device, _devices.GetValueOrDefault(device.Name));
            var (gen, life, cause) = (agent.Log.Gen, agent.Log.Life, agent.Log.Last);
            for (var resource = 0; resource < device.Resources.Count; resource++)
            {
                if (_gens.ContainsKey(device.MapName(resource)))
                {
                    var map = new MapAgent(context, device.ResourceKey(resource), Unlinked.Instance.Resource);
                    await map.Log.OpenAsync();
                    map.Fence(gen, cause);
                    await map.Log.CommitAsync();
                }
            }

            foreach (var name in Enumerable.Range(-1, device.Resources.Count + 1).Select(device.RefName)
                .Append("ref:" + device.QueueKey).Distinct().Where(_gens.ContainsKey))
            {
                var counted = new ResourceAgent(context, name["ref:".Length..]);
                await counted.Log.OpenAsync();
                counted.Fence(life, cause);
                await counted.Log.CommitAsync();
            }
        }
    }

    private string Saw(Position at)
    {
        var name = at.Obj == 0 ? "" : nameOf(at.Obj);
        if (name.Length > 0 && at.Gen > _gens.GetValueOrDefault(name))
            _gens[name] = at.Gen;
        return name;
    }

    /// <summary>An incarnation that only fences calls nobody.</summary>
    private sealed class Unlinked : IFleetLinks
    {
        public static readonly Unlinked Instance = new();

        public IResourceLink Resource(string key) => throw new InvalidOperationException($"No call goes to {key}.");

        public IMapLink Map(string key) => throw new InvalidOperationException($"No call goes to {key}.");
    }
}
