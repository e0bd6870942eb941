namespace Fleet.Simulation.Exploration;

/// <summary>How schedules are chosen.</summary>
public enum Strategy : byte
{
    /// <summary>Source-DPOR with sleep sets up to 3 actors with a procedure, state caching from 4 on.</summary>
    Auto,

    /// <summary>Every schedule, without any reduction: the oracle for tiny worlds.</summary>
    Exhaustive,

    /// <summary>Every schedule but those that only swap independent neighbours of one already run.</summary>
    SleepSets,

    /// <summary>Source-DPOR with sleep sets: one schedule for each order of dependent steps.</summary>
    SourceDpor,

    /// <summary>Every state once, an actor's local state being what its steps have read.</summary>
    StateCache,

    /// <summary>Uniform choices from the seed.</summary>
    Random,

    /// <summary>Random priorities with a few change points: finds bugs of small depth with known probability.</summary>
    Pct,

    /// <summary>Random, from schedules that reached a state or a pair of steps which no other had reached.</summary>
    Coverage,
}

/// <summary>When the callback of a grace period runs, once every reader has left.</summary>
/// <remarks>Source: kernel-model H.5.</remarks>
public enum GraceLength : byte
{
    /// <summary>At any time: the scheduler chooses.</summary>
    Any,

    /// <summary>At once, before anybody else steps.</summary>
    Shortest,

    /// <summary>Only when nobody else can step.</summary>
    Longest,
}

/// <summary>Bounds and choices of an exploration.</summary>
public sealed record ExploreOptions
{
    public Strategy Strategy { get; init; }

    /// <summary>Most schedules; an exploration that is stopped by it is bounded, not exhausted.</summary>
    public long SchedulesMax { get; init; } = 20_000_000;

    /// <summary>Chooses for <see cref="Strategy.Random"/>, <see cref="Strategy.Pct"/> and
    /// <see cref="Strategy.Coverage"/>.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Priority changes of <see cref="Strategy.Pct"/>: bugs of this depth less one are found.</summary>
    public int PctChanges { get; init; } = 3;

    /// <summary>Compares the world before and after each new step with what the step declared.</summary>
    public bool ChecksWrites { get; init; } = true;

    /// <summary>
    /// Goes back to a state in the middle of a schedule instead of running its first steps again; in a checking run
    /// the states of the first schedules, and of one in some later, are compared with what they were. False is for
    /// whoever compares the two ways.
    /// </summary>
    public bool GoesBack { get; init; } = true;

    /// <summary>Ends at the first schedule that breaks one of these.</summary>
    public Kernel.Judging.RuleSet StopAt { get; init; }

    /// <summary>When callbacks run.</summary>
    public GraceLength Grace { get; init; }

    /// <summary>Of identical actors that have not begun, only the first begins.</summary>
    public bool UsesSymmetry { get; init; } = true;

    /// <summary>Keeps the digest of every history in the order in which they were run, to compare two runs.</summary>
    public bool KeepsHistories { get; init; }

    /// <summary>Keeps the digest of every final state, to compare strategies.</summary>
    public bool KeepsFinalStates { get; init; }
}
