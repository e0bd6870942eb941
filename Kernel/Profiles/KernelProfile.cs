using System.Diagnostics.CodeAnalysis;

namespace Fleet.Kernel.Profiles;

/// <summary>A named set of switches: one kernel, real or counterfactual.</summary>
/// <remarks>Source: scenarios.md section 1, kernel-model C.8 and section I.</remarks>
public sealed class KernelProfile
{
    private const KernelSwitch P2 = KernelSwitch.HasReleaseAction | KernelSwitch.HasMemunmap;
    private const KernelSwitch Always = KernelSwitch.RefAlwaysReinit;

    private const KernelSwitch Patch5 = KernelSwitch.RefPerResource | KernelSwitch.AllocUsesRcu
        | KernelSwitch.ReleaseUsesLocalCopy;

    private const KernelSwitch Patch6Consumers = KernelSwitch.CleanupInRelease | KernelSwitch.KillOnConflict
        | KernelSwitch.ReapOnError | KernelSwitch.RequireCleanup | KernelSwitch.ConsumersCleanUpInRelease
        | KernelSwitch.PmemRawQueueActionOnly | KernelSwitch.TestWrapperCleansUp;

    private const KernelSwitch Patch6 = Patch6Consumers | KernelSwitch.P2pCleanupCallback;
    private const KernelSwitch P3 = P2 | KernelSwitch.UnmapOnPoolAddError;
    private const KernelSwitch P4 = P3 | KernelSwitch.ChunkOwner;
    private const KernelSwitch P5 = P4 | Patch5 | KernelSwitch.P2pSeparateCleanupAction;
    private const KernelSwitch AllSix = P4 | Patch5 | Patch6;

    private const KernelSwitch L514 = AllSix | KernelSwitch.SingleFieldRead | KernelSwitch.SysfsUsesRcu
        | KernelSwitch.SetupPublishesLast;

    private const KernelSwitch L515a = L514 | KernelSwitch.PmemRawQueueAfterMapping;
    private const KernelSwitch L515b = L515a | KernelSwitch.DelGendiskDrains;
    private const KernelSwitch L515c = L515b | KernelSwitch.PmemInternalRef;
    private const KernelSwitch L60 = L515c | KernelSwitch.RefEmbedded | KernelSwitch.ExitAfterErase;
    private const KernelSwitch L62 = L60 | KernelSwitch.SysfsMmap;
    private const KernelSwitch L62F = L62 | KernelSwitch.MmapFailurePutsRef | KernelSwitch.MmapFailureResetsCount;

    private readonly KernelSwitch _switches;

    private KernelProfile(string name, KernelSwitch switches, string meaning, params string[] aliases)
    {
        Name = name;
        _switches = switches | Always;
        Meaning = meaning;
        Aliases = aliases;
    }

    /// <summary>
    /// Every profile, in the order of <c>matrix.csv</c>'s columns; those that are no column come last.
    /// </summary>
    public static IReadOnlyList<KernelProfile> All { get; } =
    [
        new("P0", KernelSwitch.None, "None of the six patches: the tree the series applies to.", "BEFORE", "v5.1"),
        new("P1", KernelSwitch.HasReleaseAction, "Patch 1: the new call is unused, everything as P0."),
        new("P2", P2, "Patches 1 and 2: the new calls are unused, everything as P0."),
        new("P3", P3, "Patches 1 to 3: a failed pool-add unmaps, and so poisons the shared ref."),
        new("P4", P4, "Patches 1 to 4: owners exist, nobody uses them; everything as P3."),
        new("P5", P5, "Patches 1 to 5: one ref per resource, reaped by an older action, after the memory is gone."),
        new("ALL", AllSix, "All six patches.", "P6", "AFTER", "v5.2"),
        new("V1", AllSix & ~KernelSwitch.ReleaseUsesLocalCopy,
            "The series' first version: the release reads the pool through the field that it has just cleared."),
        new(
            "X6-5", P4 | Patch6,
            "Patch 6 without patch 5 (counterfactual): the release of one mapping waits for all of them.",
            "ALL-p4", "ALL-p5"),
        new(
            "X6c", Patch6Consumers,
            "Patch 6 for device-dax, pmem and HMM only (counterfactual): p2pdma is refused for want of "
            + "a cleanup callback."),
        new("ALL-p3", AllSix & ~KernelSwitch.UnmapOnPoolAddError, "All but the repaired failure path of patch 3.",
            "ALL-p1", "ALL-p2"),
        new("L514", L514, "v5.14: the RCU conversion of the p2pdma field is complete.", "v5.14"),
        new("L515a", L515a, "v5.15-rc: raw pmem drains its queue before it unmaps."),
        new("L515b", L515b, "v5.15-rc6: removing a disk drains the counter that fsdax still uses as its ref."),
        new("L515c", L515c, "v5.15: pmem on a ref inside the pgmap.", "v5.15"),
        new("L60", L60, "v6.0: embedded refs, exited after the map entry is erased.", "v6.0"),
        new("L62", L62, "v6.2: p2p memory can be mapped through sysfs.", "v6.2"),
        new("L62f", L62F, "v6.2 with the fixes of 2026."),
        new("CLEAN", L62F | KernelSwitch.UnpublishFirst,
            "The order that Fleet proposes: unpublish first, owners last. No known defect left."),
        new("MAINLINE", L62F | KernelSwitch.BulkPagePut,
            "The closest to today's kernel: page references are dropped in bulk."),
    ];

    /// <summary>The profile of all six patches, which is the default.</summary>
    public static KernelProfile Default { get; } = All.Single(p => p.Name == "ALL");

    public string Name { get; }

    /// <summary>What this kernel is, in one sentence.</summary>
    public string Meaning { get; }

    /// <summary>Other names of the same set.</summary>
    public IReadOnlyList<string> Aliases { get; }

    /// <summary>What is switched on, with the patch that does it.</summary>
    public IEnumerable<KernelSwitchNote> Switches => KernelSwitchNote.All.Where(n => Has(n.Switch));

    /// <summary>
    /// Finds a profile by name or alias; <c>ALL-p6</c> is <c>P5</c>. Upper and lower case are the same.
    /// </summary>
    public static bool TryParse(string name, [NotNullWhen(true)] out KernelProfile? profile)
    {
        var wanted = string.Equals(name, "ALL-p6", StringComparison.OrdinalIgnoreCase) ? "P5" : name;
        profile = All.FirstOrDefault(p => string.Equals(p.Name, wanted, StringComparison.OrdinalIgnoreCase)
            || p.Aliases.Contains(wanted, StringComparer.OrdinalIgnoreCase));
        return profile is not null;
    }

    /// <summary>Returns the switches in which two profiles differ; <c>On</c> says which of them has it.</summary>
    public static IEnumerable<(KernelSwitchNote Note, KernelProfile On)> Diff(
        KernelProfile left, KernelProfile right) =>
        from note in KernelSwitchNote.All
        where left.Has(note.Switch) != right.Has(note.Switch)
        select (note, left.Has(note.Switch) ? left : right);

    public override string ToString() => Name;

    internal bool Has(KernelSwitch one) => (_switches & one) != 0;
}
