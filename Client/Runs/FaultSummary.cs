using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>One strike of a run, as it is told afterwards.</summary>
/// <param name="AtSeconds">Since the load began.</param>
public sealed record StrikeSummary(double AtSeconds, string Kind, string Target, string Text, string Expects);

/// <summary>How soon the devices of struck silos were of use again, over the strikes of a kind that were alone, or over
/// those that were not.</summary>
/// <param name="Devices">Devices that were on the struck silos.</param>
/// <param name="FirstMs">From the strike to the first allocation that succeeded on one of them: median over the
/// strikes; null where none did.</param>
/// <param name="MedianMs">Of all devices that came back.</param>
/// <param name="LastMs">The latest of them.</param>
/// <param name="StruckAgain">Struck once more before they were back: not measured.</param>
/// <param name="NotBack">Not back when the load ended.</param>
public sealed record RecoverySummary(
    string Kind, int Strikes, int Devices, double? FirstMs, double? MedianMs, double? LastMs, int StruckAgain,
    int NotBack)
{
    /// <summary>The fleet was whole at each of the strikes, and nothing else struck before their devices were
    /// back.</summary>
    public bool IsAlone { get; init; } = true;

    internal string Label() => IsAlone ? Kind : Kind + ", others at the time";
}

/// <summary>What was done to a run, and what came of it.</summary>
/// <param name="WithLiveHandles">Strikes on silos whose devices had allocations out.</param>
/// <param name="Unstruck">Processes that ended though nothing had struck them.</param>
public sealed record FaultSummary(
    StrikeSummary[] Strikes, RecoverySummary[] Recovery, int WithLiveHandles, string[] Unstruck)
{
    /// <summary>Kills of silos that were tearing a device down.</summary>
    public int KillsInTeardown { get; init; }

    /// <summary>Operations whose answer was lost, and which had been executed.</summary>
    public long ResolvedExecuted { get; init; }

    /// <summary>Operations whose answer was lost, and which never will be.</summary>
    public long ResolvedNotSeen { get; init; }

    /// <summary>Operations whose answer was lost, and of which nobody could say what became.</summary>
    public long Unresolved { get; init; }

    /// <summary>Messages that were struck, by kind.</summary>
    public IReadOnlyDictionary<string, long> Messages { get; init; } = new Dictionary<string, long>();

    public static readonly FaultSummary None = new([], [], 0, []);

    internal static FaultSummary Of(LiveFaults? faults) => faults is null ? None : new(
        [
            .. faults.Records.Select(strike => new StrikeSummary(
                (strike.TimeNs - faults.BeganNs) / 1e9, strike.Kind, strike.Target, strike.Text, strike.Expects)),
        ],
        [
            .. faults.Recoveries.GroupBy(recovery => (recovery.Kind, recovery.IsAlone))
                .OrderBy(strikes => strikes.Key.Kind, StringComparer.Ordinal)
                .ThenByDescending(strikes => strikes.Key.IsAlone).Select(RecoveryOf),
        ],
        faults.Counts.WithLiveHandles,
        [.. faults.Unstruck])
    {
        KillsInTeardown = faults.Counts.KillsInTeardown,
    };

    private static RecoverySummary RecoveryOf(IGrouping<(string Kind, bool IsAlone), Recovery> strikes)
    {
        List<long> first = [.. strikes.Where(one => one.BackNs.Length > 0).Select(one => one.BackNs[0]).Order()];
        List<long> all = [.. strikes.SelectMany(one => one.BackNs).Order()];
        return new(
            strikes.Key.Kind, strikes.Count(), strikes.Sum(one => one.Devices), MiddleMs(first), MiddleMs(all),
            all.Count > 0 ? all[^1] / 1e6 : null, strikes.Sum(one => one.StruckAgain),
            strikes.Sum(one => one.NotBack))
        {
            IsAlone = strikes.Key.IsAlone,
        };
    }

    private static double? MiddleMs(List<long> sorted) => sorted.Count > 0 ? sorted[sorted.Count / 2] / 1e6 : null;
}
