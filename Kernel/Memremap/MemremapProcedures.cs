using System.Runtime.CompilerServices;
using Fleet.Kernel.Block;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Memremap;

/// <summary>devm_memremap_pages, its release and devm_memunmap_pages, in each order that a kernel had.</summary>
/// <remarks>Source: kernel/memremap.c before and after the series; kernel-model B.5 to B.7, C.10.</remarks>
public static class MemremapProcedures
{
    /// <summary>Gives a range struct pages and registers their release with the device.</summary>
    /// <returns>An errno; after any but <see cref="Errno.EINVAL"/> the ref is killed, and from patch 6 on
    /// reaped.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Memremap<THost>(THost host, PciDevice device, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        if (!host.HearsSteps)
        {
            return await Map(host, device, map);
        }

        host.Emit(Of(EventKind.MemremapBegin, map));
        var error = await Map(host, device, map);
        host.Emit(Of(EventKind.MemremapEnd, map) with { Err = error });
        return error;
    }

    /// <summary>
    /// Tears one mapping down: kill, drop the initial counts, from patch 6 on wait and exit, remove, erase.
    /// </summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Release<THost>(THost host, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(Of(EventKind.TeardownBegin, map));
        if (map.Container.IsFreed)
        {
            await host.Die(
                OopsKind.UseAfterFree, map.Container,
                "devm_memremap_pages_release calls the kill callback of a freed pgmap");
        }

        await KillCallback(host, map);
        await host.PutInitialPages(map);
        var reapsHere = host.Profile.Has(KernelSwitch.CleanupInRelease) && map.HasCleanupCallback;
        var exitsLate = host.Profile.Has(KernelSwitch.ExitAfterErase);
        if (reapsHere)
        {
            await WaitCallback(host, map);
            if (!exitsLate)
            {
                await ExitCallback(host, map);
            }
        }

        await host.MemoryRemove(map);
        await host.MapErase(map);
        if (reapsHere && exitsLate)
        {
            await ExitCallback(host, map);
        }

        host.Emit(Of(EventKind.TeardownEnd, map));
    }

    /// <summary>devm_memunmap_pages: runs the release now and takes its node off the device's list.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Memunmap<THost>(THost host, PciDevice device, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        if (DeviceStack.Take(host, device, DevresFn.MemremapRelease, map, EventKind.DevresRun))
        {
            await Release(host, map);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> Map<THost>(THost host, PciDevice device, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        var isCleanupMissing = host.Profile.Has(KernelSwitch.RequireCleanup) && !map.HasCleanupCallback;
        if (map.Ref is null || !map.HasKillCallback || isCleanupMissing)
        {
            if (host.Profile.Has(KernelSwitch.RequireCleanup))
            {
                host.Emit(new KernelEvent(EventKind.Warn, null, map)
                {
                    Text = "missing-callbacks",
                    Fn = "devm_memremap_pages"
                });
            }

            return Errno.EINVAL;
        }

        map.KillCalls = 0;
        map.CleanupCalls = 0;
        if (await host.MapConflict(map) is { } neighbour)
        {
            host.Emit(new KernelEvent(EventKind.ConflictHit, null, neighbour)
            {
                Start = map.StartAddress,
                SizeBytes = map.SizeBytes,
            });
            host.Emit(new KernelEvent(EventKind.Warn, null, neighbour)
            {
                Text = "section-conflict",
                Fn = "devm_memremap_pages"
            });
            return host.Profile.Has(KernelSwitch.KillOnConflict)
                ? await FailKilled(host, map, Errno.ENOMEM) : Errno.ENOMEM;
        }

        var error = host.Inject(FailPoint.MemremapRam, map);
        if (error is not Errno.OK)
        {
            host.Emit(new KernelEvent(EventKind.Warn, null, map)
            {
                Text = "ram-overlap",
                Fn = "devm_memremap_pages"
            });
            return await FailKilled(host, map, error);
        }

        error = host.Inject(FailPoint.MemremapMapStore, map);
        if (error is not Errno.OK)
        {
            return await FailKilled(host, map, error);
        }

        await host.MapStore(map);
        error = host.Inject(FailPoint.MemremapPfnRemap, map);
        if (error is Errno.OK)
        {
            error = host.Inject(FailPoint.MemremapMemoryAdd, map);
        }

        if (error is not Errno.OK)
        {
            await host.MapErase(map);
            return await FailKilled(host, map, error);
        }

        await host.MemoryAdd(map);
        await host.PagesInit(map);
        error = host.Inject(FailPoint.MemremapDevresNode, map);
        if (error is not Errno.OK)
        {
            host.Emit(new KernelEvent(EventKind.ActionAddFailed, null, map.Container)
            {
                Text = "action",
                Fn = DevresFns.WireName(DevresFn.MemremapRelease),
            });
            await Release(host, map);
            return Errno.ENOMEM;
        }

        DeviceStack.Push(host, device, DevresFn.MemremapRelease, map);
        return Errno.OK;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> FailKilled<THost>(THost host, DevPagemap map, Errno error)
        where THost : struct, IKernelHost<THost>
    {
        await KillCallback(host, map);
        if (host.Profile.Has(KernelSwitch.ReapOnError))
        {
            await WaitCallback(host, map);
            await ExitCallback(host, map);
        }

        return error;
    }

    /// <summary>The consumer's kill callback: stops new references and drops the initial one.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask KillCallback<THost>(THost host, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        map.KillCalls++;
        if (map.Queue is { } queue)
        {
            await RequestQueueProcedures.StartFreeze(host, queue);
            return;
        }

        var target = map.Ref!;

        // Before patch 5 every resource shares the ref, so p2pdma's callback leaves a dying one alone.
        if (map.Consumer is PagemapConsumer.P2pdma && !host.Profile.Has(KernelSwitch.RefPerResource)
            && host.RefIsDying(target))
        {
            return;
        }

        await host.RefKill(target);
    }

    /// <summary>First half of the consumer's cleanup callback: waits until the last reference is gone.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask WaitCallback<THost>(THost host, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        map.CleanupCalls++;
        host.Emit(new KernelEvent(EventKind.CleanupBegin, map.Ref, map));
        if (map.Queue is { } queue)
        {
            await RequestQueueProcedures.BeginCleanup(host, queue);
            return;
        }

        await host.RefWaitReaped(map.Ref!);
    }

    /// <summary>Second half: the ref is exited and may be freed when this returns.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask ExitCallback<THost>(THost host, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        if (map.Queue is { } queue)
        {
            await RequestQueueProcedures.EndCleanup(host, queue);
        }
        else
        {
            await host.RefExit(map.Ref!);
        }

        host.Emit(new KernelEvent(EventKind.CleanupEnd, map.Ref, map));
        if (map.Consumer is PagemapConsumer.PmemFsdax && host.Profile.Has(KernelSwitch.PmemInternalRef)
            && !host.Profile.Has(KernelSwitch.RefEmbedded))
        {
            await host.Point(Step.ResetRefPointer, 0, map.EntryMask);
            map.Ref = null;
        }
    }

    private static KernelEvent Of(EventKind kind, DevPagemap map) =>
        new(kind, null, map) { Start = map.StartAddress, SizeBytes = map.SizeBytes };
}
