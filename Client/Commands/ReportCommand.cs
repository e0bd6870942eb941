using System.CommandLine;
using Fleet.Client.Runs;

namespace Fleet.Client.Commands;

/// <summary><c>fleet report</c>: a stored run as one page that can be sent.</summary>
internal static class ReportCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>("RUN")
        {
            Description = "Name of a run, the beginning of it, its file, or 'last'.",
            DefaultValueFactory = _ => RunStore.Last,
        };
        var html = new Option<string?>("--html")
        {
            Description = "The file to write (default RUN.html in this directory).",
            HelpName = "FILE",
        };
        var store = new StoreOptions();
        var command = new Command("report", "Writes a stored run as one self-contained HTML page.") { run, html };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var (opened, reader) = await RunStore.OpenRunAsync(
                parsed.GetRequiredValue(run), parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            await using var _ = opened;
            await using var __ = reader;
            var file = Path.GetFullPath(parsed.GetValue(html) ?? $"{reader.Run.Info.Run}.html");
            var page = await ReportPage.OfAsync(reader, ct);
            await page.WriteAsync(file, ct);
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(new { run = reader.Run.Info.Run, file, bytes = new FileInfo(file).Length });
            else
                terminal.Say($"Report: {file}");
            return ExitCode.Valid;
        });
        return command;
    }
}
