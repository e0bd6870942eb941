using Fleet.Kernel.Judging;

namespace Fleet.Simulation.Exploration;

/// <summary>A schedule that broke a rule: who stepped, in order.</summary>
/// <param name="Choices">Actor numbers.</param>
/// <param name="Number">How many schedules had been run, this one included.</param>
/// <param name="Broken">Everything that it breaks.</param>
public sealed record FoundSchedule(IReadOnlyList<byte> Choices, long Number, RuleSet Broken);

/// <summary>What exploring one scenario under one profile found.</summary>
public sealed record ExploreReport
{
    public required string Scenario { get; init; }

    public required string Profile { get; init; }

    public required Strategy Strategy { get; init; }

    /// <summary>Every schedule was run, up to equivalence; otherwise a bound stopped it.</summary>
    public required bool IsExhausted { get; init; }

    /// <summary>Schedules begun, those given up as equivalent included.</summary>
    public required long Schedules { get; init; }

    /// <summary>Schedules that came to an end of their history.</summary>
    public required long Histories { get; init; }

    /// <summary>Histories that broke a rule.</summary>
    public required long Bad { get; init; }

    /// <summary>Histories that ended blocked.</summary>
    public required long Blocked { get; init; }

    /// <summary>Steps of all schedules, whether they were run again or gone back to.</summary>
    public required long Points { get; init; }

    /// <summary>Steps that were run.</summary>
    public required long Executed { get; init; }

    /// <summary>Most steps of one schedule.</summary>
    public required int DepthMax { get; init; }

    /// <summary>Union of the rules that some schedule breaks.</summary>
    public required RuleSet Broken { get; init; }

    public required WorldVerdict Worst { get; init; }

    /// <summary>The first schedule for each rule.</summary>
    public required IReadOnlyDictionary<KernelRule, FoundSchedule> First { get; init; }

    /// <summary>The first schedule that ended blocked.</summary>
    public FoundSchedule? FirstBlocked { get; init; }

    /// <summary>Required sightings that no schedule had.</summary>
    public required IReadOnlyList<string> Unseen { get; init; }

    /// <summary>Fewest and most warnings of the histories that came to an end.</summary>
    public required (int Min, int Max) Warnings { get; init; }

    /// <summary>Digests of the final states, where they were kept.</summary>
    public IReadOnlySet<ulong>? FinalStates { get; init; }

    /// <summary>Digests of the histories, where they were kept.</summary>
    public IReadOnlyList<ulong>? HistoryDigests { get; init; }

    /// <summary>Steps that could have failed, and the most times that one schedule came to each.</summary>
    public IReadOnlyDictionary<Kernel.Host.FailPoint, int> FailPoints { get; init; } =
        new Dictionary<Kernel.Host.FailPoint, int>();

    /// <summary>States and pairs of steps that were reached, where the strategy counts them.</summary>
    public long Covered { get; init; }

    /// <summary>Share of histories that broke a rule.</summary>
    public double BadShare => Histories == 0 ? 0 : (double)Bad / Histories;
}
