using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Scenarios;

/// <summary>One actor of a scenario: what it does from the start of the world.</summary>
public sealed record ScenarioActor(string Name, Func<ExploreHost, ValueTask> Procedure);

/// <summary>Something that at least one schedule must reach, or the exploration proves nothing.</summary>
/// <param name="What">In words.</param>
/// <param name="Profile">The profile under which it must be reached.</param>
/// <param name="IsSeen">Asked at the end of every schedule.</param>
public sealed record Sighting(string What, string Profile, Func<World, bool> IsSeen);

/// <summary>A small world as scenarios.md section 4 has it, ready to run.</summary>
public sealed record Scenario
{
    /// <summary>As in the matrix: <c>S1</c>.</summary>
    public required string Id { get; init; }

    /// <summary>The situation in a few words.</summary>
    public required string Title { get; init; }

    public required Layout Layout { get; init; }

    /// <summary>The text that the world was made from; null for one of the catalog.</summary>
    public WorldScript? Script { get; init; }

    /// <summary>The driver that <see cref="WorldParts.Bind"/> binds.</summary>
    public WorldDriver Driver { get; init; }

    /// <summary>Count of an idle page: 0 where the page protocol of v6.15 is played.</summary>
    public int IdleCount { get; init; } = 1;

    /// <summary>Actors in the order of their names; <c>rcu</c> is added by the world.</summary>
    public required IReadOnlyList<ScenarioActor> Actors { get; init; }

    /// <summary>What happened before, sequentially and without a choice.</summary>
    public Func<ExploreHost, ValueTask>? Prologue { get; init; }

    /// <summary>Steps that fail once, each at the hit with this number, counted from 1.</summary>
    public IReadOnlyList<(FailPoint Point, int Hit)> Injections { get; init; } = [];

    /// <summary>
    /// The switches without which the scenario has no meaning; a cell without one of them is <c>n/a</c>.
    /// </summary>
    public KernelSwitch Needs { get; init; }

    /// <summary>The switches with which it has no meaning any more.</summary>
    public KernelSwitch Excludes { get; init; }

    /// <summary>Warnings that every complete schedule must raise; null where nobody counts them.</summary>
    public int? WarningsRequired { get; init; }

    public IReadOnlyList<Sighting> Sightings { get; init; } = [];

    /// <summary>Groups of actors that do the same from the start: swapping two that have not begun changes
    /// nothing.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Identical { get; init; } = [];

    /// <summary>Other CPUs see a kill some time after it; an actor <c>cpu</c> shows it to them.</summary>
    public bool ShowsKillsLate { get; init; }

    /// <summary>Freed memory is not reused, so that who reads it finds what was there; else it is poison.</summary>
    public bool FreedMemoryKeeps { get; init; }

    /// <summary>The next allocation of a page map gets a freed one's memory; else every one has its own.</summary>
    public bool FreedMemoryIsReused { get; init; }

    /// <summary>
    /// What was changed of the scenario of this id, as a token says it; see <see cref="ScenarioEdit"/>.
    /// </summary>
    public IReadOnlyList<string> Edits { get; init; } = [];

    /// <summary>
    /// Memory that was freed is allocated again, at steps that declare no write of it: reductions that believe the
    /// declarations would lose schedules.
    /// </summary>
    internal bool ReallocatesMemory => FreedMemoryIsReused || Script is { Binds: > 1 };

    /// <summary>The id with the edits: what a token names it by.</summary>
    public string Name => Id + string.Concat(Edits);

    /// <summary>Actors that step: those with a procedure, <c>rcu</c>, and <c>cpu</c> where kills show late.</summary>
    internal int Steppers => Actors.Count + (ShowsKillsLate ? 2 : 1);

    /// <summary>False for a cell that the matrix calls <c>n/a</c>.</summary>
    public bool AppliesTo(KernelProfile profile)
    {
        var on = KernelSwitch.None;
        foreach (var note in profile.Switches)
        {
            on |= note.Switch;
        }

        return (on & Needs) == Needs && (on & Excludes) == 0;
    }
}
