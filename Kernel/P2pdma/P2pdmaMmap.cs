using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.P2pdma;

/// <summary>Peer-to-peer memory in the address space of a process, until it unmaps it or unbind revokes it.</summary>
public sealed class P2pMapping
{
    private readonly bool[] _mapped;

    internal P2pMapping(P2pAllocation allocation, DevPagemap map, int pageCount)
    {
        _mapped = new bool[pageCount];
        Allocation = allocation;
        Map = map;
    }

    /// <summary>The memory as the pool gave it; each page goes back alone.</summary>
    public P2pAllocation Allocation { get; }

    public DevPagemap Map { get; }

    public int PageCount => _mapped.Length;

    /// <summary>Page frame of a page of the mapping.</summary>
    public ulong Pfn(int page) => (Allocation.Address >> DevPagemap.PageShift) + (ulong)page;

    /// <summary>The process reaches the page: neither unmapped nor revoked.</summary>
    public bool IsMapped(int page) => _mapped[page];

    internal void SetMapped(int page, bool isMapped) => _mapped[page] = isMapped;
}

/// <summary>Answer of mmap.</summary>
/// <param name="Err">
/// <see cref="Errno.EINVAL"/>, <see cref="Errno.ENODEV"/> and <see cref="Errno.ENOMEM"/> of the allocation, or the
/// errno
/// of the page insert.
/// </param>
public readonly record struct P2pMmapResult(P2pMapping? Mapping, Errno Err);

/// <summary>The file p2pmem/allocate: mmap takes memory, munmap and revocation give it back page by page.</summary>
/// <remarks>
/// A page that is handed out is an event <c>page_get</c> of kind <c>hand-out</c> with the count that it had: anything
/// but
/// the idle count of its map is a defect. A mapped page counts one more than an idle one, whichever protocol is played.
/// Source: p2pmem_alloc_mmap and p2pdma_page_free of drivers/pci/p2pdma.c @ v6.2, v6.15 and the fixes of 2026;
/// kernel-model F, scenarios.md 3.4, S22, S23. Differs: docs/decisions/0053.
/// </remarks>
public static class P2pdmaMmap
{
    /// <summary>Maps memory: allocation with a bridging reference, then for each page insert and reference.</summary>
    /// <param name="sizeBytes">Bytes, at least 1; rounded up to pages.</param>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<P2pMmapResult> Mmap<THost>(THost host, PciDevice device, ulong sizeBytes)
        where THost : struct, IDirectHost<THost>
    {
        if (sizeBytes == 0)
        {
            return new(null, Errno.EINVAL);
        }

        await host.Point(Step.SysfsOpen, 0, device.Mask);
        if (!device.Sysfs.AllocateExists)
        {
            return new(null, Errno.ENODEV);
        }

        // The running call keeps the file from being removed, as a running read does its group.
        device.Sysfs.Readers++;
        var taken = await P2pdmaProcedures.Alloc(host, device, sizeBytes);
        var result = taken.Succeeded
            ? await InsertPages(host, device, taken.Allocation)
            : new P2pMmapResult(null, taken.Err);
        await host.Point(Step.SysfsOpen, 0, device.Mask);
        device.Sysfs.Readers--;
        return result;
    }

    /// <summary>Unmaps what is still mapped; after a revocation there is nothing to do.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Munmap<THost>(THost host, PciDevice device, P2pMapping mapping)
        where THost : struct, IKernelHost<THost>
    {
        for (var page = 0; page < mapping.PageCount; page++)
        {
            await UnmapPage(host, device, mapping, page);
        }

        await host.Point(Step.RevokeMappings, 0, device.Mask);
        device.Sysfs.Mappings.Remove(mapping);
    }

    /// <summary>The process touches a page of its mapping.</summary>
    /// <returns><see cref="Errno.EFAULT"/> where the page is not mapped any more: no access takes place.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Access<THost>(THost host, P2pMapping mapping, int page)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.Access, mapping.Map.Mask | mapping.Map.PagesMask, 0);
        if (!mapping.IsMapped(page))
        {
            return Errno.EFAULT;
        }

