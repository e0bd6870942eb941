using System.CommandLine;
using Fleet.Client.Runs;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet doctor</c>: what this machine can run, and what to do about the rest.</summary>
internal static class DoctorCommand
{
    public static Command Create(Terminal terminal)
    {
        var results = new Option<string?>("--results")
        {
            Description = "Directory of result files (default ./fleet-results).",
            HelpName = "DIR",
        };
        var json = CommonOptions.Json();
        var command = new Command("doctor", "Says what this machine can run, and what to do about the rest.")
        {
            results, json,
        };
        command.SetAction(async (parsed, ct) =>
        {
            var report = await Doctor.ExamineAsync(parsed.GetValue(results) ?? RunStore.DefaultDirectory, ct);
            if (parsed.GetValue(json))
                terminal.WriteJson(report);
            else
                Show(terminal, report);
            return report.CanRun ? ExitCode.Valid : ExitCode.Infrastructure;
        });
        return command;
    }

    private static void Show(Terminal terminal, DoctorReport report)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("", "what", "found");
        foreach (var check in report.Checks)
        {
            table.AddRow(
                check.State switch
                {
                    DoctorState.Good => "[green]good[/]",
                    DoctorState.Limited => "[yellow]limited[/]",
                    _ => "[red]missing[/]",
                },
                Terminal.Safe(check.What),
                Terminal.Safe(check.Found));
        }

        terminal.Screen.Write(table);
        foreach (var check in report.Checks.Where(check => check.Advice.Length > 0))
            terminal.Say($"{check.What}: {ForeignText.Clean(check.Advice, 500)}");
        if (report.Checks.Any(check => check.Advice.Length > 0))
            terminal.Say("");
        foreach (var job in report.Jobs)
            terminal.Screen.MarkupLine(
                $"{(job.Can ? "[green]can[/]   " : "[yellow]cannot[/]")} {Terminal.Safe(job.Job)}"
                + (job.Because.Length > 0 ? $": {Terminal.Safe(job.Because)}" : ""));
    }
}
