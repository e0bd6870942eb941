using System.Runtime.CompilerServices;
using Fleet.Kernel.Block;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Drivers;

/// <summary>pmem_attach_disk, the actions that undo it, and I/O on the device.</summary>
/// <remarks>
/// Source: drivers/nvdimm/pmem.c @ v5.1, v5.2, v5.15; kernel-model B.9, C.7 (R3, R6), C.8, H.2. The error exits of the
/// later kernels: docs/decisions/0051.
/// </remarks>
public static class PmemProcedures
{
    /// <summary>Attaches the disk: memory, region, queue, mapping, disk, each with what undoes it.</summary>
    /// <returns>
    /// The errno of the step that failed. From patch 6 to v5.15 a failure between the queue and the fsdax mapping
    /// leaves
    /// the queue without anyone to release it.
    /// </returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Attach<THost>(THost host, PciDevice device, PmemDevice pmem)
        where THost : struct, IKernelHost<THost>
    {
        var error = host.Inject(FailPoint.PmemAlloc, device);
        if (error is not Errno.OK)
        {
            return error;
        }

        DeviceStack.PushMemory(host, device, pmem);
        error = await DriverActions.RequestRegion(host, device, pmem.Region, FailPoint.PmemRegion);
        if (error is not Errno.OK)
        {
            return error;
        }

        var queue = pmem.NextQueue();
        error = await RequestQueueProcedures.Alloc(host, queue);
        if (error is not Errno.OK)
        {
            return error;
        }

        // From v5.15 on the disk comes with its queue, and attach itself gives both back when it fails.
        var ownsQueue = host.Profile.Has(KernelSwitch.PmemInternalRef);
        error = ownsQueue ? AllocDisk(host, pmem) : Errno.OK;
        if (error is not Errno.OK)
        {
            await RequestQueueProcedures.Cleanup(host, queue);
            return error;
        }

        error = await Map(host, device, pmem, ownsQueue);
        if (error is Errno.OK)
        {
            error = ownsQueue ? Errno.OK : AllocDisk(host, pmem);
        }

        if (error is not Errno.OK)
        {
            if (ownsQueue)
            {
                await RequestQueueProcedures.Cleanup(host, queue);
                await RequestQueueProcedures.PutReference(host, queue, Step.QueuePut);
            }

            return error;
        }

        DeviceStack.PushMemory(host, device, pmem.Badblocks);
        await RequestQueueProcedures.Register(host, queue);
        pmem.HasDisk = true;
        return await DriverActions.AddOrReset(
            host, device, DevresFn.ReleaseDisk, pmem, FailPoint.PmemDevresNode);
    }

    /// <summary>A request that has entered the queue reads or writes one page.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask IoAccess<THost>(THost host, PmemDevice pmem, ulong pfn)
        where THost : struct, IKernelHost<THost>
    {
        var isRaw = pmem.Mode is PmemMode.Raw;
        KernelObject touched = isRaw ? pmem.Mapping : pmem.Map;
        await host.Point(Step.IoAccess, touched.Mask, 0);
        if (!(isRaw ? pmem.Mapping.IsMapped : pmem.Map.IsPresent))
        {
            await host.Die(OopsKind.RemovedMemory, touched, "pmem_do_bvec copies from or to the mapping");
        }

        host.Emit(new KernelEvent(EventKind.IoAccess, touched) { Pfn = pfn });
    }

    /// <summary>pmem_release_disk: the disk goes; some kernels wait for its queue here, or release it.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask ReleaseDisk<THost>(THost host, PmemDevice pmem)
        where THost : struct, IKernelHost<THost>
    {
        var queue = pmem.Queue;
        await host.Point(Step.DiskRemove, 0, pmem.Mask);
        pmem.HasDisk = false;
        if (host.Profile.Has(KernelSwitch.DelGendiskDrains))
        {
            await RequestQueueProcedures.StartFreeze(host, queue);
            await RequestQueueProcedures.WaitDrained(host, queue);
        }

        if (host.Profile.Has(KernelSwitch.PmemInternalRef))
        {
            await RequestQueueProcedures.Cleanup(host, queue);
        }

        await RequestQueueProcedures.PutReference(host, queue, Step.QueuePut);
    }

