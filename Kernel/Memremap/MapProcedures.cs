using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Memremap;

/// <summary>The steps at a page map whose pages live here, one point before each.</summary>
/// <remarks>Source: kernel/memremap.c, include/linux/mm.h; kernel-model B.4 to B.6, C.10 (p, r, m, q).</remarks>
public static class MapProcedures
{
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<DevPagemap?> Conflict<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.Conflict, ulong.MaxValue, 0);
        var found = host.Registry.AtAlignedEnds(target);
        if (found is { Container.IsFreed: true })
        {
            await host.Die(
                OopsKind.UseAfterFree, found.Container, "get_dev_pagemap reads the ref pointer of a freed pgmap");
        }

        return found?.Ref is { } held && !host.RefIsDying(held) ? found : null;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Store<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.MapStore, 0, target.EntryMask);
        host.Registry.Store(target);
        host.Emit(Range(EventKind.MapStore, target));
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask AddMemory<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.MemoryAdd, 0, target.Mask);
        target.IsPresent = true;
        target.WasRemoved = false;
        host.Emit(Range(EventKind.MemoryAdd, target));
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask InitPages<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        var count = CountMaskOf(target);
        await host.Point(Step.PagesInit, target.Mask, target.PagesMask | count);
        target.InitPages();
        host.Emit(Range(EventKind.PagesInit, target));
        var held = target.Ref!;
        held.BackedMapping = true;
        RefProcedures.GetNow(host, held, target.PageCount);
    }

    /// <summary>p: drops the initial count of each page, or all references in bulk where a later kernel does.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask PutInitialPages<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        var counted = target.Ref!;
        var writes = target.PagesMask | counted.CountMask | counted.ReapedMask;
        if (DropsInBulk(host.Profile, target) || target.IdleCount == 0)
        {
            await host.Point(Step.PutPage, counted.Container.Mask | counted.Mask | target.Mask, writes);
            target.HoldsInitialCounts = false;
            RefProcedures.PutNow(host, counted, target.PageCount);
            return;
        }

        // The flag moves the whole range at once; a world of one page per map loses nothing by it.
        for (var page = 0L; page < target.PageCount; page++)
        {
            await host.Point(Step.PutPage, counted.Container.Mask | counted.Mask | target.Mask, writes);
            var pfn = target.StartPfn + (ulong)page;
            if (page == 0)
            {
                target.HoldsInitialCounts = false;
                for (var later = 1L; later < target.PageCount; later++)
                {
                    target.AddToCount(target.StartPfn + (ulong)later, 1);
                }
            }
            else
            {
                target.AddToCount(pfn, -1);
            }

            var count = target.CountOf(pfn);
            host.Emit(new KernelEvent(EventKind.PagePut, target) { Pfn = pfn, Count = count, Text = "init" });
            if (count == 1 && IsManaged(target.Type))
            {
                host.Emit(new KernelEvent(EventKind.PageIdle, target) { Pfn = pfn });
            }

            if (count == 0)
            {
                host.Emit(new KernelEvent(EventKind.PageFinalPut, target) { Pfn = pfn });
                RefProcedures.PutNow(host, counted, 1);
            }
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask RemoveMemory<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        // Judged by the value of the ref and the page counts at this very step, so it depends on both.
        await host.Point(
            Step.MemoryRemove, target.PagesMask | CountMaskOf(target) | RefMaskOf(target), target.Mask);
        host.Emit(Range(EventKind.MemoryRemove, target));
        target.IsPresent = false;
        target.WasRemoved = true;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Erase<THost>(THost host, DevPagemap target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.MapErase, 0, target.EntryMask);
        host.Registry.Erase(target);
        host.Emit(Range(EventKind.MapErase, target));
        await host.Synchronize();
        target.ErasedForGood = true;
    }

    /// <summary>Takes one count of a page, as get_user_pages or a driver does for a page that it reached.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask GetPage<THost>(THost host, DevPagemap target, ulong pfn)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.PageGet, target.Mask, target.PagesMask);
        if (!target.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, target, "get_page reads the struct page");
        }

        var count = target.AddToCount(pfn, 1);
        host.Emit(new KernelEvent(EventKind.PageGet, target) { Pfn = pfn, Count = count, Text = "pin" });
    }

    /// <summary>Gives one count back; the last one drops the page's reference on the map's ref.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask PutPage<THost>(THost host, DevPagemap target, ulong pfn)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.PagePutCount, target.Mask, target.PagesMask);
        if (!target.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, target, "put_page reads the struct page");
        }

        var count = target.AddToCount(pfn, -1);
        host.Emit(new KernelEvent(EventKind.PagePut, target) { Pfn = pfn, Count = count, Text = "pin" });
        if (count == 1 && IsManaged(target.Type))
        {
            host.Emit(new KernelEvent(EventKind.PageIdle, target) { Pfn = pfn });
        }

        if (count != 0)
        {
            return;
        }

        await host.Point(Step.PageBackptr, target.Mask, 0);
        if (!target.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, target, "the final put reads the page's pgmap");
        }

        host.Emit(new KernelEvent(EventKind.PageFinalPut, target) { Pfn = pfn });
        if (DropsInBulk(host.Profile, target))
        {
            return;
        }

        await RefProcedures.Put(host, target.Ref!, 1);
    }

    /// <summary>Touches a page by its linear address, as its holder does.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Access<THost>(THost host, DevPagemap target, ulong pfn)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.Access, target.Mask, 0);
        await AccessNow(host, target, pfn);
    }

    /// <summary>As <see cref="Access"/>, within a step that has declared the memory.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask AccessNow<THost>(THost host, DevPagemap target, ulong pfn)
        where THost : struct, IDirectHost<THost>
    {
        if (!target.IsPresent)
        {
            await host.Die(OopsKind.RemovedMemory, target, "the holder touches the page");
        }

        host.Emit(new KernelEvent(EventKind.CpuAccess, target) { Pfn = pfn });
    }

    internal static bool DropsInBulk(KernelProfile profile, DevPagemap target) =>
        profile.Has(KernelSwitch.BulkPagePut) && target.Type is (MemoryType.FsDax or MemoryType.DevDax);

    private static bool IsManaged(MemoryType type) =>
        type is MemoryType.FsDax or MemoryType.Private or MemoryType.Public;

    private static ulong CountMaskOf(DevPagemap target) => target.Ref?.CountMask ?? 0;

    private static ulong RefMaskOf(DevPagemap target) => target.Ref?.Mask ?? 0;

    private static KernelEvent Range(EventKind kind, DevPagemap target) =>
        new(kind, target) { Pfn = target.StartPfn, Count = target.PageCount };
}
