using Fleet.Protocol.Machines;

namespace Fleet.Grains;

/// <summary>The map of page maps of one machine; key <c>host-0001</c>.</summary>
/// <remarks>
/// Called by devices of a run whose resources share memory sections; see <see cref="IPgmapArrayLink"/>.
/// </remarks>
[Alias("fleet.IPgmapArrayGrain")]
public interface IPgmapArrayGrain : IGrainWithStringKey
{
    [Alias("Conflict")]
    ValueTask<string?> Conflict(MapRange range);

    [Alias("Store")]
    ValueTask Store(MapRange range);

    [Alias("Kill")]
    ValueTask Kill(string map);

    [Alias("Erase")]
    ValueTask Erase(string map);
}
