using System.Globalization;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>A fixed schedule that a person can read: <c>A:Kill B:RcuExit rcu:* A:MemoryRemove</c>.</summary>
/// <remarks>
/// <c>A:Step</c> runs A up to and with its next step of that name, <c>A:*</c> until it can go no further,
/// <c>A:3</c> three steps. <c>A:!Step</c> runs A until it stands before that step.
/// </remarks>
public static class ScheduleLine
{
    /// <summary>Runs the line from the beginning of the scenario.</summary>
    /// <exception cref="ArgumentException">A word that is no step, or that its actor cannot take.</exception>
    public static ReplayReport Run(Scenario scenario, KernelProfile profile, string line) =>
        Explorer.OnOwnThread(() =>
        {
            var world = new World(scenario, profile);
            return Replayer.Run(world, Resolve(world, line), null);
        });

    /// <summary>The token of the line.</summary>
    public static ReplayToken Token(Scenario scenario, KernelProfile profile, string line) =>
        Explorer.OnOwnThread(() => new ReplayToken(scenario, profile, Resolve(new World(scenario, profile), line)));

    /// <summary>The line as actor numbers; leaves the world begun anew.</summary>
    internal static IReadOnlyList<byte> Resolve(World world, string line)
    {
        world.Begin();
        var choices = new List<byte>();
        foreach (var word in line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            Run(world, word, choices);
        }

        world.Begin();
        return choices;
    }

    private static void Run(World world, string word, List<byte> choices)
    {
        var parts = word.Split(':');
        var actor = parts.Length == 2 ? world.Actors.FirstOrDefault(one => one.Name == parts[0]) : null;
        if (actor is null)
        {
            throw new ArgumentException(
                $"'{word}' names no actor of {world.Scenario.Id}; accepted: A:Step, A:!Step, A:3, A:*.");
        }

        bool CanStep() => (world.EnabledMask() & (1U << actor.Index)) != 0;
        void Step()
        {
            if (!CanStep())
            {
                throw new ArgumentException($"At '{word}' {actor.Name} of {world.Scenario.Id} cannot step.");
            }

            choices.Add((byte)actor.Index);
            world.StepActor(actor.Index);
        }

        if (parts[1] == "*")
        {
            while (CanStep())
            {
                Step();
            }
        }
        else if (int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            for (; count > 0; count--)
            {
                Step();
            }
        }
        else
        {
            var stopsBefore = parts[1].StartsWith('!');
            if (!Enum.TryParse<Step>(parts[1].TrimStart('!'), out var wanted))
            {
                throw new ArgumentException($"'{word}' names no step.");
            }

            while (world.NextStep(actor.Index) != wanted)
            {
                Step();
            }

            if (!stopsBefore)
            {
                Step();
            }
        }
    }
}

/// <summary>One of the schedules K1… that must lead to a stated outcome under a profile.</summary>
/// <param name="Rules">Exactly these are broken by it.</param>
/// <param name="IsBlocked">It ends with somebody waiting for ever.</param>
public sealed record FixedSchedule(
    string Id, string Scenario, IReadOnlyList<string> Profiles, string Line, RuleSet Rules, bool IsBlocked,
    string Outcome);

/// <summary>The fixed schedules of kernel-model H.3.</summary>
public static class FixedSchedules
{
    private static readonly string[] BeforePatch6 = ["P0", "P1", "P2", "P3", "P4", "P5"];
    private static readonly string[] Shared = ["P0", "P1", "P2", "P3", "P4"];

