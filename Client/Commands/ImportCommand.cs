using System.CommandLine;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Storage.Results;

namespace Fleet.Client.Commands;

/// <summary><c>fleet import</c>: a history file as a stored run, judged again by both checkers.</summary>
internal static class ImportCommand
{
    public static Command Create(Terminal terminal)
    {
        var file = new Argument<string>("FILE") { Description = "A history, *.jsonl or *.jsonl.gz." };
        var name = new Option<string?>("--name")
        {
            Description = "Name of the run in the store (default: the one that the file says).",
            HelpName = "RUN",
        };
        var store = new StoreOptions();
        var command = new Command("import", "Stores a history file as a run, and judges it.") { file, name };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var path = parsed.GetRequiredValue(file);
            await using var opened = await ResultStores.OpenAsync(
                RunStore.AddressOf(parsed.GetValue(store.Store), parsed.GetValue(store.Results)), ct);
            var (run, verdict) = await ImportAsync(opened, path, parsed.GetValue(name), ct);
            if (parsed.GetValue(store.Json))
            {
                terminal.WriteJson(new
                {
                    run = RunsCommand.ToJson(run),
                    exitCode = verdict.ExitCode,
                    disagreements = verdict.Disagreements,
                });
                return verdict.ExitCode;
            }

            foreach (var disagreement in verdict.Disagreements)
                terminal.Say($"Two checkers disagree: {ForeignText.Clean(disagreement, 1000)}");
            terminal.Say(
                $"{run.Info.Run}: {run.Operations:N0} operations, {run.Events:N0} events, "
                + $"{verdict.Report.Verdict.ToString().ToLowerInvariant()}, exit {verdict.ExitCode}.");
            terminal.Say($"Results: {run.Location}");
            return verdict.ExitCode;
        });
        return command;
    }

    private static async Task<(StoredRun Run, StoredVerdict Verdict)> ImportAsync(
        IResultStore store, string path, string? name, CancellationToken ct)
    {
        const string accepted = "a history file, *.jsonl or *.jsonl.gz, as fleet export --format jsonl writes it";
        try
        {
            return await RunTransfer.ImportAsync(store, path, name, DateTimeOffset.UtcNow, ct);
        }
        catch (HistoryFormatException e)
        {
            throw new UsageException($"{ForeignText.Clean(path)}:{e.Line}: {ForeignText.Clean(e.Reason, 1000)}.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: {accepted}.", e);
        }
    }
}
