using System.Collections.Immutable;

namespace Fleet.Client.Inventory;

/// <summary>A BAR that no p2pdma resource is made of, and why.</summary>
public sealed record LeftOutBar(BarDescription Bar, string Reason);

/// <summary>What one device offers for peer-to-peer memory: BARs to publish, and the others with their
/// reasons.</summary>
/// <remarks>
/// The kernel asks for a memory BAR with a length, nothing else (kernel-model B.8): prefetchable, 64-bit and bridges
/// are shown
/// to the reader, and required by nobody. A page is the smallest range that a page map can describe.
/// </remarks>
public sealed record ResourceOffer(
    PciDeviceDescription Device, ImmutableArray<BarDescription> Published, ImmutableArray<LeftOutBar> LeftOut)
{
    public const ulong PageBytes = 4096;

    /// <param name="resourcesMax">Resources wanted per device: the largest BARs are taken first, equal ones in BAR
    /// order.</param>
    public static ResourceOffer Of(PciDeviceDescription device, int resourcesMax)
    {
        var offered = device.Bars.Where(bar => ReasonAgainst(bar) is null)
            .OrderByDescending(bar => bar.SizeBytes).ThenBy(bar => bar.Index).ToList();
        var published = offered.Take(resourcesMax).ToImmutableArray();
        var leftOut = device.Bars.Where(bar => !published.Contains(bar))
            .Select(bar => new LeftOutBar(bar, ReasonAgainst(bar) ?? NotWanted(bar, published, resourcesMax)));
        return new(device, published, [.. leftOut]);
    }

    private static string? ReasonAgainst(BarDescription bar) => bar switch
    {
        { Kind: BarKind.IoPort } => "I/O ports, not memory",
        { Kind: BarKind.Rom } => "expansion ROM, not a BAR of memory",
        { Assignment: BarAssignment.Unassigned } => "no address assigned",
        { Assignment: BarAssignment.Ignored } => "ignored by the operating system",
        { SizeBytes: 0 } => "size zero or not reported",
        { SizeBytes: < PageBytes } => $"smaller than a page ({bar.SizeBytes} of {PageBytes} bytes)",
        _ => null,
    };

    private static string NotWanted(BarDescription bar, ImmutableArray<BarDescription> published, int resourcesMax) =>
        $"{(bar.SizeBytes < published[^1].SizeBytes ? "smaller than" : "after")} {published[^1].Name}, "
        + $"and resources: {resourcesMax} takes no more";
}
