using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>What became of a finding of a run in small worlds.</summary>
/// <param name="Rule">The rule, by its name in the run.</param>
/// <param name="Profile">The kernel of the run; null if there is none of that name.</param>
/// <param name="First">The world in which the rule broke first, before anything was left out of it.</param>
/// <param name="Shrunk">The simplest schedule of the smallest world; null if no world broke the rule.</param>
/// <param name="IsWorldMinimal">Nothing more can be left out of the world: every smaller one was exhausted without
/// breaking the rule.</param>
/// <param name="Worlds">Worlds that were explored.</param>
/// <param name="Schedules">Schedules of all of them.</param>
/// <param name="IsExhausted">All schedules of every world that did not break the rule were run.</param>
/// <param name="Others">Rules that those worlds broke instead.</param>
/// <param name="Obstacle">Why nothing could be tried; null if something was.</param>
public sealed record CarriedFinding(
    string Rule, KernelProfile? Profile, Scenario? First, ShrunkSchedule? Shrunk, bool IsWorldMinimal, int Worlds,
    long Schedules, bool IsExhausted, RuleSet Others, string? Obstacle)
{
    public bool IsReproduced => Shrunk is not null;
}

/// <summary>Carries a finding of a run into the smallest world that breaks the same rule.</summary>
/// <remarks>
/// The world has the device of the finding with as many resources, the failures that were injected into that binding,
/// its unbind, and of the clients those operations that the finding names, each client's in its recorded order; what
/// clients had done before the unbind began happens first. Pages are as few as those allocations need, and where one
/// came from an older resource the newer ones are filled first, as they must have been. If no schedule of it breaks the
/// rule, what others held or tried meanwhile joins, the nearest first. Then everything that can be is left out.
/// Not carried: what spans two bindings, failovers, and rules about Fleet itself.
/// </remarks>
public static class FindingCarrier
{
    private const int ChainsMax = 5;
    private const long SchedulesMax = 100_000;

    /// <summary>Of all worlds together, so that a finding that no world has is given up in seconds.</summary>
    private const long SchedulesTotalMax = 400_000;

    /// <summary>What the clients of the other drivers do; a driver by a word of its name.</summary>
    private static readonly (string Word, string[] Worlds)[] OtherDrivers =
    [
        ("pmem",
        [
            "WR1x1/b/u", "WF1x1/b/u", "WR1x1/b,o/u/c", "WF1x1/b,o/u/c", "WF1x1/b,p0/u/q", "WR1x1/b/u/o,c",
            "WF1x1/b/u/o,c",
        ]),
        ("hmm", ["WH1x1/b/u", "WH1x1/b,p0/u/q", "WI1x1/b/u", "WI1x1/b,p0/u/q"]),
        ("dax", ["WD1x1/b/u", "WD1x1/b,p0/u/q", "WD1x1/b/u/p0,q"]),
    ];

    /// <param name="records">What was kept of the run for the finding.</param>
    public static CarriedFinding Carry(HistoryHeader header, ExplainedRecords records, ObjectTable objects)
    {
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(records);
        ArgumentNullException.ThrowIfNull(objects);
        var name = records.Finding.Rule;
        var worldName = name == "NO-OP-AFTER-FREE" ? KernelRules.WireName(KernelRule.ObjLive) : name;
        if (!KernelRules.TryParse(worldName, out var rule))
        {
            return Impossible(name, null, $"{name} is no rule of the modelled kernel, so no schedule of it breaks it");
        }

        if (!KernelProfile.TryParse(header.Profile, out var profile))
        {
            return Impossible(name, null, "the run does not say which kernel it modelled");
        }

        var binding = RecordedBinding.Of(records, objects);
        if (binding is null)
        {
            return Impossible(name, profile, "the run has no record of the binding that it was found in");
        }

        if (binding.IsFenced)
        {
            return Impossible(
                name, profile, "its binding ended by a failover, and a small world is one machine that never fails");
        }

        return new Attempt(name, rule, profile, binding).Run();
    }

    private static CarriedFinding Impossible(string rule, KernelProfile? profile, string why) =>
        new(rule, profile, null, null, false, 0, 0, false, RuleSet.Empty, why);

    /// <summary>Worlds to try, the smallest first.</summary>
    private static IEnumerable<Scenario> Worlds(RecordedBinding binding)
    {
        foreach (var (word, worlds) in OtherDrivers)
        {
            if (binding.Driver.Contains(word, StringComparison.Ordinal))
            {
                return worlds.Select(text => Failing(Read(text), binding));
            }
        }

        var named = binding.Chains.Count(one => one.IsNamed);
        return Enumerable.Range(named, Math.Max(0, Math.Min(ChainsMax, binding.Chains.Count) - named) + 1)
            .SelectMany(count => WorldsOf(binding, [.. binding.Chains.Take(count)]))
            .DistinctBy(world => world.Name);
    }

