using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.P2pdma;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Replay;

/// <summary>One step of a replayed schedule.</summary>
/// <param name="Number">Counted from 1.</param>
/// <param name="Actor">Who stepped.</param>
/// <param name="Step">The step, as <see cref="Kernel.Host.Step"/> names it.</param>
/// <param name="Events">What it told, in the words of the history.</param>
/// <param name="Broken">Rules that this step broke.</param>
public sealed record ReplayedStep(int Number, string Actor, Step Step, IReadOnlyList<string> Events, RuleSet Broken);

/// <summary>What a schedule did.</summary>
/// <param name="Broken">Everything that it breaks, the rules of its end included.</param>
/// <param name="Death">How the modelled kernel died; null if it did not.</param>
/// <param name="Blocked">Actors that can never step again, if the schedule runs to such an end.</param>
/// <param name="IsComplete">Nobody can step after it; otherwise it is the beginning of longer ones.</param>
/// <param name="StateDigest">Digest of the state it leads to: equal for equal replays.</param>
public sealed record ReplayReport(
    string Scenario,
    string Title,
    string Profile,
    IReadOnlyList<ReplayedStep> Steps,
    RuleSet Broken,
    string? Death,
    IReadOnlyList<string> Blocked,
    bool IsComplete,
    ulong StateDigest)
{
    /// <summary>Times that another actor stepped than before.</summary>
    public int Switches
    {
        get
        {
            var switches = 0;
            for (var i = 1; i < Steps.Count; i++)
            {
                switches += Steps[i].Actor == Steps[i - 1].Actor ? 0 : 1;
            }

            return switches;
        }
    }
}

/// <summary>Runs one schedule again and says what each step did.</summary>
public static class Replayer
{
    /// <param name="before">Called with the number of each step before it runs.</param>
    /// <exception cref="ArgumentException">The text is no token, or names a step that nobody can take
    /// there.</exception>
    public static ReplayReport Run(string token, Action<int>? before = null) =>
        ReplayToken.TryParse(token, out var parsed)
            ? Run(parsed, before)
            : throw new ArgumentException($"The token cannot be read; accepted: {ReplayToken.Form}.");

    public static ReplayReport Run(ReplayToken token, Action<int>? before = null) =>
        Explorer.OnOwnThread(() =>
        {
            var world = new World(token.Scenario, token.Profile);
            world.Begin();
            return Run(world, token.Choices, before);
        });

    internal static ReplayReport Run(World world, IReadOnlyList<byte> choices, Action<int>? before)
    {
        var witness = new Witness();
        world.Judge.Witness = witness;
        var steps = new List<ReplayedStep>(choices.Count);
        foreach (var actor in choices)
        {
            if ((world.EnabledMask() & (1U << actor)) == 0)
            {
                throw new ArgumentException(
                    $"The schedule does not fit: {world.Actors[actor].Name} cannot take step {steps.Count + 1}.");
            }

            before?.Invoke(steps.Count + 1);
            var known = world.Judge.Broken;
            var step = world.NextStep(actor);
            world.StepActor(actor);
            steps.Add(new(
                steps.Count + 1, world.Actors[actor].Name, step, witness.Take(), world.Judge.Broken.Without(known)));
        }

        var isComplete = world.EnabledMask() == 0;
        var unfinished = isComplete && !world.Judge.IsOver ? world.UnfinishedMask() : 0;
        if (isComplete)
        {
            world.Judge.End(unfinished);
        }

        world.Judge.Witness = null;
        return new(
            world.Scenario.Id,
            world.Scenario.Title,
            world.Profile.Name,
            steps,
            world.Judge.Broken,
            world.Judge.Death,
            [.. world.Actors.Where(one => (unfinished & (1U << one.Index)) != 0).Select(one => one.Name)],
            isComplete,
            world.StateDigest());
    }

    private sealed class Witness : IKernelListener
    {
        private readonly List<string> _heard = [];

        public void Emit(in KernelEvent happened)
        {
            var about = Name(happened.Subject ?? happened.Other);
            var text = EventKinds.WireName(happened.Kind);
            text = about is null ? text : $"{text} {about}";
            text = happened.Fn is null ? text : $"{text} ({happened.Fn})";
            _heard.Add(happened.Err is Kernel.Errno.OK ? text : $"{text} {happened.Err}");
        }

        internal IReadOnlyList<string> Take()
        {
            string[] taken = [.. _heard];
            _heard.Clear();
            return taken;
        }

        private static string? Name(KernelObject? one) => one switch
        {
            null => null,
            Kernel.Memremap.RefObject { Resource: >= 0 } counted => $"ref{counted.Resource + 1}",
            Kernel.Memremap.RefObject => "shared ref",
            Kernel.Memremap.DevPagemap { Container: P2pPagemap held } => $"map{held.Index + 1}",
            Kernel.Memremap.DevPagemap => "map",
            P2pPagemap held => $"p2p_pgmap{held.Index + 1}",
            _ => one.Kind.ToString().ToLowerInvariant(),
        };
    }
}
