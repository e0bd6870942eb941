using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Memremap;

/// <summary>get_dev_pagemap and put_dev_pagemap: from a page frame to its live page map, with one reference.</summary>
/// <remarks>
/// The events of a lookup, all of kind <c>map_lookup</c>: <c>load</c> when the entry was found, <c>flags</c> and
/// <c>increment</c> at each read of the ref, <c>found</c> or <c>none</c> at the return. Needs the map of page maps
/// here.
/// Source: kernel/memremap.c @ v5.2; kernel-model B.4, C.7 (R4), C.10, I11.
/// </remarks>
public static class LookupProcedures
{
    /// <summary>Finds the page map of a page frame unless it is dying.</summary>
    /// <param name="cached">A map held from an earlier lookup: returned again if it covers the frame, else put.</param>
    /// <returns>Null when there is none or its ref is dead.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<DevPagemap?> GetDevPagemap<THost>(
        THost host, ulong pfn, DevPagemap? cached = null)
        where THost : struct, IDirectHost<THost>
    {
        if (cached is not null)
        {
            if (cached.Covers(pfn))
            {
                return cached;
            }

            await PutDevPagemap(host, cached);
        }

        await host.Point(Step.RcuEnter, 0, host.RcuMask);
        host.RcuEnter();
        var found = await LoadLive(host, pfn);
        await host.Point(Step.RcuExit, found?.Mask ?? 0, host.RcuMask);
        host.RcuExit();

        // Told in the step that returns: a success is judged by whether the memory was gone by then.
        host.Emit(new KernelEvent(EventKind.MapLookup, found, found?.Ref)
        {
            Pfn = pfn,
            Fn = found is null ? "none" : "found",
        });
        return found;
    }

    /// <summary>Gives the reference of a lookup back; null is tolerated.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask PutDevPagemap<THost>(THost host, DevPagemap? map)
        where THost : struct, IDirectHost<THost>
    {
        if (map is null)
        {
            return;
        }

        var held = await ReadRef(host, map, "put_dev_pagemap reads the pgmap's ref pointer");
        await RefProcedures.Put(host, held, 1);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<DevPagemap?> LoadLive<THost>(THost host, ulong pfn)
        where THost : struct, IDirectHost<THost>
    {
        // Which entry is found depends on every map of the world.
        await host.Point(Step.MapLoad, ulong.MaxValue, 0);
        var map = host.Registry.Lookup(pfn);
        if (map is null)
        {
            return null;
        }

        host.Emit(new KernelEvent(EventKind.MapLookup, map) { Pfn = pfn, Fn = "load" });
        var counted = await ReadRef(host, map, "get_dev_pagemap reads the pgmap's ref pointer");
        return await RefProcedures.TryGetLive(host, counted, map) ? map : null;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<RefObject> ReadRef<THost>(THost host, DevPagemap map, string where)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.ReadRefPointer, map.Container.Mask | map.EntryMask, 0);
        if (map.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, map.Container, where);
        }

        if (map.Ref is null)
        {
            await host.Die(OopsKind.NullDereference, null, where);
        }

        return map.Ref!;
    }
}
