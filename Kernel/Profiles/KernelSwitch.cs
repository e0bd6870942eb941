namespace Fleet.Kernel.Profiles;

/// <summary>One place where a patch, or a later kernel, changed the order of steps.</summary>
/// <remarks>
/// All are off in <c>P0</c>, the tree the series applies to. A switch is read at the one place where its patch changed
/// the code. Source: kernel-model H.1 and section I (8); scenarios.md section 1.
/// </remarks>
[Flags]
public enum KernelSwitch : ulong
{
    None = 0,
    HasReleaseAction = 1UL << 0,
    HasMemunmap = 1UL << 1,
    UnmapOnPoolAddError = 1UL << 2,
    ChunkOwner = 1UL << 3,
    RefPerResource = 1UL << 4,
    AllocUsesRcu = 1UL << 5,
    ReleaseUsesLocalCopy = 1UL << 6,
    P2pSeparateCleanupAction = 1UL << 7,
    P2pCleanupCallback = 1UL << 8,
    CleanupInRelease = 1UL << 9,
    KillOnConflict = 1UL << 10,
    ReapOnError = 1UL << 11,
    RequireCleanup = 1UL << 12,
    ConsumersCleanUpInRelease = 1UL << 13,
    PmemRawQueueActionOnly = 1UL << 14,
    TestWrapperCleansUp = 1UL << 15,
    SingleFieldRead = 1UL << 16,
    SysfsUsesRcu = 1UL << 17,
    SetupPublishesLast = 1UL << 18,
    PmemRawQueueAfterMapping = 1UL << 19,
    DelGendiskDrains = 1UL << 20,
    PmemInternalRef = 1UL << 21,
    RefEmbedded = 1UL << 22,
    ExitAfterErase = 1UL << 23,
    SysfsMmap = 1UL << 24,
    MmapFailurePutsRef = 1UL << 25,
    MmapFailureResetsCount = 1UL << 26,
    UnpublishFirst = 1UL << 27,
    BulkPagePut = 1UL << 28,
    RefAlwaysReinit = 1UL << 29,
    Int32AvailWrap = 1UL << 30,
}

