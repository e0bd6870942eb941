using Fleet.Protocol.Machines;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One machine's map of page maps: decodes, lets <see cref="PgmapArrayAgent"/> decide, encodes.</summary>
/// <remarks>Concurrency: each call is one turn. It calls nobody.</remarks>
[Reentrant, KeepAlive]
internal sealed class PgmapArrayGrain : Grain, IPgmapArrayGrain
{
    private readonly PgmapArrayAgent _agent = new();

    public ValueTask<string?> Conflict(MapRange range) => new(_agent.Conflict(range));

    public ValueTask Store(MapRange range)
    {
        _agent.Store(range);
        return default;
    }

    public ValueTask Kill(string map)
    {
        _agent.Kill(map);
        return default;
    }

    public ValueTask Erase(string map)
    {
        _agent.Erase(map);
        return default;
    }
}
