using System.CommandLine;
using Fleet.Client.Runs;

namespace Fleet.Client.Commands;

/// <summary><c>fleet report</c>: a stored run as one page that can be sent.</summary>
internal static class ReportCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = StoreOptions.RunOrLast();
        var html = new Option<string?>("--html", "--out")
        {
            Description = "The file to write, or to write anew if it is such a page (default RUN.html in this "
                + "directory); its path is printed.",
            HelpName = "FILE",
        };
        var store = new StoreOptions();
        var command = new Command("report", "Writes a stored run as one self-contained HTML page.") { run, html };
        store.AddTo(command);
        command.SetAction((parsed, ct) => store.ReadAsync(
            parsed,
            run,
            async reader =>
            {
                var file = Path.GetFullPath(parsed.GetValue(html) ?? $"{reader.Run.Info.Run}.html");
                var page = await ReportPage.OfAsync(reader, ct);
                await page.WriteAsync(file, ct);
                if (parsed.GetValue(store.Json))
                    terminal.WriteJson(new { run = reader.Run.Info.Run, file, bytes = new FileInfo(file).Length });
                else
                    terminal.Say($"Report: {file}");
                return ExitCode.Valid;
            },
            ct));
        return command;
    }
}
