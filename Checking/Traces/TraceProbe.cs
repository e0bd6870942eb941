using System.Collections.Immutable;

namespace Fleet.Checking.Traces;

/// <summary>The probes that the judge understands, by the names of <see cref="TraceProbes"/>.</summary>
/// <remarks>An event named like the function is its entry, one with <c>_ret</c> its return.</remarks>
internal enum TraceProbe : byte
{
    Unknown,

    /// <summary>Known, and of no consequence for any rule.</summary>
    Ignored,
    Mark, FunctionEntry,
    ReallyProbe, ReallyProbeRet, ReleaseDriver, ReleaseDriverRet, DevresReleaseAll,
    AddAction, AddActionRet, ActionRelease, NvmeProbe,
    AddResource, AddResourceRet, P2pdmaRelease,
    AllocP2pmem, AllocP2pmemRet, FreeP2pmem, FreeP2pmemRet, AllocMmap,
    PoolCreate, PoolCreateRet, PoolAdd, PoolAddRet, PoolAlloc, PoolAllocRet, PoolFree, PoolFreeRet, PoolDestroy,
    PoolDestroyRet,
    DevmMemremap, Memremap, MemremapRet, Memunmap, MemunmapRet,
    RefReleaseCallback, RefReleaseCallbackRet, RefInit, RefInitRet, RefKill, RefSwitch, RefExit, RefResurrect,
    RefReinit,
    AddMemory, AddMemoryRet, AddPages, InitPages, RemoveMemory, RemoveMemoryRet, RemovePages, RemovePagesRet,
    FolioFree, FolioFreeRet, PageFree, PageFreeRet, PageInit, InsertPage, InsertPageRet, BioRelease,
    PageRefSet, PageRefMod, PageRefTest, HungTask,
}