    /// <summary>devm_memremap's release: the plain mapping is gone, whoever still uses it.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask Unmap<THost>(THost host, LinearMapping mapping)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.Unmap, 0, mapping.Mask);
        host.Emit(new KernelEvent(EventKind.MemoryRemove, mapping));
        mapping.IsMapped = false;
        mapping.WasUnmapped = true;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> Map<THost>(THost host, PciDevice device, PmemDevice pmem, bool ownsQueue)
        where THost : struct, IKernelHost<THost>
    {
        if (!ownsQueue && !host.Profile.Has(KernelSwitch.PmemRawQueueActionOnly))
        {
            var error = await AddQueueRelease(host, device, pmem);
            if (error is not Errno.OK)
            {
                return error;
            }
        }

        return pmem.Mode is PmemMode.Fsdax
            ? await MapPages(host, device, pmem, ownsQueue)
            : await MapRaw(host, device, pmem, ownsQueue);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> MapPages<THost>(
        THost host, PciDevice device, PmemDevice pmem, bool hasInternalRef)
        where THost : struct, IKernelHost<THost>
    {
        var map = pmem.Map;
        var error = host.Inject(FailPoint.PmemSetupFsdax, pmem);
        if (error is not Errno.OK)
        {
            return error;
        }

        DriverActions.GetManagedKey(host);
        error = await DriverActions.AddOrReset(host, device, DevresFn.PutOps, map, FailPoint.PmemDevresNode);
        if (error is not Errno.OK)
        {
            return error;
        }

        if (hasInternalRef)
        {
            error = await host.RefInit(pmem.InternalRef, FailPoint.PmemRefInit);
            if (error is not Errno.OK)
            {
                return error;
            }
        }

        await host.Point(Step.ObjectAlloc, 0, map.EntryMask);
        map.Queue = hasInternalRef ? null : pmem.Queue;
        map.Ref = hasInternalRef ? pmem.InternalRef : pmem.Queue.Usage;
        map.HasCleanupCallback = host.Profile.Has(KernelSwitch.ConsumersCleanUpInRelease);
        return await NfitTestProcedures.Memremap(host, device, map);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> MapRaw<THost>(THost host, PciDevice device, PmemDevice pmem, bool ownsQueue)
        where THost : struct, IKernelHost<THost>
    {
        var profile = host.Profile;
        var registersHere = !ownsQueue && profile.Has(KernelSwitch.PmemRawQueueActionOnly);
        var registersAfter = profile.Has(KernelSwitch.PmemRawQueueAfterMapping);
        var error = Errno.OK;
        if (registersHere && !registersAfter)
        {
            error = await AddQueueRelease(host, device, pmem);
            if (error is not Errno.OK)
            {
                return error;
            }
        }

        error = host.Inject(FailPoint.PmemMemremap, pmem);
        if (error is Errno.OK)
        {
            await host.Point(Step.MemoryAdd, 0, pmem.Mapping.Mask);
            pmem.Mapping.IsMapped = true;
            pmem.Mapping.WasUnmapped = false;
            host.Emit(new KernelEvent(EventKind.MemoryAdd, pmem.Mapping));
            DeviceStack.Push(host, device, DevresFn.Unmap, pmem.Mapping);
        }

        if (registersHere && registersAfter)
        {
            // Also when the mapping failed: the queue is released either way.
            var queueError = await AddQueueRelease(host, device, pmem);
            error = error is Errno.OK ? queueError : error;
        }

        return error;
    }

    private static ValueTask<Errno> AddQueueRelease<THost>(THost host, PciDevice device, PmemDevice pmem)
        where THost : struct, IKernelHost<THost> =>
        DriverActions.AddOrReset(host, device, DevresFn.ReleaseQueue, pmem.Queue, FailPoint.PmemDevresNode);

    private static Errno AllocDisk<THost>(THost host, PmemDevice pmem)
        where THost : struct, IKernelHost<THost>
    {
        var error = host.Inject(FailPoint.PmemDiskAlloc, pmem);
        if (error is Errno.OK)
        {
            pmem.Queue.References++;
        }

        return error;
    }
}