        if (!mapping.Map.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, mapping.Map, "the process touches its mapping");
        }

        host.Emit(new KernelEvent(EventKind.CpuAccess, mapping.Map) { Pfn = mapping.Pfn(page) });
        return Errno.OK;
    }

    /// <summary>
    /// The action that removes the file before the first mapping is released: nobody maps, nobody has mapped.
    /// </summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask Revoke<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        // Each resource registers it; the newest one has removed the file for all.
        if (!device.Sysfs.AllocateExists)
        {
            return;
        }

        await host.SysfsRemove(device);
        device.Sysfs.AllocateExists = false;
        foreach (var mapping in device.Sysfs.Mappings.ToArray())
        {
            await Munmap(host, device, mapping);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<P2pMmapResult> InsertPages<THost>(
        THost host, PciDevice device, P2pAllocation allocation)
        where THost : struct, IDirectHost<THost>
    {
        var owner = allocation.Owner!;
        var pool = allocation.Pool!;
        var map = ((P2pPagemap)owner.Container).Map;
        var pages = (int)((allocation.SizeBytes + DevPagemap.PageBytes - 1) >> DevPagemap.PageShift);
        var mapping = new P2pMapping(allocation, map, pages);
        pool.Live += pages - 1;
        await host.Point(Step.RevokeMappings, 0, device.Mask);
        device.Sysfs.Mappings.Add(mapping);
        for (var page = 0; page < pages; page++)
        {
            var error = await InsertPage(host, mapping, page);
            if (error is not Errno.OK)
            {
                await UndoInsert(host, device, mapping, page);
                return new(null, error);
            }

            await RefProcedures.Get(host, owner, 1);
        }

        await host.RefPut(owner, 1);
        return new(mapping, Errno.OK);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> InsertPage<THost>(THost host, P2pMapping mapping, int page)
        where THost : struct, IKernelHost<THost>
    {
        var map = mapping.Map;
        var pfn = mapping.Pfn(page);
        await host.Point(Step.PageGet, map.Mask, map.PagesMask);
        var count = map.CountOf(pfn);
        host.Emit(new KernelEvent(EventKind.PageGet, map) { Pfn = pfn, Count = count, Text = "hand-out" });
        if (count != map.IdleCount)
        {
            host.Emit(new KernelEvent(EventKind.Warn, null, map) { Text = "page-count", Fn = "p2pmem_alloc_mmap" });
        }

        var countsFirst = map.IdleCount == 0;
        if (countsFirst)
        {
            // The count is set, whatever it was.
            map.AddToCount(pfn, 1 - count);
        }

        await host.Point(Step.PageInsert, map.Mask, map.PagesMask);
        var error = host.Inject(FailPoint.PageInsert, map);
        if (error is not Errno.OK)
        {
            if (countsFirst && host.Profile.Has(KernelSwitch.MmapFailureResetsCount))
            {
                map.AddToCount(pfn, -1);
            }

            return error;
        }

        var mapped = countsFirst ? map.CountOf(pfn) : map.AddToCount(pfn, 1);
        mapping.SetMapped(page, true);
        host.Emit(new KernelEvent(EventKind.PageGet, map) { Pfn = pfn, Count = mapped, Text = "map" });
        return Errno.OK;
    }

    /// <summary>
    /// What was not inserted goes back to the pool at once, what was is unmapped; the bridging reference is put or
    /// forgotten.
    /// </summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask UndoInsert<THost>(THost host, PciDevice device, P2pMapping mapping, int failedPage)
        where THost : struct, IKernelHost<THost>
    {
        var allocation = mapping.Allocation;
        var pool = allocation.Pool!;
        var left = mapping.PageCount - failedPage;
        await P2pdmaProcedures.FreeSteps(
            host,
            pool,
            allocation.Address + ((ulong)failedPage << DevPagemap.PageShift),
            (ulong)left << DevPagemap.PageShift);
        pool.Live -= left;
        if (host.Profile.Has(KernelSwitch.MmapFailurePutsRef))
        {
            await host.RefPut(allocation.Owner!, 1);
        }

        await Munmap(host, device, mapping);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask UnmapPage<THost>(THost host, PciDevice device, P2pMapping mapping, int page)
        where THost : struct, IKernelHost<THost>
    {
        var map = mapping.Map;
        await host.Point(Step.PageUnmap, map.Mask, map.PagesMask);
        if (!mapping.IsMapped(page))
        {
            return;
        }

        if (!map.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, map, "unmapping puts the page");
        }

        var pfn = mapping.Pfn(page);
        mapping.SetMapped(page, false);
        var count = map.AddToCount(pfn, -1);
        host.Emit(new KernelEvent(EventKind.PagePut, map) { Pfn = pfn, Count = count, Text = "unmap" });
        if (count == map.IdleCount)
        {
            host.Emit(new KernelEvent(EventKind.PageIdle, map) { Pfn = pfn });
            await P2pdmaProcedures.Free(
                host,
                device,
                mapping.Allocation with { Address = pfn << DevPagemap.PageShift, SizeBytes = DevPagemap.PageBytes });
        }
    }
}
