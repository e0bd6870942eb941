using System.Numerics;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>The simplest schedule that breaks a rule.</summary>
/// <param name="Token">Reproduces it.</param>
/// <param name="Switches">Times that another actor steps than before.</param>
/// <param name="Steps">Steps of it.</param>
/// <param name="IsLeast">No schedule with fewer switches breaks the rule, and none with as many is shorter.</param>
/// <param name="IsOneMinimal">Without any one of its steps it no longer breaks the rule; checked by running
/// each.</param>
/// <param name="SchedulesTried">Schedules run for it.</param>
/// <remarks>
/// The world shrinks too: actors, failures and resources without which the rule is still broken are left out of the
/// token's scenario.
/// </remarks>
public sealed record ShrunkSchedule(
    ReplayToken Token, KernelRule Rule, int Switches, int Steps, bool IsLeast, bool IsOneMinimal, long SchedulesTried);

/// <summary>
/// Looks for the schedule with the fewest context switches, then the fewest steps, that breaks a rule.
/// </summary>
/// <remarks>
/// First leaves out of the world what it can; then searches anew with 0, 1, 2 … switches instead of trimming the
/// schedule that was found, so the result is the least of all and not only one that cannot be trimmed; states that were
/// reached as cheaply before are not entered again.
/// </remarks>
public static class Shrinker
{
    private const long WorldSchedulesMax = 100_000;

    /// <param name="schedulesMax">Bound of the search; beyond it the found schedule is returned as it is, cut at the
    /// rule.</param>
    /// <returns>Null when the found schedule does not break the rule.</returns>
    public static ShrunkSchedule? Shrink(
        Scenario scenario, KernelProfile profile, KernelRule rule, FoundSchedule found,
        long schedulesMax = 2_000_000)
    {
        var shrunk = ShrinkSchedule(scenario, profile, rule, found, schedulesMax);

        // A leak or a wait without end is judged by what nobody does any more: a smaller world has others.
        if (KernelRules.ClassOf(rule) is not WorldVerdict.Invalid)
        {
            return shrunk;
        }

        var options = new ExploreOptions
        {
            StopAt = RuleSet.Of(rule),
            SchedulesMax = WorldSchedulesMax,
            ChecksWrites = false,
        };
        foreach (var edit in ScenarioEdit.Smaller(scenario).ToList())
        {
            // Smaller, and not at the price of a longer schedule.
            if (ScenarioEdit.Apply(scenario, edit) is { } smaller && smaller.AppliesTo(profile)
                && TryExplore(smaller, profile, options)?.First.GetValueOrDefault(rule) is { } still
                && ShrinkSchedule(smaller, profile, rule, still, schedulesMax) is { } other
                && (shrunk is null || (other.Steps <= shrunk.Steps && other.Switches <= shrunk.Switches)))
            {
                (scenario, shrunk) = (smaller, other);
            }
        }

        return shrunk;
    }

    /// <summary>A world that its own steps do not fit is no smaller world.</summary>
    internal static ExploreReport? TryExplore(Scenario scenario, KernelProfile profile, ExploreOptions options)
    {
        try
        {
            return Explorer.Run(scenario, profile, options);
        }
        catch (Exception e) when (e is ExplorationException or IndexOutOfRangeException)
        {
            return null;
        }
    }

    internal static ShrunkSchedule? ShrinkSchedule(
        Scenario scenario, KernelProfile profile, KernelRule rule, FoundSchedule found, long schedulesMax) =>
        Explorer.OnOwnThread(() =>
        {
            var world = new World(scenario, profile);
            var best = CutAt(world, found.Choices, rule);
            if (best is null)
            {
                return null;
            }

            var search = new LeastSwitches(world, rule, schedulesMax);
            var least = SwitchesOf(best);
            var isLeast = false;
            for (var budget = 0; budget <= least && !isLeast && !search.IsSpent; budget++)
            {
                if (search.Run(budget) is { } better)
                {
                    best = better;
                    isLeast = !search.IsSpent;
                }
            }

            return new ShrunkSchedule(
                new ReplayToken(scenario, profile, best),
                rule,
                SwitchesOf(best),
                best.Length,
                isLeast,
                IsOneMinimal(world, best, rule),
                search.Tried);
        });

