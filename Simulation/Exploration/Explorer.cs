using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>Explores scenarios under profiles.</summary>
/// <remarks>
/// Concurrency: every exploration has a thread of its own without a synchronisation context, as continuations must run
/// inline; the caller waits. Several may run at once.
/// </remarks>
public static class Explorer
{
    private const int StackBytes = 16 << 20;

    /// <summary>Runs the schedules of a scenario.</summary>
    /// <exception cref="ArgumentException">No such scenario or profile, or the scenario has no meaning under
    /// it.</exception>
    /// <exception cref="ExplorationException">A defect of Fleet: an undeclared write, a world that waits for
    /// nothing.</exception>
    public static ExploreReport Run(string scenarioId, string profileName, ExploreOptions options)
    {
        var (scenario, profile) = Find(scenarioId, profileName);
        return Run(scenario, profile, options);
    }

    public static ExploreReport Run(Scenario scenario, KernelProfile profile, ExploreOptions options) =>
        OnOwnThread(() =>
        {
            var world = new World(scenario, profile);
            var strategy = options.Strategy is not Strategy.Auto ? options.Strategy
                : scenario.Actors.Count > 3 || scenario.ReallocatesMemory || options.Grace is not GraceLength.Any
                    ? Strategy.StateCache : Strategy.SourceDpor;
            var reduces = strategy is Strategy.SourceDpor or Strategy.SleepSets;
            if (reduces && options.Grace is not GraceLength.Any)
            {
                throw new ArgumentException(
                    "Grace periods of a fixed length make every step depend on the callbacks; accepted with --grace: "
                    + "the strategies auto, exhaustive, statecache, random, pct, coverage.");
            }

            if (reduces && scenario.ReallocatesMemory)
            {
                throw new ArgumentException(
                    $"{scenario.Name} allocates freed memory again, which no step declares; accepted for it: the "
                    + "strategies auto, exhaustive, statecache, random, pct, coverage.");
            }

            options = options with { ChecksWrites = options.ChecksWrites && !scenario.ReallocatesMemory };
            return new Search(world, options, strategy).Run();
        });

    /// <summary>Finds both by name.</summary>
    /// <exception cref="ArgumentException">With one sentence that says what would be accepted.</exception>
    public static (Scenario Scenario, KernelProfile Profile) Find(string scenarioId, string profileName)
    {
        var scenario = FindScenario(scenarioId);
        if (!KernelProfile.TryParse(profileName, out var profile))
        {
            throw new ArgumentException(
                $"There is no profile '{profileName}'; accepted: "
                + $"{string.Join(", ", KernelProfile.All.Select(one => one.Name))}.");
        }

        if (!scenario.AppliesTo(profile))
        {
            throw new ArgumentException($"{scenario.Id} has no meaning under {profile}: that kernel lacks the call.");
        }

        return (scenario, profile);
    }

    /// <exception cref="ArgumentException">With one sentence that says what would be accepted.</exception>
    public static Scenario FindScenario(string scenarioId) => ScenarioEdit.TryFind(scenarioId, out var scenario)
        ? scenario
        : throw new ArgumentException(
            $"There is no small world '{scenarioId}'; accepted: "
            + $"{string.Join(", ", ScenarioCatalog.All.Select(one => one.Id))}, "
            + "with changes such as +late, +keeps, +reuse, +L1, +fail=add_resource.pool_add@1 or -B2 behind it.");

    internal static T OnOwnThread<T>(Func<T> work)
    {
        T? result = default;
        System.Runtime.ExceptionServices.ExceptionDispatchInfo? failure = null;
        var thread = new Thread(
            () =>
            {
                try
                {
                    SynchronizationContext.SetSynchronizationContext(null);

                    // Frames capture the context at every await otherwise; the thread ends with its work.
                    ExecutionContext.SuppressFlow();
                    result = work();
                }
                catch (Exception e)
                {
                    failure = System.Runtime.ExceptionServices.ExceptionDispatchInfo.Capture(e);
                }
            },
            StackBytes)
        { IsBackground = true, Name = "explore" };
        using (ExecutionContext.SuppressFlow())
        {
            thread.Start();
        }

        thread.Join();
        failure?.Throw();
        return result!;
    }
}
