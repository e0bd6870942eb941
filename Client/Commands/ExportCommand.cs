using System.CommandLine;
using System.IO.Compression;
using Fleet.Checking.Exports;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary><c>fleet export</c>: a stored run as files for other tools, or for <c>fleet import</c>.</summary>
internal static class ExportCommand
{
    private const string Compressed = ".gz";

    public static Command Create(Terminal terminal)
    {
        var run = StoreOptions.Run();
        var format = new Option<string>("--format")
        {
            Description = "jsonl: one file in the history format; csv or parquet: one file for each view; edn: as "
                + "Jepsen keeps histories; porcupine: operations for Porcupine, JSON.",
            HelpName = "FORMAT",
            DefaultValueFactory = _ => "jsonl",
        };
        format.AcceptOnlyFromAmong("jsonl", "csv", "parquet", "edn", "porcupine");
        var to = new Option<string?>("--out")
        {
            Description = "File (*.jsonl, *.jsonl.gz) or directory to write; default ./RUN.jsonl or ./RUN-FORMAT.",
            HelpName = "PATH",
        };
        var store = new StoreOptions();
        var command = new Command("export", "Writes a stored run to files.") { run, format, to };
        store.AddTo(command);
        command.SetAction((parsed, ct) => store.ReadAsync(
            parsed,
            run,
            async reader =>
            {
                var (name, kind) = (reader.Run.Info.Run, parsed.GetRequiredValue(format));
                IReadOnlyList<string> files = kind is "jsonl"
                    ? [await ExportAsync(reader, parsed.GetValue(to) ?? $"{name}.jsonl", ct)]
                    : kind is "edn" or "porcupine"
                    ? [await ExportAsync(
                        reader, kind, parsed.GetValue(to) ?? $"{name}.{(kind is "edn" ? kind : "json")}", ct)]
                    : await reader.ExportAsync(
                        parsed.GetValue(to) ?? $"{name}-{kind}",
                        kind is "csv" ? ExportFormat.Csv : ExportFormat.Parquet, ct);
                if (parsed.GetValue(store.Json))
                    terminal.WriteJson(new { run = name, format = kind, files });
                else
                    foreach (var file in files)
                        terminal.Say(ForeignText.Clean(file, 4096));
                return ExitCode.Valid;
            },
            ct));
        return command;
    }

    private static Task<string> ExportAsync(IRunReader reader, string path, CancellationToken ct) => WriteAsync(
        path,
        file => RunTransfer.ExportAsync(reader, file, path.EndsWith(Compressed, StringComparison.Ordinal), ct));

    /// <summary>Both tools hold a history in memory, and so does this: what they cannot take is of no use.</summary>
    private static async Task<string> ExportAsync(IRunReader reader, string kind, string path, CancellationToken ct)
    {
        var records = new Collected();
        await reader.StreamUnplacedAsync(records, ct);
        await reader.StreamAsync(records, ct);
        return await WriteAsync(path, file =>
        {
            using var packed = path.EndsWith(Compressed, StringComparison.Ordinal)
                ? new GZipStream(file, CompressionLevel.Optimal, leaveOpen: true)
                : null;
            if (kind is "edn")
                JepsenEdn.Write(packed ?? (Stream)file, records.All, reader.Objects);
            else
                PorcupineJson.Write(packed ?? (Stream)file, records.All, reader.Objects);
            return Task.CompletedTask;
        });
    }

    private static async Task<string> WriteAsync(string path, Func<FileStream, Task> write)
    {
        try
        {
            await using var file = File.Create(path);
            await write(file);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be written ({ForeignText.Clean(e.Message)}); accepted: --out PATH "
                + "of a file in a directory that exists.", e);
        }
    }

    private sealed class Collected : IHistorySink
    {
        public List<HistoryRecord> All { get; } = [];

        public void Observe(HistoryEvent record) => All.Add(record);

        public void Observe(in Operation record) => All.Add(record);
    }
}
