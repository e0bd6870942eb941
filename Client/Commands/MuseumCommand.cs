using System.CommandLine;
using System.Diagnostics;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Museum;
using Fleet.Simulation.Replay;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary>
/// <c>fleet museum</c>: every defect of history, found by exploring, beside the kernel that no longer has it.
/// </summary>
internal static class MuseumCommand
{
    public static Command Create(Terminal terminal)
    {
        var json = CommonOptions.Json();
        var command = new Command(
            "museum", "Finds every historical defect by exploring, and shows that its fix is clean.") { json };
        command.SetAction(parsed => ExploreCommand.Guard(terminal, () => Run(terminal, parsed.GetValue(json))));
        return command;
    }

    private static int Run(Terminal terminal, bool isJson)
    {
        var shown = new List<(MuseumResult Result, double Seconds, ShrunkSchedule? Shrunk, double ShrinkSeconds)>();
        foreach (var entry in MuseumCatalog.All)
        {
            var clock = Stopwatch.StartNew();
            var result = MuseumCatalog.Show(entry, new ExploreOptions());
            var seconds = clock.Elapsed.TotalSeconds;
            clock.Restart();
            shown.Add((result, seconds, Shrink(result), clock.Elapsed.TotalSeconds));
            terminal.SayProgress($"{entry.Name}: {(result.Holds ? "found, fix clean" : "DIFFERS")}");
        }

        if (isJson)
        {
            terminal.WriteJson(new
            {
                holds = shown.All(one => one.Result.Holds),
                entries = shown.Select(one => new
                {
                    name = one.Result.Entry.Name,
                    what = one.Result.Entry.What,
                    scenario = one.Result.Entry.Scenario,
                    rule = KernelRules.WireName(one.Result.Entry.Rule),
                    profile = one.Result.Entry.BrokenProfile,
                    fixedProfile = one.Result.Entry.FixedProfile,
                    fixedBy = one.Result.Entry.FixedBy,
                    found = one.Result.Found,
                    foundAfter = one.Result.FoundAfter,
                    fixIsClean = one.Result.FixIsClean,
                    fixSchedules = one.Result.FixSchedules,
                    fixIsExhausted = one.Result.FixIsExhausted,
                    seconds = one.Seconds,
                    shrinkSeconds = one.ShrinkSeconds,
                    switches = one.Shrunk?.Switches,
                    steps = one.Shrunk?.Steps,
                    isOneMinimal = one.Shrunk?.IsOneMinimal,
                    token = one.Shrunk?.Token.ToString(),
                }),
            });
        }
        else
        {
            Print(terminal, shown);
        }

        return shown.All(one => one.Result.Holds) ? ExitCode.Valid : ExitCode.Invalid;
    }

    private static ShrunkSchedule? Shrink(MuseumResult result)
    {
        if (result.Schedule is not { } schedule)
        {
            return null;
        }

        var (scenario, profile) = Explorer.Find(result.Entry.Scenario, result.Entry.BrokenProfile);
        return Shrinker.Shrink(scenario, profile, result.Entry.Rule, schedule);
    }

    private static void Print(
        Terminal terminal,
        List<(MuseumResult Result, double Seconds, ShrunkSchedule? Shrunk, double ShrinkSeconds)> shown)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns(
            "defect", "world", "rule", "found under", "after", "clean under", "schedules", "s", "shrunk to", "s");
        foreach (var (result, seconds, shrunk, shrinkSeconds) in shown)
        {
            var entry = result.Entry;
            table.AddRow(
                entry.Name,
                entry.Scenario,
                KernelRules.WireName(entry.Rule),
                entry.BrokenProfile,
                result.Found ? ExploreCommand.Number(result.FoundAfter) : "NOT FOUND",
                result.FixIsClean ? entry.FixedProfile : $"{entry.FixedProfile}: NOT CLEAN",
                $"{ExploreCommand.Number(result.FixSchedules)} {(result.FixIsExhausted ? "(all)" : "(bounded)")}",
                ExploreCommand.Number(seconds, "0.00"),
                shrunk is null ? "" : $"{shrunk.Steps} steps{(shrunk.IsOneMinimal ? "" : ", NOT 1-minimal")}",
                ExploreCommand.Number(shrinkSeconds, "0.00"));
        }

        terminal.Screen.Write(table);
        foreach (var (result, _, shrunk, _) in shown)
        {
            terminal.Say($"{result.Entry.Name}: {result.Entry.What}");
            terminal.Say($"  fixed by {result.Entry.FixedBy}; fleet replay {shrunk?.Token}");
        }

        terminal.Say($"{shown.Count(one => one.Result.Holds)} of {shown.Count} found, with a clean fix.");
    }
}
