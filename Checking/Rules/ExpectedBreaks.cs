namespace Fleet.Checking.Rules;

/// <summary>Which rules a kernel is known to break, in at least one world and one schedule.</summary>
/// <remarks>
/// Source: matrix.csv of the specification, the union over its scenarios; left out are the worlds that misuse a bare
/// percpu_ref, which break the same rules under every profile. OBJ-LIVE there is NO-OP-AFTER-FREE here.
/// </remarks>
public static class ExpectedBreaks
{
    private static readonly (string[] Profiles, string[] Rules)[] Known =
    [
        (
            ["P0", "P1", "P2"],
            ["ERROR-NO-RESIDUE", "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "LOOKUP-SAFE",
             "MAP-ERASED-BEFORE-FREE", "NO-LEAK", "NO-NULL-DEREF", "NO-OP-AFTER-FREE", "NO-PERMANENT-REFUSAL",
             "NO-STALE-DATA", "NO-USE-AFTER-REMOVE", "REAP-BEFORE-REMOVE", "RES-INDEP", "SYSFS-SAFE",
             "UNBIND-LIVE"]),
        (
            ["P3", "P4"],
            ["EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "LOOKUP-SAFE", "NO-GET-FROM-ZERO", "NO-LEAK",
             "NO-NULL-DEREF", "NO-OP-AFTER-FREE", "NO-PERMANENT-REFUSAL", "NO-USE-AFTER-REMOVE",
             "REAP-BEFORE-REMOVE", "RES-INDEP", "SYSFS-SAFE", "UNBIND-LIVE", "UNBIND-QUIESCENT",
             "WAIT-EFFECTIVE"]),
        (
            ["P5"],
            ["ERROR-NO-RESIDUE", "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "LOOKUP-SAFE", "NO-NULL-DEREF",
             "NO-OP-AFTER-FREE", "NO-STALE-DATA", "NO-USE-AFTER-REMOVE", "OWNER-ALIVE", "REAP-BEFORE-REMOVE",
             "SYSFS-SAFE", "UNBIND-LIVE"]),
        (
            ["ALL", "V1"],
            ["LOOKUP-SAFE", "NO-LEAK", "NO-NULL-DEREF", "NO-OP-AFTER-FREE", "NO-USE-AFTER-REMOVE",
             "OWNER-ALIVE", "SYSFS-SAFE"]),
        (
            ["X6-5"],
            ["ERROR-PATH-TERMINATES", "LOOKUP-SAFE", "NO-GET-FROM-ZERO", "NO-LEAK", "NO-NULL-DEREF",
             "NO-OP-AFTER-FREE", "NO-PERMANENT-REFUSAL", "NO-USE-AFTER-REMOVE", "REAP-BEFORE-REMOVE",
             "SYSFS-SAFE", "UNBIND-LIVE", "UNBIND-QUIESCENT", "WAIT-EFFECTIVE"]),
        (
            ["X6c"],
            ["LOOKUP-SAFE", "NO-LEAK", "NO-NULL-DEREF", "NO-OP-AFTER-FREE", "NO-USE-AFTER-REMOVE",
             "UNBIND-LIVE"]),
        (
            ["ALL-p3"],
            ["ERROR-NO-RESIDUE", "LOOKUP-SAFE", "MAP-ERASED-BEFORE-FREE", "NO-LEAK", "NO-NULL-DEREF",
             "NO-OP-AFTER-FREE", "NO-STALE-DATA", "NO-USE-AFTER-REMOVE", "OWNER-ALIVE", "SYSFS-SAFE"]),
        (
            ["L514"],
            ["LOOKUP-SAFE", "NO-LEAK", "NO-OP-AFTER-FREE", "NO-USE-AFTER-REMOVE", "OWNER-ALIVE"]),
        (
            ["L515a"],
            ["LOOKUP-SAFE", "NO-LEAK", "NO-OP-AFTER-FREE", "OWNER-ALIVE"]),
        (
            ["L515b"],
            ["LOOKUP-SAFE", "NO-LEAK", "NO-OP-AFTER-FREE", "OWNER-ALIVE", "UNBIND-LIVE"]),
        (
            ["L515c"],
            ["LOOKUP-SAFE", "NO-NULL-DEREF", "NO-OP-AFTER-FREE", "OWNER-ALIVE"]),
        (
            ["L60", "L62f"],
            ["NO-OP-AFTER-FREE", "OWNER-ALIVE"]),
        (
            ["L62"],
            ["NO-OP-AFTER-FREE", "OWNER-ALIVE", "PAGE-COUNT-NONNEG", "UNBIND-LIVE"]),
        (
            ["CLEAN"],
            []),
    ];

    /// <summary>Profiles of which something is known.</summary>
    public static IReadOnlyList<string> Profiles { get; } = [.. Known.SelectMany(k => k.Profiles)];

    /// <summary>
    /// Returns the names of the rules that a profile is known to break; null when nothing is known of it.
    /// </summary>
    /// <param name="profile">By its name or an alias, such as <c>v5.2</c>.</param>
    public static IReadOnlyList<string>? Of(string profile)
    {
        var name = profile is "MAINLINE" ? profile : Remedies.Canonical(profile);
        var known = Array.Find(Known, k => k.Profiles.Contains(name));
        return known.Rules;
    }
}