/// <summary>Finds a probe by the bytes of its name, without making a string.</summary>
internal static class TraceProbeNames
{
    private static readonly ImmutableArray<(string Name, TraceProbe Probe)> Known =
    [
        ("tracing_mark_write", TraceProbe.Mark), ("print", TraceProbe.Mark), ("bprint", TraceProbe.Ignored),
        ("bputs", TraceProbe.Ignored),
        ("really_probe", TraceProbe.ReallyProbe), ("really_probe_ret", TraceProbe.ReallyProbeRet),
        ("device_release_driver_internal", TraceProbe.ReleaseDriver),
        ("device_release_driver_internal_ret", TraceProbe.ReleaseDriverRet),
        ("devres_release_all", TraceProbe.DevresReleaseAll), ("devres_release_all_ret", TraceProbe.Ignored),
        ("__devm_add_action", TraceProbe.AddAction), ("__devm_add_action_ret", TraceProbe.AddActionRet),
        ("devm_action_release", TraceProbe.ActionRelease), ("devm_action_release_ret", TraceProbe.Ignored),
        ("nvme_probe", TraceProbe.NvmeProbe), ("nvme_probe_ret", TraceProbe.Ignored),
        ("nvme_remove", TraceProbe.Ignored), ("nvme_remove_ret", TraceProbe.Ignored),
        ("pci_p2pdma_add_resource", TraceProbe.AddResource), ("pci_p2pdma_add_resource_ret", TraceProbe.AddResourceRet),
        ("pci_p2pdma_release", TraceProbe.P2pdmaRelease), ("pci_p2pdma_release_ret", TraceProbe.Ignored),
        ("pci_p2pdma_unmap_mappings", TraceProbe.Ignored), ("pci_p2pdma_unmap_mappings_ret", TraceProbe.Ignored),
        ("pci_p2pdma_setup", TraceProbe.Ignored), ("pcim_p2pdma_init", TraceProbe.Ignored),
        ("pcim_p2pdma_init_ret", TraceProbe.Ignored),
        ("pci_p2pdma_release_pool", TraceProbe.Ignored), ("pci_p2pdma_release_pool_ret", TraceProbe.Ignored),
        ("pci_p2pmem_publish", TraceProbe.Ignored),
        ("pci_alloc_p2pmem", TraceProbe.AllocP2pmem), ("pci_alloc_p2pmem_ret", TraceProbe.AllocP2pmemRet),
        ("pci_free_p2pmem", TraceProbe.FreeP2pmem), ("pci_free_p2pmem_ret", TraceProbe.FreeP2pmemRet),
        ("p2pmem_alloc_mmap", TraceProbe.AllocMmap), ("p2pmem_alloc_mmap_ret", TraceProbe.Ignored),
        ("p2pdma_page_free", TraceProbe.PageFree), ("p2pdma_page_free_ret", TraceProbe.PageFreeRet),
        ("p2pdma_folio_free", TraceProbe.PageFree), ("p2pdma_folio_free_ret", TraceProbe.PageFreeRet),
        ("dmirror_devmem_free", TraceProbe.PageFree), ("dmirror_devmem_free_ret", TraceProbe.Ignored),
        ("gen_pool_create", TraceProbe.PoolCreate), ("gen_pool_create_ret", TraceProbe.PoolCreateRet),
        ("gen_pool_add_owner", TraceProbe.PoolAdd), ("gen_pool_add_owner_ret", TraceProbe.PoolAddRet),
        ("gen_pool_alloc_algo_owner", TraceProbe.PoolAlloc), ("gen_pool_alloc_algo_owner_ret", TraceProbe.PoolAllocRet),
        ("gen_pool_free_owner", TraceProbe.PoolFree), ("gen_pool_free_owner_ret", TraceProbe.PoolFreeRet),
        ("gen_pool_destroy", TraceProbe.PoolDestroy), ("gen_pool_destroy_ret", TraceProbe.PoolDestroyRet),
        ("devm_memremap_pages", TraceProbe.DevmMemremap), ("devm_memremap_pages_ret", TraceProbe.Ignored),
        ("memremap_pages", TraceProbe.Memremap), ("memremap_pages_ret", TraceProbe.MemremapRet),
        ("memunmap_pages", TraceProbe.Memunmap), ("memunmap_pages_ret", TraceProbe.MemunmapRet),
        ("devm_memunmap_pages", TraceProbe.Ignored), ("pageunmap_range", TraceProbe.Ignored),
        ("pageunmap_range_ret", TraceProbe.Ignored),
        ("devm_memremap_pages_release", TraceProbe.Ignored), ("devm_memremap_pages_release_ret", TraceProbe.Ignored),
        ("dev_pagemap_percpu_release", TraceProbe.RefReleaseCallback),
        ("dev_pagemap_percpu_release_ret", TraceProbe.RefReleaseCallbackRet),
        ("percpu_ref_init", TraceProbe.RefInit), ("percpu_ref_init_ret", TraceProbe.RefInitRet),
        ("percpu_ref_kill_and_confirm", TraceProbe.RefKill), ("percpu_ref_switch_to_atomic_rcu", TraceProbe.RefSwitch),
        ("percpu_ref_exit", TraceProbe.RefExit), ("percpu_ref_resurrect", TraceProbe.RefResurrect),
        ("percpu_ref_reinit", TraceProbe.RefReinit),
        ("arch_add_memory", TraceProbe.AddMemory), ("arch_add_memory_ret", TraceProbe.AddMemoryRet),
        ("arch_remove_memory", TraceProbe.RemoveMemory), ("arch_remove_memory_ret", TraceProbe.RemoveMemoryRet),
        ("__add_pages", TraceProbe.AddPages), ("__remove_pages", TraceProbe.RemovePages),
        ("__remove_pages_ret", TraceProbe.RemovePagesRet),
        ("move_pfn_range_to_zone", TraceProbe.Ignored), ("remove_pfn_range_from_zone", TraceProbe.Ignored),
        ("memmap_init_zone_device", TraceProbe.InitPages), ("memmap_init_zone_device_ret", TraceProbe.Ignored),
        ("free_zone_device_folio", TraceProbe.FolioFree), ("free_zone_device_folio_ret", TraceProbe.FolioFreeRet),
        ("free_zone_device_page", TraceProbe.FolioFree), ("free_zone_device_page_ret", TraceProbe.FolioFreeRet),
        ("zone_device_page_init", TraceProbe.PageInit),
        ("vm_insert_page", TraceProbe.InsertPage), ("vm_insert_page_ret", TraceProbe.InsertPageRet),
        ("bio_release_pages", TraceProbe.BioRelease), ("bio_release_pages_ret", TraceProbe.Ignored),
        ("kernfs_remove_by_name_ns", TraceProbe.Ignored), ("kernfs_drain_open_files", TraceProbe.Ignored),
        ("unmap_mapping_range", TraceProbe.Ignored), ("kill_dax", TraceProbe.Ignored),
        ("kill_dev_dax", TraceProbe.Ignored),
        ("dev_dax_probe", TraceProbe.Ignored), ("dev_dax_probe_ret", TraceProbe.Ignored),
        ("dev_dax_fault", TraceProbe.Ignored),
        ("pmem_attach_disk", TraceProbe.Ignored), ("pmem_attach_disk_ret", TraceProbe.Ignored),
        ("nd_pmem_remove", TraceProbe.Ignored),
        ("pmem_release_disk", TraceProbe.Ignored), ("pmem_pagemap_kill", TraceProbe.Ignored),
        ("dax_layout_busy_page_range", TraceProbe.Ignored), ("dax_layout_busy_page_range_ret", TraceProbe.Ignored),
        ("page_ref_set", TraceProbe.PageRefSet), ("page_ref_mod", TraceProbe.PageRefMod),
        ("page_ref_mod_and_test", TraceProbe.PageRefTest), ("page_ref_mod_and_return", TraceProbe.PageRefTest),
        ("page_ref_mod_unless", TraceProbe.PageRefTest), ("page_ref_freeze", TraceProbe.PageRefTest),
        ("page_ref_unfreeze", TraceProbe.PageRefSet),
        ("sched_process_hang", TraceProbe.HungTask),
    ];

    private const int Slots = 1024;

    private static readonly (byte[] Name, TraceProbe Probe)[] Table = Build();

    public static TraceProbe Find(ReadOnlySpan<byte> name)
    {
        for (var slot = SlotOf(name); Table[slot].Name is { } known; slot = (slot + 1) & (Slots - 1))
        {
            if (name.SequenceEqual(known))
            {
                return Table[slot].Probe;
            }
        }

        return TraceProbe.Unknown;
    }

    private static (byte[] Name, TraceProbe Probe)[] Build()
    {
        var table = new (byte[] Name, TraceProbe Probe)[Slots];
        foreach (var (name, probe) in Known)
        {
            var bytes = System.Text.Encoding.ASCII.GetBytes(name);
            var slot = SlotOf(bytes);
            while (table[slot].Name is not null)
            {
                slot = (slot + 1) & (Slots - 1);
            }

            table[slot] = (bytes, probe);
        }

        return table;
    }

    private static int SlotOf(ReadOnlySpan<byte> name)
    {
        unchecked
        {
            var hash = (uint)name.Length * 2654435761u;
            foreach (var letter in name)
            {
                hash = (hash ^ letter) * 16777619u;
            }

            return (int)((hash ^ (hash >> 15)) & (Slots - 1));
        }
    }
}