    public static IReadOnlyList<FixedSchedule> All { get; } =
    [
        new("K1", "S2", BeforePatch6, "A:MemoryRemove B:Access",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.NoUseAfterRemove), false,
            "the holder touches removed memory while nobody has waited for it"),
        new("K2", "S2", ["ALL"], "A:!WaitReaped B:* rcu:* A:*", RuleSet.Empty, false,
            "the unbind waits for the holder"),
        new("K3", "S3", BeforePatch6, "A:MemoryRemove B:*",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.NoUseAfterRemove), false,
            "the last put reads a page that is gone"),
        new("K4", "S3", ["ALL"], "A:!WaitReaped B:* rcu:* A:*", RuleSet.Empty, false, "the unbind waits for the pin"),
        new("K5", "S8", ["ALL"], "A:!WaitReaped rcu:* A:FreeObject A:!WaitReaped B2:*",
            RuleSet.Of(KernelRule.ObjLive, KernelRule.OwnerAlive), false,
            "the allocator reads the owner of the newest chunk, whose memory is freed (R2)"),
        new("K6", "S9", ["P5", "ALL"], "A:Kill rcu:* A:!FieldClear B:FieldTest A:FieldClear B:FieldUse",
            RuleSet.Of(KernelRule.NoNullDeref), false, "the field is NULL at its second read (R1)"),
        new("K7", "S9", Shared, "B:FieldUse rcu:* A:!WaitReaped rcu:* A:* B:RefFlags",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.ObjLive), false,
            "tryget on the ref in the freed p2pdma object"),
        new("K8", "S1", ["V1"], "A:!WaitReaped rcu:* A:*", RuleSet.Of(KernelRule.NoNullDeref), false,
            "the release reads the pool through the field that it has cleared"),
        new("K9", "S10", Shared, "B:SysfsPool A:!WaitReaped rcu:* A:PoolDestroy B:SysfsWalk",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.ObjLive, KernelRule.SysfsSafe), false,
            "a show walks a destroyed pool"),
        new("K10", "S10", ["ALL"], "A:!WaitReaped rcu:* A:FieldClear B:SysfsPool",
            RuleSet.Of(KernelRule.NoNullDeref, KernelRule.SysfsSafe), false, "a show finds the field NULL"),
        new("K11", "S4", ["P0", "P1", "P2"], "A:*",
            RuleSet.Of(
                KernelRule.ObjLive, KernelRule.MapErasedBeforeFree, KernelRule.ErrorNoResidue, KernelRule.NoStaleData),
            false, "the release action of a freed pgmap runs"),
        new("K12", "S4", ["P5"], "A:FreeObject rcu:*",
            RuleSet.Of(
                KernelRule.ReapBeforeRemove, KernelRule.ExitAfterZero, KernelRule.ExitNotSwitching, KernelRule.ObjLive,
                KernelRule.ErrorNoResidue),
            false, "exit while switching, then the callback runs in freed memory"),
        new("K13", "S5", ["P3", "P4"], "A:BindEnd A:!UnbindBegin",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.ResIndep, KernelRule.NoPermanentRefusal), false,
            "the early unmap kills the ref of the first resource"),
        new("K14", "S7", ["X6-5"], "A:!WaitReaped rcu:*", RuleSet.Of(KernelRule.UnbindLive), true,
            "the release of the newer mapping waits for the pages of the older"),
        new("K15", "S12", BeforePatch6, "A:RefExit",
            RuleSet.Of(KernelRule.ExitAfterZero, KernelRule.ExitNotSwitching), false,
            "exit while the switch is pending"),
        new("K16", "S13", BeforePatch6, "A:*", RuleSet.Of(KernelRule.UnbindLive), true,
            "the exit action waits for a kill that nobody makes"),
        new("K17", "S15", BeforePatch6, "A:MemoryRemove B:*",
            RuleSet.Of(KernelRule.ReapBeforeRemove, KernelRule.NoUseAfterRemove), false,
            "the pin is put after the memory is gone"),
        new("K18", "S16", ["P0", "P5", "ALL", "L514"], "A:Unmap B:IoAccess",
            RuleSet.Of(KernelRule.NoUseAfterRemove), false,
            "a request in flight touches the unmapped range"),
        new("K19", "S18", ["ALL"], "A:!QueueWait rcu:* A:!MapErase rcu:* B:RefFlags",
            RuleSet.Of(KernelRule.ObjLive, KernelRule.LookupSafe), false,
            "a lookup reads the counter of a freed queue"),
        new("K20", "S25", ["P3", "P4"], "A:FreeObject rcu:* A:* B:2",
            RuleSet.Of(
                KernelRule.ReapBeforeRemove, KernelRule.NoUseAfterRemove, KernelRule.ExitAfterZero,
                KernelRule.NoGetFromZero, KernelRule.UnbindQuiescent, KernelRule.WaitEffective,
                KernelRule.NoPermanentRefusal),
            false, "a ref revived from 0, and a wait that an earlier life has latched"),
        new("K21", "S21", ["L515b"], "A:!QueueWait rcu:*", RuleSet.Of(KernelRule.UnbindLive), true,
            "removing the disk waits for references that a later step owes"),
        new("K22", "S22", ["L62"], "A:!WaitReaped rcu:*", RuleSet.Of(KernelRule.UnbindLive), true,
            "the bridging reference of a failed page insert is never put"),
    ];
}
