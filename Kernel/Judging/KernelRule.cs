using System.Collections.Frozen;
using System.Numerics;

namespace Fleet.Kernel.Judging;

/// <summary>The invariants of a small world, in the order of kernel-model section D.</summary>
/// <remarks>The wire names are those of <c>matrix.csv</c>; see <see cref="KernelRules"/>.</remarks>
public enum KernelRule : byte
{
    None,
    ReapBeforeRemove,
    NoUseAfterRemove,
    ExitAfterZero,
    ExitNotSwitching,
    KillOnce,
    ObjLive,
    LiveFailsAfterConfirm,
    NoGetFromZero,
    CountConservation,
    CleanupOnceAfterKill,
    LookupSafe,
    MapErasedBeforeFree,
    PageCountNonneg,
    NoOverlap,
    OwnerRoundtrip,
    SelectRule,
    AvailQuiescent,
    DestroyEmpty,
    FreeMatchesAlloc,
    SpuriousNullAllowed,
    NoAllocAfterClear,
    AllocPinsItsResource,
    ResIndep,
    ErrorNoResidue,
    NoNullDeref,
    OwnerAlive,
    SysfsSafe,
    PublishedImpliesSetup,
    ExactlyOnce,
    Lifo,
    NoStaleData,
    OrReset,
    UnbindQuiescent,
    ProbeFailQuiescent,
    NoLeak,
    UnbindLive,
    WaitEffective,
    KillProgress,
    ErrorPathTerminates,
    NoPermanentRefusal,
}

/// <summary>How bad the worst that was found is; each is worse than the one before.</summary>
public enum WorldVerdict : byte
{
    Clean,

    /// <summary>Something made was never given back.</summary>
    Leak,

    /// <summary>A wait never ends.</summary>
    Hang,

    /// <summary>A safety rule is broken.</summary>
    Invalid,
}

/// <summary>Names and classes of the rules.</summary>
public static class KernelRules
{
    private static readonly string[] Names =
    [
        "", "REAP-BEFORE-REMOVE", "NO-USE-AFTER-REMOVE", "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "KILL-ONCE",
        "OBJ-LIVE", "LIVE-FAILS-AFTER-CONFIRM", "NO-GET-FROM-ZERO", "COUNT-CONSERVATION", "CLEANUP-ONCE-AFTER-KILL",
        "LOOKUP-SAFE", "MAP-ERASED-BEFORE-FREE", "PAGE-COUNT-NONNEG", "NO-OVERLAP", "OWNER-ROUNDTRIP", "SELECT-RULE",
        "AVAIL-QUIESCENT", "DESTROY-EMPTY", "FREE-MATCHES-ALLOC", "SPURIOUS-NULL-ALLOWED", "NO-ALLOC-AFTER-CLEAR",
        "ALLOC-PINS-ITS-RESOURCE", "RES-INDEP", "ERROR-NO-RESIDUE", "NO-NULL-DEREF", "OWNER-ALIVE", "SYSFS-SAFE",
        "PUBLISHED-IMPLIES-SETUP", "EXACTLY-ONCE", "LIFO", "NO-STALE-DATA", "OR-RESET", "UNBIND-QUIESCENT",
        "PROBE-FAIL-QUIESCENT", "NO-LEAK", "UNBIND-LIVE", "WAIT-EFFECTIVE", "KILL-PROGRESS", "ERROR-PATH-TERMINATES",
        "NO-PERMANENT-REFUSAL",
    ];

    private static readonly FrozenDictionary<string, KernelRule> ByName =
        Enum.GetValues<KernelRule>().Where(r => r is not KernelRule.None).ToFrozenDictionary(r => Names[(int)r]);

    public static string WireName(KernelRule rule) => Names[(int)rule];

    public static bool TryParse(string name, out KernelRule rule) => ByName.TryGetValue(name, out rule);

    /// <summary>What breaking the rule makes of a world.</summary>
    public static WorldVerdict ClassOf(KernelRule rule) => rule switch
    {
        KernelRule.UnbindLive or KernelRule.KillProgress or KernelRule.ErrorPathTerminates => WorldVerdict.Hang,
        KernelRule.NoLeak => WorldVerdict.Leak,
        _ => WorldVerdict.Invalid,
    };
}

/// <summary>A set of rules; prints in the order of section D, separated by semicolons, as a matrix cell does.</summary>
public readonly record struct RuleSet(ulong Bits)
{
    public static RuleSet Empty => default;

    public bool IsEmpty => Bits == 0;

    public int Count => BitOperations.PopCount(Bits);

    /// <summary>The worst class among the rules; clean for none.</summary>
    public WorldVerdict Worst
    {
        get
        {
            var worst = WorldVerdict.Clean;
            foreach (var rule in Rules)
            {
                var one = KernelRules.ClassOf(rule);
                worst = one > worst ? one : worst;
            }

            return worst;
        }
    }

    public IEnumerable<KernelRule> Rules
    {
        get
        {
            for (var rest = Bits; rest != 0; rest &= rest - 1)
            {
                yield return (KernelRule)BitOperations.TrailingZeroCount(rest);
            }
        }
    }

    public static RuleSet Of(params ReadOnlySpan<KernelRule> rules)
    {
        var bits = 0UL;
        foreach (var rule in rules)
        {
            bits |= 1UL << (int)rule;
        }

        return new(bits);
    }

    /// <summary>Reads a matrix cell: names between semicolons, or nothing.</summary>
    public static bool TryParse(string text, out RuleSet set)
    {
        set = Empty;
        foreach (var name in text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (!KernelRules.TryParse(name, out var rule))
            {
                return false;
            }

            set |= rule;
        }

        return true;
    }

    public bool Has(KernelRule rule) => (Bits & (1UL << (int)rule)) != 0;

    public RuleSet Without(RuleSet other) => new(Bits & ~other.Bits);

    public static RuleSet operator |(RuleSet set, KernelRule rule) => new(set.Bits | (1UL << (int)rule));

    public static RuleSet operator |(RuleSet left, RuleSet right) => new(left.Bits | right.Bits);

    public override string ToString() => string.Join(';', Rules.Select(KernelRules.WireName));
}
