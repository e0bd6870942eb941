using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>One failure at one step, and what exploring the world with it found.</summary>
/// <param name="Report">Null where the prologue of the world then waits for ever.</param>
public sealed record SweptFailure(FailPoint Point, int Hit, Scenario Scenario, ExploreReport? Report)
{
    public RuleSet Broken => Report?.Broken ?? RuleSet.Of(KernelRule.ErrorPathTerminates);
}

/// <summary>
/// Explores a world once for each step that can fail in it: allocation failures as a choice (kernel-model H.5).
/// </summary>
public static class FailureSweep
{
    /// <param name="options">The same for every failure.</param>
    /// <returns>In the order of the steps; the steps are those that some schedule without a failure comes to.</returns>
    public static IReadOnlyList<SweptFailure> Run(Scenario scenario, KernelProfile profile, ExploreOptions options)
    {
        var swept = new List<SweptFailure>();
        foreach (var (point, times) in Explorer.Run(scenario, profile, options).FailPoints.OrderBy(one => one.Key))
        {
            for (var hit = 1; hit <= times; hit++)
            {
                if (ScenarioEdit.Apply(scenario, ScenarioEdit.Fail(point, hit)) is { } failing)
                {
                    swept.Add(new(point, hit, failing, TryExplore(failing, profile, options)));
                }
            }
        }

        return swept;
    }

    private static ExploreReport? TryExplore(Scenario scenario, KernelProfile profile, ExploreOptions options)
    {
        try
        {
            return Explorer.Run(scenario, profile, options);
        }
        catch (StuckPrologueException)
        {
            return null;
        }
    }
}