    private static int SwitchesOf(byte[] choices)
    {
        var switches = 0;
        for (var i = 1; i < choices.Length; i++)
        {
            switches += choices[i] == choices[i - 1] ? 0 : 1;
        }

        return switches;
    }

    /// <summary>Runs a schedule up to the step that breaks the rule; steps that cannot be taken are left out.</summary>
    private static byte[]? CutAt(World world, IReadOnlyList<byte> choices, KernelRule rule)
    {
        world.Begin();
        var taken = new List<byte>();
        foreach (var actor in choices)
        {
            if ((world.EnabledMask() & (1U << actor)) == 0)
            {
                continue;
            }

            world.StepActor(actor);
            taken.Add(actor);
            if (world.Judge.Broken.Has(rule))
            {
                return [.. taken];
            }
        }

        if (world.EnabledMask() == 0)
        {
            world.Judge.End(world.Judge.IsOver ? 0 : world.UnfinishedMask());
        }

        return world.Judge.Broken.Has(rule) ? [.. taken] : null;
    }

    private static bool IsOneMinimal(World world, byte[] choices, KernelRule rule)
    {
        for (var left = 0; left < choices.Length; left++)
        {
            byte[] without = [.. choices[..left], .. choices[(left + 1)..]];
            if (CutAt(world, without, rule) is { } still && still.Length < choices.Length)
            {
                return false;
            }
        }

        return true;
    }

    private sealed class LeastSwitches(World world, KernelRule rule, long schedulesMax)
    {
        private readonly byte[] _choices = new byte[Search.DepthMax + 1];
        private readonly uint[] _left = new uint[Search.DepthMax + 1];
        private readonly int[] _used = new int[Search.DepthMax + 1];
        private readonly Dictionary<(ulong, byte, int), int> _reached = [];

        internal long Tried { get; private set; }

        internal bool IsSpent => Tried >= schedulesMax;

        /// <summary>The shortest schedule with at most so many switches; null if there is none.</summary>
        internal byte[]? Run(int budget)
        {
            byte[]? best = null;
            _reached.Clear();
            Replay(0);
            _left[0] = Allowed(0, budget);
            var isHere = true;
            for (var depth = 0; !IsSpent;)
            {
                if (_left[depth] == 0)
                {
                    if (depth == 0)
                    {
                        return best;
                    }

                    depth--;
                    isHere = false;
                    continue;
                }

                if (!isHere)
                {
                    Replay(depth);
                    isHere = true;
                }

                var chosen = Pick(depth);
                _left[depth] &= ~(1U << chosen);
                _choices[depth] = (byte)chosen;
                _used[depth + 1] = _used[depth] + (depth > 0 && _choices[depth - 1] != chosen ? 1 : 0);
                world.StepActor(chosen);
                depth++;
                EndIfOver();
                if (world.Judge.Broken.Has(rule))
                {
                    best = [.. _choices.AsSpan(0, depth)];
                    _left[depth] = 0;
                }
                else
                {
                    var canImprove = depth + 1 < (best?.Length ?? Search.DepthMax) && Enter(depth);
                    _left[depth] = canImprove ? Allowed(depth, budget) : 0;
                }
            }

            return best;
        }

        private void Replay(int depth)
        {
            Tried++;
            world.Begin();
            for (var i = 0; i < depth; i++)
            {
                world.StepActor(_choices[i]);
            }
        }

        private void EndIfOver()
        {
            if (world.EnabledMask() == 0)
            {
                world.Judge.End(world.Judge.IsOver ? 0 : world.UnfinishedMask());
            }
        }

        /// <summary>
        /// Whether the state is worth entering: never reached with as few steps by the same last actor.
        /// </summary>
        private bool Enter(int depth)
        {
            var key = (world.StateKey(), depth == 0 ? byte.MaxValue : _choices[depth - 1], _used[depth]);
            if (_reached.TryGetValue(key, out var before) && before <= depth)
            {
                return false;
            }

            _reached[key] = depth;
            return true;
        }

        private uint Allowed(int depth, int budget)
        {
            var enabled = world.EnabledMask();
            return depth > 0 && _used[depth] >= budget ? enabled & (1U << _choices[depth - 1]) : enabled;
        }

        private int Pick(int depth)
        {
            var left = _left[depth];
            if (depth > 0 && (left & (1U << _choices[depth - 1])) != 0)
            {
                return _choices[depth - 1];
            }

            return BitOperations.TrailingZeroCount(left);
        }
    }
}