    private static IEnumerable<Scenario> WorldsOf(RecordedBinding binding, IReadOnlyList<RecordedChain> chains)
    {
        if (chains.Select(one => one.Client).Distinct().Count() >= WorldScript.ActorsMax)
        {
            yield break;
        }

        var world = new WorldWriter(binding.Resources, chains).Write();
        if (binding.Failures.Count > 0)
        {
            // What a failing bind does is the finding itself, or before it: no prologue, which nobody judges.
            yield return Failing(
                world with
                {
                    Prologue = [],
                    Actors = [[.. world.Prologue, .. world.Actors[0]], .. world.Actors.Skip(1)],
                },
                binding);
        }

        yield return Failing(world, binding);
    }

    private static WorldScript Read(string text) =>
        WorldScript.TryParse(text, out var script) ? script : throw new ExplorationException($"{text} is no world.");

    private static Scenario Failing(WorldScript script, RecordedBinding binding)
    {
        var scenario = script.ToScenario();
        foreach (var (point, hit) in binding.Failures)
        {
            scenario = ScenarioEdit.Apply(scenario, ScenarioEdit.Fail(point, hit)) ?? scenario;
        }

        return scenario;
    }

    private sealed class Attempt(string name, KernelRule rule, KernelProfile profile, RecordedBinding binding)
    {
        private int _worlds;
        private long _schedules;
        private bool _isExhausted = true;
        private RuleSet _others;

        internal CarriedFinding Run()
        {
            var worlds = Worlds(binding).ToList();
            foreach (var keeps in (bool[])[false, true])
            {
                foreach (var plain in worlds)
                {
                    // Freed memory that keeps its contents lets the modelled kernel live on.
                    var world = keeps ? ScenarioEdit.Apply(plain, ScenarioEdit.Keeps)! : plain;
                    if (TryBreak(world) is { } found)
                    {
                        return Shrink(world, found);
                    }
                }
            }

            return new(name, profile, null, null, false, _worlds, _schedules, _isExhausted, _others, null);
        }

        private CarriedFinding Shrink(Scenario first, FoundSchedule found)
        {
            var (world, isMinimal) = (first, false);
            var inPairs = KernelRules.ClassOf(rule) is not WorldVerdict.Invalid;
            while (!isMinimal)
            {
                (isMinimal, var wasExhausted) = (true, true);
                foreach (var smaller in Smaller(world, inPairs))
                {
                    var before = _isExhausted;
                    _isExhausted = true;
                    var still = TryBreak(smaller);
                    wasExhausted &= _isExhausted;
                    _isExhausted = before;
                    if (still is not null)
                    {
                        (world, found, isMinimal) = (smaller, still, false);
                        break;
                    }
                }

                if (isMinimal)
                {
                    var shrunk = Shrinker.ShrinkSchedule(world, profile, rule, found, SchedulesMax);
                    return new(
                        name, profile, first, shrunk, wasExhausted, _worlds, _schedules, _isExhausted, _others, null);
                }
            }

            throw new ExplorationException("A world that can always be made smaller.");
        }

        private static IEnumerable<Scenario> Smaller(Scenario world, bool inPairs)
        {
            foreach (var script in world.Script!.Smaller(inPairs))
            {
                yield return world.Edits.Aggregate(
                    script.ToScenario(), (made, edit) => ScenarioEdit.Apply(made, edit) ?? made);
            }

            foreach (var left in world.Edits)
            {
                yield return world.Edits.Where(edit => edit != left).Aggregate(
                    world.Script.ToScenario(), (made, edit) => ScenarioEdit.Apply(made, edit) ?? made);
            }
        }

        private FoundSchedule? TryBreak(Scenario world)
        {
            if (!world.AppliesTo(profile))
            {
                return null;
            }

            if (_schedules >= SchedulesTotalMax)
            {
                _isExhausted = false;
                return null;
            }

            _worlds++;
            var report = Shrinker.TryExplore(
                world, profile,
                new ExploreOptions
                {
                    StopAt = RuleSet.Of(rule),
                    SchedulesMax = SchedulesMax,
                    ChecksWrites = false,
                });
            if (report is null)
            {
                return null;
            }

            _schedules += report.Schedules;
            var found = report.First.GetValueOrDefault(rule);
            if (found is null)
            {
                _isExhausted &= report.IsExhausted;
                foreach (var other in report.Broken.Rules)
                {
                    _others |= other;
                }
            }

            return found;
        }
    }
}
