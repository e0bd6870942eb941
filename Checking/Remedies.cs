using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking;

/// <summary>
/// Which change forbids what a finding shows: a patch of the series, or a later fix of a residual defect.
/// </summary>
/// <remarks>
/// Source: kernel-model sections C.2 to C.8 and I; the profile decides, as the same rule breaks for different reasons.
/// </remarks>
public static class Remedies
{
    private static readonly string[] Patches =
    [
        "patch 1: \"drivers/base/devres: Introduce devm_release_action()\"",
        "patch 2: \"mm/devm_memremap_pages: Introduce devm_memunmap_pages\"",
        "patch 3: \"PCI/P2PDMA: Fix the gen_pool_add_virt() failure path\"",
        "patch 4: \"lib/genalloc: Introduce chunk owners\"",
        "patch 5: \"PCI/P2PDMA: Track pgmap references per resource, not globally\"",
        "patch 6: \"mm/devm_memremap_pages: Fix final page put race\"",
    ];

    private const string R1 =
        "R1: pci_alloc_p2pmem reads the p2pdma field twice "
            + "(fixed by \"PCI/P2PDMA: Finish RCU conversion of pdev->p2pdma\", v5.14)";

    private const string R2 =
        "R2: the owner of a chunk is freed before the pool that names it (Fleet's CLEAN: unpublish first, free the "
        + "owners after the pool)";

    private const string R3 = "R3: raw pmem unmaps before it drains its queue (fixed in v5.15)";

    private const string BulkPut =
        "the bulk drop of page references at teardown (v5.18): a page that somebody pins no longer holds the mapping";

    private const string LocalCopy =
        "version 2 of patch 5: pci_p2pdma_release reaches the pool through a local copy, not through the field it "
        + "has cleared";

    /// <summary>Returns the title of a patch of the series, 1 to 6, as findings name it.</summary>
    public static string Patch(int number) => Patches[number - 1];

    /// <summary>
    /// Returns what forbids a violation of <paramref name="rule"/> under a profile; null when nothing is known to.
    /// </summary>
    /// <param name="obj">Name of the object at which it was decided; R3 is of nvdimm regions alone.</param>
    public static string? For(Rule rule, FindingClass @class, string variant, string profile, string obj)
    {
        if (@class is FindingClass.Client or FindingClass.Infrastructure or FindingClass.Harness)
        {
            return null;
        }

        var id = Canonical(profile);
        var beforeThree = id is "P0" or "P1" or "P2" or "ALL-p3";
        var beforeFive = id is "P0" or "P1" or "P2" or "P3" or "P4" or "X6-5";
        var beforeSix = id is "P0" or "P1" or "P2" or "P3" or "P4" or "P5";
        return rule.Name switch
        {
            "REAP-BEFORE-REMOVE" or "NO-USE-AFTER-REMOVE" or "TAG-MISMATCH" =>
                beforeSix ? Patch(6) : id is "MAINLINE" ? BulkPut
                : id is "ALL" or "L514" && obj.Contains("/nd:", StringComparison.Ordinal) ? R3
                : null,
            "EXIT-AFTER-ZERO" or "EXIT-NOT-SWITCHING" or "CLEANUP-ONCE-AFTER-KILL" => beforeSix ? Patch(6) : null,
            "NO-GET-FROM-ZERO" or "WAIT-EFFECTIVE" or "COUNT-CONSERVATION" => beforeFive ? Patch(5) : null,
            "RES-INDEP" or "NO-PERMANENT-REFUSAL" => beforeFive ? Patch(5) : null,
            "OWNER-ALIVE" => R2,
            "NO-STALE-DATA" or "ERROR-NO-RESIDUE" or "MAP-ERASED-BEFORE-FREE" =>
                beforeThree ? Patch(3) : beforeSix ? Patch(6) : null,
            "NO-OP-AFTER-FREE" =>
                variant.Contains("switch", StringComparison.Ordinal) ? (beforeSix ? Patch(6) : null)
                : IsAlloc(variant) ? R2
                : beforeThree ? Patch(3)
                : beforeSix ? Patch(6)
                : null,
            "NO-NULL-DEREF" => id is "V1" && !IsAlloc(variant) ? LocalCopy : R1,
            "UNBIND-LIVE" or "ERROR-PATH-TERMINATES" or "KILL-PROGRESS" =>
                id is "X6-5" ? Patch(5) : beforeSix ? Patch(6) : id is "V1" ? LocalCopy : null,
            "DESTROY-EMPTY" when variant is "after-oops" && !beforeFive => R2,
            "UNBIND-QUIESCENT" or "PROBE-FAIL-QUIESCENT" or "NO-LEAK" or "DESTROY-EMPTY" =>
                beforeThree ? Patch(3) : beforeSix ? Patch(6) : null,
            _ => null,
        };
    }

    /// <summary>Returns a remedy as a sentence: what forbids the finding, or the defect that causes it.</summary>
    public static string Sentence(string remedy) =>
        remedy.StartsWith('R') || remedy.StartsWith("the ", StringComparison.Ordinal)
            ? $"Cause: {remedy}."
            : $"Forbidden by {remedy}.";

    private static bool IsAlloc(string variant) =>
        variant.Contains("alloc", StringComparison.Ordinal) || variant.Contains("tryget", StringComparison.Ordinal);

    internal static string Canonical(string profile) => profile switch
    {
        "BEFORE" or "v5.1" => "P0",
        "AFTER" or "P6" or "v5.2" => "ALL",
        "ALL-p1" or "ALL-p2" => "ALL-p3",
        "ALL-p4" or "ALL-p5" => "X6-5",
        "ALL-p6" => "P5",
        "" => "P0",
        _ => profile,
    };
}
