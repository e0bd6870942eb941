namespace Fleet.Protocol.Machines;

/// <summary>A page map's entry in the map of page maps.</summary>
/// <param name="Map">Name in the history: <c>map:host/bdf/bar4</c>.</param>
/// <param name="StartPfn">First page frame.</param>
public readonly record struct MapRange(string Map, ulong StartPfn, long PageCount);

/// <summary>The map of page maps of one machine, as its devices reach it; it calls nobody.</summary>
/// <remarks>Used only where devices share memory sections. Source: pgmap_array; kernel-model B.5 step 3.</remarks>
public interface IPgmapArrayLink
{
    /// <summary>Finds a live page map at one of the ends of the range, aligned to sections.</summary>
    /// <returns>Its name; null where nothing is in the way.</returns>
    ValueTask<string?> Conflict(MapRange range);

    ValueTask Store(MapRange range);

    /// <summary>The page map's ref is dying: a lookup finds it no more.</summary>
    ValueTask Kill(string map);

    ValueTask Erase(string map);
}
