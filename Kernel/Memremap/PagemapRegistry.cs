namespace Fleet.Kernel.Memremap;

/// <summary>The kernel's map from page frame to page map, for one machine.</summary>
/// <remarks>
/// Keyed by the resource itself, not by the aligned range. Readers are RCU only.
/// Source: pgmap_array in kernel/memremap.c @ v5.2; kernel-model A.1, B.5 steps 3, 4 and 6.
/// </remarks>
public sealed class PagemapRegistry(ulong sectionPages)
{
    private readonly List<DevPagemap> _stored = [];

    /// <summary>Pages of one memory section: 32,768 on x86 (128 MiB), 4 in the small worlds.</summary>
    public ulong SectionPages { get; } = sectionPages;

    /// <summary>Returns the page map that covers a page frame, whatever state its ref is in.</summary>
    public DevPagemap? Lookup(ulong pfn)
    {
        foreach (var map in _stored)
        {
            if (map.Covers(pfn))
            {
                return map;
            }
        }

        return null;
    }

    /// <summary>Finds a stored map under the first or the last page frame of a range, aligned to sections.</summary>
    public DevPagemap? AtAlignedEnds(DevPagemap target)
    {
        var (first, end) = target.Aligned(SectionPages);
        return Lookup(first) ?? Lookup(end - 1);
    }

    internal void Store(DevPagemap map)
    {
        map.IsStored = true;
        map.ErasedForGood = false;
        _stored.Add(map);
    }

    internal void Erase(DevPagemap map)
    {
        map.IsStored = false;
        _stored.Remove(map);
    }

    public void Reset() => _stored.Clear();
}
