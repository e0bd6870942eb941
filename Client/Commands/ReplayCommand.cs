using System.CommandLine;
using System.Diagnostics;
using Fleet.Checking.History;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Replay;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet replay</c>: runs one schedule again, step by step.</summary>
internal static class ReplayCommand
{
    private static readonly TimeSpan DebuggerPoll = TimeSpan.FromMilliseconds(200);

    public static Command Create(Terminal terminal)
    {
        var token = new Argument<string>("TOKEN")
        {
            Description = "A schedule, as fleet explore and fleet museum print it."
        };
        var breaks = new Option<bool>("--break")
        {
            Description = "Wait for a debugger before the step that breaks a rule."
        };
        var history = new Option<string>("--history")
        {
            Description = "Also write the schedule as a history file, which fleet check --history judges.",
            HelpName = "FILE",
        };
        var json = CommonOptions.Json();
        var command = new Command("replay", "Reproduces a schedule exactly and prints who did what.")
        {
            token, breaks, history, json,
        };
        command.SetAction(parsed => ExploreCommand.Guard(terminal, () =>
        {
            var exit = Run(terminal, parsed.GetRequiredValue(token), parsed.GetValue(breaks), parsed.GetValue(json));
            if (parsed.GetValue(history) is { } path)
            {
                WriteHistory(parsed.GetRequiredValue(token), path);
            }

            return exit;
        }));
        return command;
    }

    private static int Run(Terminal terminal, string token, bool breaks, bool isJson)
    {
        var report = Replayer.Run(token);
        if (breaks && report.Steps.FirstOrDefault(step => !step.Broken.IsEmpty) is { } violating)
        {
            report = Replayer.Run(token, number =>
            {
                if (number == violating.Number)
                {
                    WaitForDebugger(terminal, violating);
                }
            });
        }

        if (isJson)
        {
            terminal.WriteJson(new
            {
                scenario = report.Scenario,
                title = report.Title,
                profile = report.Profile,
                rules = report.Broken.Rules.Select(KernelRules.WireName),
                death = report.Death,
                blocked = report.Blocked,
                isComplete = report.IsComplete,
                switches = report.Switches,
                steps = report.Steps.Select(step => new
                {
                    number = step.Number,
                    actor = step.Actor,
                    step = step.Step,
                    events = step.Events,
                    broken = step.Broken.Rules.Select(KernelRules.WireName),
                }),
            });
        }
        else
        {
            Print(terminal, report);
        }

        return report.Broken.IsEmpty ? ExitCode.Valid : ExitCode.Invalid;
    }

    /// <exception cref="UsageException">The file cannot be written.</exception>
    private static void WriteHistory(string token, string path)
    {
        var history = ScheduleHistory.Of(token);
        try
        {
            using var file = File.Create(path);
            using var writer = new HistoryWriter(file, history.Header, history.Objects);
            foreach (var record in history.Records)
            {
                writer.Write(record);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"The history {ForeignText.Quote(path)} cannot be written: {ForeignText.Clean(e.Message, 300)}", e);
        }
    }

    private static void WaitForDebugger(Terminal terminal, ReplayedStep step)
    {
        terminal.SayProgress(
            $"Process {Environment.ProcessId} waits for a debugger before step {step.Number} "
            + $"({step.Actor}: {step.Step}).");
        while (!Debugger.IsAttached)
        {
            Thread.Sleep(DebuggerPoll);
        }

        Debugger.Break();
    }

    private static void Print(Terminal terminal, ReplayReport report)
    {
        terminal.Say($"{report.Scenario} under {report.Profile}: {report.Title}");
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("#", "actor", "step", "what happened", "broken");
        foreach (var step in report.Steps)
        {
            table.AddRow(
                ExploreCommand.Number(step.Number),
                step.Actor,
                step.Step.ToString(),
                Terminal.Safe(string.Join("; ", step.Events)),
                step.Broken.ToString());
        }

        terminal.Screen.Write(table);
        if (report.Death is { } death)
        {
            terminal.Say($"The modelled kernel died: {death}.");
        }

        if (report.Blocked.Count > 0)
        {
            terminal.Say($"Waits for ever: {string.Join(", ", report.Blocked)}.");
        }

        terminal.Say(
            $"{report.Steps.Count} steps, {report.Switches} context switches; broken: "
            + (report.Broken.IsEmpty ? "nothing" : report.Broken.ToString())
            + (report.IsComplete ? "." : " (the beginning of longer histories)."));
    }
}
