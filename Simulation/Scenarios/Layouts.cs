using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Simulation.Scenarios;

/// <summary>Where the ranges of a world lie; pages and granules are 4 KiB, sections 4 pages.</summary>
/// <remarks>Source: scenarios.md 3.1.</remarks>
public enum Layout : byte
{
    /// <summary>One resource: page 0 of section 0.</summary>
    L1,

    /// <summary>Two resources: page 0 of section 0, page 0 of section 1.</summary>
    L2,

    /// <summary>Two resources in one section: page 0 and page 2 of section 0.</summary>
    L2c,

    /// <summary>A foreign mapping on page 0 of section 0; the resource is page 2 of that section.</summary>
    LN,

    /// <summary>The first resource offered twice, for a retry.</summary>
    L1Twice,

    /// <summary>As many resources and pages as a <see cref="WorldScript"/> says, in sections of their own.</summary>
    Scripted,
}

/// <summary>Which driver a world binds.</summary>
/// <remarks>Source: scenarios.md 3.3.</remarks>
public enum WorldDriver : byte { P2p, DeviceDax, PmemFsdax, PmemRaw, HmmAdd, HmmAddResource }

internal static class Layouts
{
    internal const ulong SectionPages = 4;
    internal const ulong FirstPfn = 0x10_0000;

    /// <summary>First page frames of the resources, in the order in which the driver offers them.</summary>
    internal static ulong[] Pfns(Scenario scenario) => scenario.Layout switch
    {
        Layout.Scripted => Spread(scenario.Script!),
        Layout.L2 => [FirstPfn, FirstPfn + SectionPages],
        Layout.L2c => [FirstPfn, FirstPfn + 2],
        Layout.LN => [FirstPfn + 2],
        Layout.L1Twice => [FirstPfn, FirstPfn],
        _ => [FirstPfn],
    };

    internal static PciBar Bar(Scenario scenario, int index, ulong pfn) =>
        new(index * 2, true, pfn << DevPagemap.PageShift, DevPagemap.PageBytes * (ulong)(scenario.Script?.Pages ?? 1));

    private static ulong[] Spread(WorldScript script)
    {
        var sections = ((ulong)script.Pages + SectionPages - 1) / SectionPages;
        return [.. Enumerable.Range(0, script.Resources).Select(i => FirstPfn + ((ulong)i * sections * SectionPages))];
    }
}
