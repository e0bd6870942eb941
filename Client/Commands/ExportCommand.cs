using System.CommandLine;
using Fleet.Client.Runs;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary><c>fleet export</c>: a stored run as files for other tools, or for <c>fleet import</c>.</summary>
internal static class ExportCommand
{
    private const string Compressed = ".gz";

    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>("RUN")
        {
            Description = "Name of a run, the beginning of it, its file, or 'last'.",
        };
        var format = new Option<string>("--format")
        {
            Description = "jsonl: one file in the history format; csv or parquet: one file for each view.",
            HelpName = "FORMAT",
            DefaultValueFactory = _ => "jsonl",
        };
        format.AcceptOnlyFromAmong("jsonl", "csv", "parquet");
        var to = new Option<string?>("--out")
        {
            Description = "File (*.jsonl, *.jsonl.gz) or directory to write; default ./RUN.jsonl or ./RUN-FORMAT.",
            HelpName = "PATH",
        };
        var store = new StoreOptions();
        var command = new Command("export", "Writes a stored run to files.") { run, format, to };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var (opened, reader) = await RunStore.OpenRunAsync(
                parsed.GetRequiredValue(run), parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            await using var _ = opened;
            await using var __ = reader;
            var (name, kind) = (reader.Run.Info.Run, parsed.GetRequiredValue(format));
            IReadOnlyList<string> files = kind is "jsonl"
                ? [await ExportAsync(reader, parsed.GetValue(to) ?? $"{name}.jsonl", ct)]
                : await reader.ExportAsync(
                    parsed.GetValue(to) ?? $"{name}-{kind}",
                    kind is "csv" ? ExportFormat.Csv : ExportFormat.Parquet, ct);
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(new { run = name, format = kind, files });
            else
                foreach (var file in files)
                    terminal.Say(ForeignText.Clean(file, 4096));
            return ExitCode.Valid;
        });
        return command;
    }

    private static async Task<string> ExportAsync(IRunReader reader, string path, CancellationToken ct)
    {
        try
        {
            await using var file = File.Create(path);
            await RunTransfer.ExportAsync(reader, file, path.EndsWith(Compressed, StringComparison.Ordinal), ct);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be written ({ForeignText.Clean(e.Message)}); accepted: --out PATH of "
                + "a file in a directory that exists.", e);
        }
    }
}
