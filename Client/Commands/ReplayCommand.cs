using System.CommandLine;
using System.Diagnostics;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Replay;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet replay</c>: runs one schedule again, or what a run has found, step by step.</summary>
internal static class ReplayCommand
{
    private static readonly TimeSpan DebuggerPoll = TimeSpan.FromMilliseconds(200);

    public static Command Create(Terminal terminal)
    {
        var token = new Argument<string>("TOKEN")
        {
            Description = "A schedule, as fleet explore and fleet museum print it; or a finding, RUN#NUMBER or "
                + "FILE#NUMBER, which is carried into a small world and shrunk there.",
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
        var store = new StoreOptions();
        var command = new Command(
            "replay", "Reproduces a schedule, or a finding of a run in a small world, and prints who did what.")
        {
            token, breaks, history,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var text = parsed.GetRequiredValue(token);
            var isJson = parsed.GetValue(store.Json);
            CarriedFinding? carried = null;
            LoadedFinding? finding = null;
            if (text.Contains('#', StringComparison.Ordinal))
            {
                finding = await LoadedFinding.ReadAsync(
                    FindingReference.Parse(text), null, parsed.GetValue(store.Store), parsed.GetValue(store.Results),
                    ct);
            }

            return ExploreCommand.Guard(terminal, () =>
            {
                if (finding is not null)
                {
                    carried = FindingCarrier.Carry(finding.Header, finding.Records, finding.Objects);
                    if (!isJson)
                    {
                        CarriedFindingView.Show(terminal, finding, carried);
                    }

                    if (carried.Shrunk is null)
                    {
                        if (isJson)
                        {
                            terminal.WriteJson(CarriedFindingView.ToJson(finding, carried));
                        }

                        return ExitCode.Unknown;
                    }

                    text = carried.Shrunk.Token.ToString();
                }

                var report = Run(terminal, text, parsed.GetValue(breaks));
                if (!isJson)
                {
                    Print(terminal, report);
                }
                else
                {
                    terminal.WriteJson(
                        finding is null ? ToJson(report)
                        : CarriedFindingView.ToJson(finding, carried!, ToJson(report)));
                }

                if (parsed.GetValue(history) is { } path)
                {
                    WriteHistory(text, path);
                }

                return report.Broken.IsEmpty ? ExitCode.Valid : ExitCode.Invalid;
            });
        });
        return command;
    }

    private static ReplayReport Run(Terminal terminal, string token, bool breaks)
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

        return report;
    }

    private static object ToJson(ReplayReport report) => new
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
    };

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
