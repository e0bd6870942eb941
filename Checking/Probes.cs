namespace Fleet.Checking;

/// <summary>A rare situation that a run has to have met before its green verdict means something.</summary>
public enum Probe : byte
{
    /// <summary>
    /// An alloc that the device executed between <c>teardown_begin</c> and <c>teardown_end</c> of a mapping.
    /// </summary>
    AllocBetweenKillAndWaitEnd,

    /// <summary>
    /// A free, within such a window, of the last allocation that still lay in the mapping being torn down; or any free
    /// that a <c>ref_zero</c> names in its <c>after</c>.
    /// </summary>
    FreeEndsWait,

    /// <summary>
    /// A teardown during which an access executed at the page map, after <c>unbind_begin</c> and before
    /// <c>memory_remove</c>: its position follows the one named by <c>switch_done.after</c>, or it was sent after the
    /// unbind began by comparable clocks.
    /// </summary>
    AccessInTeardownWindow,

    /// <summary>An <c>unbind_begin</c> of a device of which at least one allocation was live.</summary>
    UnbindWithLiveHolder,

    /// <summary>A <c>chunk_add</c> over addresses of a mapping that the same device tore down before.</summary>
    RebindReusesRange,

    /// <summary>A <c>teardown_end</c> while an allocation was live in another, older mapping of the device.</summary>
    HolderOnOlderResource,

    /// <summary>
    /// An alloc refused by a resource that was being torn down while another of the device was still mapped.
    /// </summary>
    RefusedWhileOtherLives,

    /// <summary>An incarnation that began while the one before it was tearing down.</summary>
    IncarnationDuringTeardown,

    /// <summary>An add_resource that failed.</summary>
    AddResourceFails,

    /// <summary>An access that reached a page whose memory was removed.</summary>
    AccessAfterRemove,
}

/// <summary>The names by which scenarios require probes.</summary>
public static class Probes
{
    private static readonly (string Name, string Situation)[] Known =
    [
        ("alloc-between-kill-and-wait-end", "no allocation was tried while a mapping was being torn down"),
        ("free-ends-wait", "no free ended a teardown's wait"),
        ("access-in-teardown-window",
            "no access executed between the begin of an unbind and the removal of the memory"),
        ("unbind-with-live-holder", "no unbind began while an allocation of the device was live"),
        ("rebind-reuses-range", "no device was bound again over the addresses of an earlier mapping"),
        ("holder-on-older-resource", "no mapping was torn down while an older one of the same device had a holder"),
        ("refused-while-other-lives", "no allocation was refused by a dying resource while another one lived"),
        ("incarnation-during-teardown", "no incarnation began while the one before it was tearing down"),
        ("add-resource-fails", "no add_resource failed"),
        ("access-after-remove", "no access reached removed memory"),
    ];

    public static IReadOnlyList<string> Names { get; } = [.. Known.Select(k => k.Name)];

    public static string Name(Probe probe) => Known[(int)probe].Name;

    /// <summary>Returns what never happened when the count is zero, as a clause without a full stop.</summary>
    public static string Missing(string name)
    {
        var known = Array.Find(Known, k => k.Name == name);
        return known.Situation ?? "no such probe is known";
    }
}
