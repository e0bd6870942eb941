using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.P2pdma;

/// <summary>A scatter list of peer-to-peer memory; pci_p2pmem_alloc_sgl makes lists of one entry.</summary>
public sealed record P2pScatterList(IReadOnlyList<P2pAllocation> Entries);

/// <summary>Answer of an allocation of a scatter list.</summary>
/// <param name="List">Null unless <paramref name="Err"/> is <see cref="Errno.OK"/>; the kernel returns NULL for all
/// errors.</param>
public readonly record struct P2pScatterListResult(P2pScatterList? List, Errno Err);

/// <summary>What drivers do with peer-to-peer memory beside alloc and free.</summary>
/// <remarks>Source: drivers/pci/p2pdma.c @ v5.1 to v5.14; kernel-model B.8, I29.</remarks>
public static class P2pdmaClient
{
    /// <summary>pci_p2pmem_alloc_sgl: a list of one entry that covers all bytes.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<P2pScatterListResult> AllocSgl<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IKernelHost<THost>
    {
        var taken = await P2pdmaProcedures.Alloc(host, device, sizeBytes);
        return taken.Succeeded ? new(new P2pScatterList([taken.Allocation]), Errno.OK) : new(null, taken.Err);
    }

    /// <summary>pci_p2pmem_free_sgl: frees every entry, then the list.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask FreeSgl<THost>(THost host, PciDevice device, P2pScatterList list)
        where THost : struct, IKernelHost<THost>
    {
        foreach (var entry in list.Entries)
        {
            await P2pdmaProcedures.Free(host, device, entry);
        }
    }

    /// <summary>pci_p2pmem_virt_to_bus: the bus address that the pool recorded.</summary>
    /// <returns>0 for address 0 or a device without peer-to-peer memory; all ones for an address of no chunk.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<ulong> VirtToBus<THost>(THost host, PciDevice device, ulong address)
        where THost : struct, IKernelHost<THost>
    {
        if (address == 0 || await ReadField(host, device, "pci_p2pmem_virt_to_bus reads the pool") is not { } p2pdma)
        {
            return 0;
        }

        var pool = p2pdma.Pool!;
        await host.Point(Step.PoolAvail, pool.Mask, 0);
        await P2pdmaProcedures.Live(host, pool, "gen_pool_virt_to_phys walks the chunks");
        return pool.Pool.ToBusAddress(address);
    }

    /// <summary>pci_p2pmem_publish: lets find_many see the memory, or hides it; without memory it is ignored.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Publish<THost>(THost host, PciDevice device, bool published)
        where THost : struct, IKernelHost<THost>
    {
        if (await ReadField(host, device, "pci_p2pmem_publish writes the flag") is not { } p2pdma)
        {
            return;
        }

        await host.Point(Step.SysfsPool, 0, p2pdma.Mask);
        await P2pdmaProcedures.Live(host, p2pdma, "pci_p2pmem_publish writes the flag");
        p2pdma.IsPublished = published;
        host.Emit(new KernelEvent(EventKind.Publish, null, p2pdma) { Count = published ? 1 : 0 });
    }

    /// <summary>pci_has_p2pmem: there is memory, and it is published.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<bool> HasP2pMem<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        var usesRcu = host.Profile.Has(KernelSwitch.SingleFieldRead);
        if (usesRcu)
        {
            await host.Point(Step.RcuEnter, 0, host.RcuMask);
            host.RcuEnter();
        }

        var isPublished = await ReadField(host, device, "pci_has_p2pmem reads the flag") is { IsPublished: true };
        if (!THost.NeverSuspends)
        {
            host.Emit(new KernelEvent(EventKind.FieldRead) { Fn = "published", Count = isPublished ? 1 : 0 });
        }

        if (usesRcu)
        {
            await host.Point(Step.RcuExit, 0, host.RcuMask);
            host.RcuExit();
        }

        return isPublished;
    }

    /// <summary>pci_p2pdma_map_sg for one page: reads its back pointer, which is gone with the memory.</summary>
    /// <returns>The page's address less the offset between bus and CPU addresses.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<ulong> MapPage<THost>(THost host, P2pPagemap resource, ulong address)
        where THost : struct, IKernelHost<THost>
    {
        var map = resource.Map;
        await host.Point(Step.PageBackptr, map.Mask | resource.Mask, 0);
        if (!map.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, map, "pci_p2pdma_map_sg reads the page's pgmap");
        }

        host.Emit(new KernelEvent(EventKind.PageBackptrRead, map) { Pfn = address >> DevPagemap.PageShift });
        await P2pdmaProcedures.Live(host, resource, "pci_p2pdma_map_sg reads the bus offset of the pgmap");
        return unchecked(address - (ulong)resource.Bar.BusOffset);
    }

    /// <summary>Reads the field, tests it, and until v5.14 reads it again to follow it.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<PciP2pdma?> ReadField<THost>(THost host, PciDevice device, string where)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.FieldTest, device.Mask | (device.Field?.Mask ?? 0), 0);
        var p2pdma = device.Field;
        if (p2pdma is null)
        {
            return null;
        }

        if (!host.Profile.Has(KernelSwitch.SingleFieldRead))
        {
            await host.Point(Step.FieldUse, device.Mask | (device.Field?.Mask ?? 0), 0);
            p2pdma = device.Field;
        }

        await P2pdmaProcedures.Live(host, p2pdma, where);
        return p2pdma;
    }
}
