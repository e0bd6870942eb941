using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>Every rule there is, and which of them look at which record.</summary>
public static class RuleCatalog
{
    internal static readonly OneIncarnation OneIncarnation = new();

    /// <summary>All rules, by their number in the model; those about Fleet itself last.</summary>
    public static IReadOnlyList<Rule> All { get; } = Numbered(
    [
        new ReapBeforeRemove(), new NoUseAfterRemove(), new ExitAfterZero(), new ExitNotSwitching(), new KillOnce(),
        new NoOpAfterFree(), new LiveFailsAfterConfirm(), new NoGetFromZero(), new CountConservation(),
        new CleanupOnceAfterKill(), new LookupSafe(), new MapErasedBeforeFree(), new PageCountNonneg(),
        new PageFreeOnlyIdle(), new NoOverlap(), new OwnerRoundtrip(), new SelectRule(), new AvailQuiescent(),
        new DestroyEmpty(), new FreeMatchesAlloc(), new SpuriousNullAllowed(), new NoAllocAfterClear(),
        new AllocPinsItsResource(), new ResIndep(), new ErrorNoResidue(), new NoNullDeref(), new OwnerAlive(),
        new SysfsSafe(), new PublishedImpliesSetup(), new ExactlyOnce(), new Lifo(), new NoStaleData(), new OrReset(),
        new UnbindQuiescent(), new ProbeFailQuiescent(), new NoLeak(), new UnbindLive(), new WaitEffective(),
        new KillProgress(), new ErrorPathTerminates(), new NoPermanentRefusal(), new TagMismatch(), OneIncarnation,
    ]);

    internal static readonly IAllocRule[] OfAlloc = [.. All.OfType<IAllocRule>()];

    /// <summary>Inside its object's turn an operation has no times yet: rules that need clocks say nothing.</summary>
    internal static readonly IAllocRule[] OfAllocOnline =
        [.. All.Where(rule => rule.Needs is not RuleNeeds.Clocks).OfType<IAllocRule>()];

    internal static readonly IFreeRule[] OfFree = [.. All.OfType<IFreeRule>()];
    internal static readonly IAccessRule[] OfAccess = [.. All.OfType<IAccessRule>()];
    internal static readonly IDeviceEndRule[] OfDeviceEnd = [.. All.OfType<IDeviceEndRule>()];
    internal static readonly IRefEndRule[] OfRefEnd = [.. All.OfType<IRefEndRule>()];

    private static readonly IDeviceRule[][] DeviceRules = ByKind(All.OfType<IDeviceRule>(), r => r.Kinds);
    private static readonly IMapRule[][] MapRules = ByKind(All.OfType<IMapRule>(), r => r.Kinds);
    private static readonly IRefRule[][] RefRules = ByKind(All.OfType<IRefRule>(), r => r.Kinds);

    /// <summary>Returns the rule of a name, null when there is none.</summary>
    public static Rule? Find(string name) => All.FirstOrDefault(r => r.Name == name);

    internal static IDeviceRule[] OfDevice(EventKind kind) => DeviceRules[(int)kind];

    internal static IMapRule[] OfMap(EventKind kind) => MapRules[(int)kind];

    internal static IRefRule[] OfRef(EventKind kind) => RefRules[(int)kind];

    private static IReadOnlyList<Rule> Numbered(Rule[] rules)
    {
        for (var i = 0; i < rules.Length; i++)
        {
            rules[i].Index = i;
        }

        return rules;
    }

    private static T[][] ByKind<T>(IEnumerable<T> rules, Func<T, IReadOnlyList<EventKind>> kinds)
    {
        var all = rules.ToList();
        return [.. Enum.GetValues<EventKind>().Select(kind => all.Where(r => kinds(r).Contains(kind)).ToArray())];
    }
}