/// <summary>What a switch is for, as <c>fleet profile diff</c> prints it.</summary>
/// <param name="Switch">The switch.</param>
/// <param name="SetBy">The patch or kernel version that turns it on.</param>
/// <param name="Function">The kernel function whose steps change; the first of several.</param>
/// <param name="Effect">The step that changes, in one sentence.</param>
public sealed record KernelSwitchNote(KernelSwitch Switch, string SetBy, string Function, string Effect)
{
    /// <summary>Every switch, in the order in which history turned them on.</summary>
    public static IReadOnlyList<KernelSwitchNote> All { get; } =
    [
        new(KernelSwitch.HasReleaseAction, Patches.Title(1), "devm_release_action",
            "devm_release_action() exists: run and forget one registered action."),
        new(KernelSwitch.HasMemunmap, Patches.Title(2), "devm_memunmap_pages",
            "devm_memunmap_pages() exists: tear one mapping down early."),
        new(KernelSwitch.UnmapOnPoolAddError, Patches.Title(3), "pci_p2pdma_add_resource",
            "When the pool refuses a chunk, add_resource unmaps the pages before it frees their pgmap."),
        new(KernelSwitch.ChunkOwner, Patches.Title(4), "gen_pool_add_owner",
            "A chunk carries an owner; alloc and free report it."),
        new(
            KernelSwitch.RefPerResource, Patches.Title(5), "pci_p2pdma_add_resource",
            "Each resource has its own percpu_ref and completion; a kill is no longer guarded; the release no longer "
            + "waits for a shared one."),
        new(KernelSwitch.AllocUsesRcu, Patches.Title(5), "pci_alloc_p2pmem",
            "alloc runs in an RCU read section; the release clears the field first and waits for readers."),
        new(KernelSwitch.ReleaseUsesLocalCopy, Patches.Title(5) + " (second version)", "pci_p2pdma_release",
            "The release reaches the pool through a copy taken before the field is cleared."),
        new(KernelSwitch.P2pSeparateCleanupAction, Patches.Title(5), "pci_p2pdma_add_resource",
            "An older devres action of each p2pdma resource waits for its ref and exits it, after the memory is gone."),
        new(KernelSwitch.P2pCleanupCallback, Patches.Title(6), "pci_p2pdma_add_resource",
            "p2pdma hands devm_memremap_pages() a callback that waits for the ref and exits it."),
        new(
            KernelSwitch.CleanupInRelease, Patches.Title(6), "devm_memremap_pages_release",
            "The release waits for the ref and exits it between dropping the pages' references and "
            + "removing the memory."),
        new(KernelSwitch.KillOnConflict, Patches.Title(6), "devm_memremap_pages",
            "A section conflict kills the ref like every other failure."),
        new(KernelSwitch.ReapOnError, Patches.Title(6), "devm_memremap_pages",
            "Every error exit of devm_memremap_pages() waits until the ref is reaped."),
        new(KernelSwitch.RequireCleanup, Patches.Title(6), "devm_memremap_pages",
            "devm_memremap_pages() refuses a pgmap without a cleanup callback (WARN, -EINVAL)."),
        new(KernelSwitch.ConsumersCleanUpInRelease, Patches.Title(6), "dev_dax_probe",
            "device-dax, pmem and HMM reap in the release instead of in an older devres action."),
        new(KernelSwitch.PmemRawQueueActionOnly, Patches.Title(6), "pmem_attach_disk",
            "pmem registers the queue's release only in raw mode, still before the mapping."),
        new(KernelSwitch.TestWrapperCleansUp, Patches.Title(6), "nfit_test_kill",
            "The nvdimm test wrapper's kill also runs the cleanup callback."),
        new(KernelSwitch.SingleFieldRead, "v5.14 (finish RCU conversion of pdev->p2pdma)", "pci_alloc_p2pmem",
            "alloc reads the p2pdma field once."),
        new(KernelSwitch.SysfsUsesRcu, "v5.14 (finish RCU conversion of pdev->p2pdma)", "available_show",
            "sysfs reads run in an RCU read section and test the field."),
        new(KernelSwitch.SetupPublishesLast, "v5.14 (finish RCU conversion of pdev->p2pdma)", "pci_p2pdma_setup",
            "The field is set after the sysfs group exists."),
        new(
            KernelSwitch.PmemRawQueueAfterMapping, "v5.15 (pmem: fix crash triggered when I/O in-flight during unbind)",
            "pmem_attach_disk",
            "Raw pmem registers the queue's release after the mapping, so the drain comes first."),
        new(KernelSwitch.DelGendiskDrains, "v5.15-rc (block: drain file system I/O on del_gendisk)", "del_gendisk",
            "Removing the disk freezes the queue and waits for its usage counter."),
        new(
            KernelSwitch.PmemInternalRef, "v5.15 (pmem: stop using q_usage_count as external pgmap refcount)",
            "pmem_attach_disk",
            "pmem counts on a ref inside the pgmap; the pgmap's ref pointer is reset in cleanup."),
        new(KernelSwitch.RefEmbedded, "v5.17 (external pgmap refcounts removed)", "memunmap_pages",
            "Every ref lives in its pgmap and the pointer is never reset."),
        new(
            KernelSwitch.ExitAfterErase, "v6.0 (memremap: fix memunmap_pages() race with get_dev_pagemap())",
            "memunmap_pages",
            "The ref is exited after the map entry is erased."),
        new(
            KernelSwitch.SysfsMmap, "v6.2 (PCI/P2PDMA: Allow userspace VMA allocations through sysfs)",
            "p2pmem_alloc_mmap",
            "p2pmem/allocate can be mapped; unbind revokes the mappings first."),
        new(
            KernelSwitch.MmapFailurePutsRef, "2026 (Release per-CPU pgmap ref when vm_insert_page() fails)",
            "p2pmem_alloc_mmap",
            "A failed page insert gives its reference back."),
        new(
            KernelSwitch.MmapFailureResetsCount, "2026 (Reset page reference count when page mapping fails)",
            "p2pmem_alloc_mmap",
            "A failed page insert restores the page's idle count."),
        new(
            KernelSwitch.UnpublishFirst, "Fleet's own order", "pci_p2pdma_release",
            "The field is cleared, with a grace period, before the first mapping is released; "
            + "owners are freed after the pool."),
        new(
            KernelSwitch.BulkPagePut, "v5.18 (remove the extra ZONE_DEVICE struct page refcount)", "memunmap_pages",
            "The release of device-dax and fsdax drops the pages' references in bulk: a page that is still pinned no "
            + "longer holds the mapping."),
        new(KernelSwitch.RefAlwaysReinit, "until v5.3 (ALLOW_REINIT)", "percpu_ref_switch_to_atomic_rcu",
            "A percpu_ref keeps its per-CPU memory until exit."),
        new(
            KernelSwitch.Int32AvailWrap, "until v5.11 (lib/genalloc: fix the overflow when size is too big)",
            "gen_pool_alloc_algo_owner",
            "genalloc counts a chunk's free bytes in 32 bits."),
    ];
}

/// <summary>The six patches of the series, by number.</summary>
/// <remarks>Source: "mm/devm_memremap_pages: Fix page release race", version 2, 2019.</remarks>
public static class Patches
{
    private static readonly string[] Titles =
    [
        "drivers/base/devres: Introduce devm_release_action()",
        "mm/devm_memremap_pages: Introduce devm_memunmap_pages",
        "PCI/P2PDMA: Fix the gen_pool_add_virt() failure path",
        "lib/genalloc: Introduce chunk owners",
        "PCI/P2PDMA: Track pgmap references per resource, not globally",
        "mm/devm_memremap_pages: Fix final page put race",
    ];

    /// <param name="number">1 to 6.</param>
    public static string Title(int number) => $"patch {number}: \"{Titles[number - 1]}\"";
}
