using Fleet.Kernel.Memremap;
using Fleet.Protocol.Maps;

namespace Fleet.Protocol.Machines;

/// <summary>The map from page frame to page map of one machine: who is in whose way.</summary>
/// <remarks>Concurrency: one grain turn. Source: pgmap_array in kernel/memremap.c; kernel-model A.1, B.5.</remarks>
public sealed class PgmapArrayAgent
{
    /// <summary>Pages of a memory section on x86: 128 MiB.</summary>
    private const ulong SectionPages = 32_768;

    private readonly PagemapRegistry _registry = new(SectionPages);
    private readonly Dictionary<string, DevPagemap> _stored = [];
    private readonly HashSet<DevPagemap> _dying = [];

    /// <summary>Page maps with an entry.</summary>
    public int Count => _stored.Count;

    /// <returns>Name of the live page map that is in the way of the range; null when none is.</returns>
    public string? Conflict(in MapRange range) =>
        _registry.AtAlignedEnds(Of(range)) is { } found && !_dying.Contains(found) ? (string)found.Handle! : null;

    public void Store(in MapRange range)
    {
        Erase(range.Map);
        var map = Of(range);
        _stored.Add(range.Map, map);
        _registry.Store(map);
    }

    public void Kill(string map)
    {
        if (_stored.TryGetValue(map, out var known))
        {
            _dying.Add(known);
        }
    }

    public void Erase(string map)
    {
        if (_stored.Remove(map, out var known))
        {
            _dying.Remove(known);
            _registry.Erase(known);
        }
    }

    private static DevPagemap Of(in MapRange range) => new(
        NoContainer.Instance, MemoryType.DevDax, PagemapConsumer.Foreign, range.StartPfn, range.PageCount)
    {
        Handle = range.Map,
    };
}
