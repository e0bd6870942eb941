using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>Explores twice and compares the digests of all histories in their order.</summary>
/// <remarks>
/// A schedule that does not repeat cannot be replayed, and whatever was explored with it proves nothing.
/// Source: house-style 5, issue 4 (1).
/// </remarks>
public static class Repetition
{
    /// <returns>The second of two equal explorations.</returns>
    /// <exception cref="UnrepeatableException">They differ.</exception>
    public static ExploreReport Run(Scenario scenario, KernelProfile profile, ExploreOptions options)
    {
        var keeping = options with { KeepsHistories = true };
        var first = Explorer.Run(scenario, profile, keeping);
        var second = Explorer.Run(scenario, profile, keeping);
        var (left, right) = (first.HistoryDigests!, second.HistoryDigests!);
        var same = 0;
        while (same < left.Count && same < right.Count && left[same] == right[same])
        {
            same++;
        }

        return same == left.Count && same == right.Count
            ? second
            : throw new UnrepeatableException(first, second, same + 1);
    }
}

/// <summary>The same exploration gave other histories the second time.</summary>
public sealed class UnrepeatableException(ExploreReport first, ExploreReport second, int number)
    : ExplorationException(
        $"{first.Scenario} under {first.Profile} does not repeat: history {number} of {first.Histories} and "
        + $"{second.Histories} differs.")
{
    public ExploreReport First { get; } = first;

    public ExploreReport Second { get; } = second;
}
