using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.P2pdma;

/// <summary>Controls of Access Control Services that send peer-to-peer traffic up to the root.</summary>
[Flags]
public enum AcsRedirect : byte
{
    None = 0,
    Request = 1,
    Completion = 2,
    Egress = 4,
}

/// <summary>A root complex: what joins the hierarchies below its ports.</summary>
/// <param name="IsWhitelisted">Known to pass peer-to-peer traffic between its ports (AMD Zen).</param>
public sealed record PciRootComplex(bool IsWhitelisted = false);

/// <summary>A place in the PCI hierarchy: a device's function, a bridge, a switch port or a root port.</summary>
/// <remarks>Source: pci_upstream_bridge; kernel-model B.8 (distance).</remarks>
public sealed class PciNode
{
    private PciNode(PciRootComplex root, PciNode? upstream, AcsRedirect acs)
    {
        Root = root;
        Upstream = upstream;
        Acs = acs;
    }

    public PciRootComplex Root { get; }

    /// <summary>The bridge above; null on a root bus.</summary>
    public PciNode? Upstream { get; }

    public AcsRedirect Acs { get; }

    /// <summary>A function or port directly on the root bus.</summary>
    public static PciNode OnRoot(PciRootComplex root, AcsRedirect acs = AcsRedirect.None) => new(root, null, acs);

    /// <summary>A function or port behind this one.</summary>
    public PciNode Below(AcsRedirect acs = AcsRedirect.None) => new(Root, this, acs);
}

/// <summary>A device that wants to reach peer-to-peer memory.</summary>
/// <param name="Node">Where it sits; null if no ancestor of it is a PCI device.</param>
/// <param name="UsesVirtualDma">Its DMA operations do not reach hardware, so no bus address means anything to
/// it.</param>
public readonly record struct P2pClient(PciNode? Node, bool UsesVirtualDma = false);

/// <summary>How far apart two devices are, and which provider is closest to a set of clients.</summary>
/// <remarks>
/// Source: upstream_bridge_distance and its callers in drivers/pci/p2pdma.c @ v5.2-rc1; kernel-model B.8.
/// </remarks>
public static class PciTopology
{
    /// <summary>Peer-to-peer traffic cannot pass.</summary>
    public const int Unreachable = -1;

    /// <summary>A bridge on the way redirects it upstream.</summary>
    public const int Redirected = -2;

    /// <summary>Added to a distance that leads through whitelisted root complexes.</summary>
    public const int ThroughRoot = 0x1000;

    /// <summary>Providers that are kept while they are equally close: pointers in a page.</summary>
    public const int TiesMax = 512;

    /// <summary>Counts the hops up from each side to the first common device.</summary>
    /// <returns>
    /// 0 for the same device; <see cref="Redirected"/>; <see cref="Unreachable"/> without a common one, or
    /// <see cref="ThroughRoot"/> more than both depths if both root complexes are whitelisted.
    /// </returns>
    public static int Distance(PciNode provider, PciNode client)
    {
        var isRedirected = false;
        var fromProvider = 0;
        for (var a = provider; a is not null; a = a.Upstream)
        {
            isRedirected |= a.Acs is not AcsRedirect.None;
            var fromClient = 0;
            var redirectsBelow = false;
            for (var b = client; b is not null; b = b.Upstream)
            {
                if (ReferenceEquals(a, b))
                {
                    return isRedirected || redirectsBelow ? Redirected : fromProvider + fromClient;
                }

                redirectsBelow |= b.Acs is not AcsRedirect.None;
                fromClient++;
            }

            fromProvider++;
        }

        return provider.Root.IsWhitelisted && client.Root.IsWhitelisted
            ? ThroughRoot + fromProvider + DepthOf(client)
            : Unreachable;
    }

    /// <summary>pci_p2pdma_distance_many: the sum of the distances, if every client can be reached.</summary>
    /// <returns>
    /// <see cref="Unreachable"/> for no clients, one without PCI or hardware DMA, or any that cannot be reached.
    /// </returns>
    public static int DistanceMany(PciNode provider, IReadOnlyList<P2pClient> clients)
    {
        var sum = 0;
        foreach (var client in clients)
        {
            var distance = client.Node is null || client.UsesVirtualDma ? Unreachable : Distance(provider, client.Node);
            if (distance < 0)
            {
                return Unreachable;
            }

            sum += distance;
        }

        return clients.Count == 0 ? Unreachable : sum;
    }

    /// <summary>pci_p2pmem_find_many: the closest device that has published memory.</summary>
    /// <param name="devices">Every PCI device, in bus order; one without a place in the hierarchy is passed
    /// over.</param>
    /// <param name="choose">Picks among equally close ones: from their number, 1 to <see cref="TiesMax"/>, an
    /// index.</param>
    /// <returns>The device with one reference for the caller to put, or null if none can be reached.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<PciDevice?> FindMany<THost>(
        THost host, IEnumerable<PciDevice> devices, IReadOnlyList<P2pClient> clients, Func<int, int> choose)
        where THost : struct, IKernelHost<THost>
    {
        var closest = new List<PciDevice>();
        var shortest = int.MaxValue;
        foreach (var device in devices)
        {
            if (device.Node is null || !await P2pdmaClient.HasP2pMem(host, device))
            {
                continue;
            }

            var distance = DistanceMany(device.Node, clients);
            host.Emit(new KernelEvent(EventKind.Distance, device) { Count = distance });
            if (distance < 0 || distance > shortest || (distance == shortest && closest.Count >= TiesMax))
            {
                continue;
            }

            if (distance < shortest)
            {
                closest.Clear();
                shortest = distance;
            }

            closest.Add(device);
        }

        var found = closest.Count == 0 ? null : closest[choose(closest.Count)];
        if (found is not null)
        {
            found.References++;
        }

        host.Emit(new KernelEvent(EventKind.Find, found) { Count = closest.Count });
        return found;
    }

    /// <summary>pci_dev_put: gives back what <see cref="FindMany"/> took.</summary>
    public static void Put(PciDevice device) => device.References--;

    private static int DepthOf(PciNode node)
    {
        var depth = 0;
        for (var at = node; at is not null; at = at.Upstream)
        {
            depth++;
        }

        return depth;
    }
}
