using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Museum;

/// <summary>A defect of history with its fixed counterpart.</summary>
/// <param name="Name">Short and stable.</param>
/// <param name="What">What went wrong, in one sentence.</param>
/// <param name="FixedBy">The change after which the scenario is clean.</param>
public sealed record MuseumEntry(
    string Name, string What, string Scenario, KernelRule Rule, string BrokenProfile, string FixedProfile,
    string FixedBy);

/// <summary>What showing one entry found.</summary>
/// <param name="Found">The defect came out of exploring.</param>
/// <param name="FoundAfter">Schedules until then.</param>
/// <param name="Schedule">The first that shows it.</param>
/// <param name="FixIsClean">The fixed kernel never breaks the rule.</param>
/// <param name="FixSchedules">Schedules of the fixed kernel.</param>
/// <param name="FixIsExhausted">They were all.</param>
public sealed record MuseumResult(
    MuseumEntry Entry,
    bool Found,
    long FoundAfter,
    FoundSchedule? Schedule,
    bool FixIsClean,
    long FixSchedules,
    bool FixIsExhausted)
{
    /// <summary>Found, and absent from the fixed kernel in all schedules, or in 100 times as many.</summary>
    public bool Holds => Found && FixIsClean && (FixIsExhausted || FixSchedules >= 100 * FoundAfter);
}

/// <summary>One world for every defect, from the six patches to today's kernel.</summary>
/// <remarks>Patches 1, 2 and 4 enable others and remove no defect by themselves. Source: kernel-model C, F.</remarks>
public static class MuseumCatalog
{
    private static readonly string Patch3 = Patches.Title(3);
    private static readonly string Patch5 = Patches.Title(5);
    private static readonly string Patch6 = Patches.Title(6);

    public static IReadOnlyList<MuseumEntry> All { get; } =
    [
        new("final-put", "A holder touches peer-to-peer memory that the unbind has removed.",
            "S2", KernelRule.NoUseAfterRemove, "P5", "ALL", Patch6),
        new("final-put-page", "The last put of a pinned page reads a struct page that is gone.",
            "S3", KernelRule.NoUseAfterRemove, "P5", "ALL", Patch6),
        new("pool-add", "A failed pool-add frees a pgmap whose release is still registered.",
            "S4", KernelRule.ObjLive, "ALL-p3", "ALL", Patch3),
        new("shared-ref", "A failure of the second resource kills the ref of the first.",
            "S6", KernelRule.ResIndep, "P4", "ALL", Patch5),
        new("freed-p2pdma", "An alloc without a read section uses the freed p2pdma object.",
            "S9", KernelRule.ObjLive, "X6-5", "ALL", Patch5),
        new("shared-ref-deadlock", "With one ref per device the release of one mapping waits for the next.",
            "S7", KernelRule.UnbindLive, "X6-5", "ALL", Patch5),
        new("dax-exit", "device-dax exits a ref whose mode switch is pending.",
            "S12", KernelRule.ExitNotSwitching, "P5", "ALL", Patch6),
        new("hmm-conflict", "A section conflict leaves HMM's exit action waiting for a kill that nobody makes.",
            "S14", KernelRule.UnbindLive, "P5", "ALL", Patch6),
        new("fsdax-put", "A pinned fsdax page is put after its memory was removed.",
            "S15", KernelRule.NoUseAfterRemove, "P5", "ALL", Patch6),
        new("dax-put", "A pinned dax page is put after its memory was removed.",
            "S29", KernelRule.NoUseAfterRemove, "P5", "ALL", Patch6),
        new("v1", "The first version reads the pool through the field that it has just cleared.",
            "S1", KernelRule.NoNullDeref, "V1", "ALL", "version 2 of the series"),
        new("r1-double-read", "alloc reads the field twice, and NULL the second time.",
            "S9", KernelRule.NoNullDeref, "ALL", "L514", "v5.14: finish RCU conversion of pdev->p2pdma"),
        new("r5-sysfs", "A sysfs read meets a cleared field or a destroyed pool.",
            "S10", KernelRule.SysfsSafe, "ALL", "L514", "v5.14: finish RCU conversion of pdev->p2pdma"),
        new("published-early", "A client finds the field of a set-up that then fails.",
            "S24", KernelRule.NoNullDeref, "ALL", "L514", "v5.14: finish RCU conversion of pdev->p2pdma"),
        new("r3-raw-pmem", "Raw pmem unmaps while a request is in flight.",
            "S16", KernelRule.NoUseAfterRemove, "L514", "L515a",
            "v5.15: fix crash triggered when I/O in-flight during unbind"),
        new("del-gendisk", "Removing the disk drains a counter that a later step owes references of.",
            "S21", KernelRule.UnbindLive, "L515b", "L515c",
            "v5.15: stop using q_usage_count as external pgmap refcount"),
        new("r6-queue-leak", "A failure between the queue and the mapping leaks the queue.",
            "S17", KernelRule.NoLeak, "ALL", "L515c", "v5.15: the queue comes with its disk"),
        new("r4-freed-queue", "A lookup reads the counter of a queue that was freed before the map entry went.",
            "S18", KernelRule.ObjLive, "L515a", "L60", "v5.17 and v6.0: ref in the pgmap, exit after erase"),
        new("r4-null-ref", "A lookup finds the ref pointer already reset.",
            "S18", KernelRule.NoNullDeref, "L515c", "L60", "v5.17: external pgmap refcounts removed"),
        new("r4-lookup", "A lookup reads a ref that was exited before the map entry went.",
            "S28", KernelRule.LookupSafe, "ALL", "L60", "v6.0: fix memunmap_pages() race with get_dev_pagemap()"),
        new("insert-leak", "A failed page insert keeps its reference, and the unbind waits for ever.",
            "S22", KernelRule.UnbindLive, "L62", "L62f", "2026: release per-CPU pgmap ref when vm_insert_page() fails"),
        new("insert-count", "A failed page insert leaves the page's count behind.",
            "S23", KernelRule.PageCountNonneg, "L62", "L62f",
            "2026: reset page reference count when page mapping fails"),
        new("mainline-dax", "Page references dropped in bulk no longer keep the mapping of a pinned dax page.",
            "S29", KernelRule.NoUseAfterRemove, "MAINLINE", "L62f", "nothing yet: references dropped page by page"),
        new("r2-owner", "The allocator reads an owner whose memory was freed before the field was cleared.",
            "S8", KernelRule.OwnerAlive, "L62f", "CLEAN", "unpublish first, owners last (Fleet's own order)"),
        new("r2-owner-one", "The same with one resource, between the free and the clear.",
            "S27", KernelRule.OwnerAlive, "L62f", "CLEAN", "unpublish first, owners last (Fleet's own order)"),
    ];

    /// <summary>Looks for the defect until it shows, then explores the fixed kernel.</summary>
    public static MuseumResult Show(MuseumEntry entry, ExploreOptions options)
    {
        var (scenario, broken) = Explorer.Find(entry.Scenario, entry.BrokenProfile);
        var (_, repaired) = Explorer.Find(entry.Scenario, entry.FixedProfile);
        var found = Explorer.Run(scenario, broken, options with { StopAt = RuleSet.Of(entry.Rule) });
        var clean = Explorer.Run(scenario, repaired, options);
        var schedule = found.First.GetValueOrDefault(entry.Rule);
        return new(
            entry,
            schedule is not null,
            schedule?.Number ?? found.Schedules,
            schedule,
            !clean.Broken.Has(entry.Rule),
            clean.Schedules,
            clean.IsExhausted);
    }
}
