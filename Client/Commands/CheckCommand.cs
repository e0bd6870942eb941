using System.CommandLine;
using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Kernel.History;

namespace Fleet.Client.Commands;

/// <summary><c>fleet check</c>: judges a stored run again, any history file, or the trace of a real kernel.</summary>
internal static class CheckCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string?>("RUN")
        {
            Description = "Name of a run, the beginning of it, its file, or 'last'.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var history = new Option<string?>(
            "--history") { Description = "A history file, *.jsonl or *.jsonl.gz.", HelpName = "FILE" };
        var trace = new Option<string?>(
            "--trace") { Description = "Text that a real kernel recorded (see fleet trace probes).", HelpName = "FILE" };
        var profile = new Option<string?>(
            "--profile") { Description = "Judge as this kernel, instead of what is recorded.", HelpName = "P" };
        var store = new StoreOptions();
        var command = new Command("check", "Judges a stored run again, a history file, or a kernel's trace.")
        {
            run,
            history,
            trace,
            profile,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var kernel = parsed.GetValue(profile) is { } name ? ProfileCommand.Parse(name).Name : null;
            if (parsed.GetValue(trace) is { } recording
                && parsed.GetValue(run) is null
                && parsed.GetValue(history) is null)
                return TraceCommand.Check(terminal, recording, kernel, parsed.GetValue(store.Json));

            var (source, report) = (parsed.GetValue(run), parsed.GetValue(history)) switch
            {
                ({ } reference, null) when parsed.GetValue(trace) is null => await CheckRunAsync(
                    reference, parsed.GetValue(store.Store), parsed.GetValue(store.Results), kernel, ct),
                (null, { } file) when parsed.GetValue(trace) is null => CheckFile(file, kernel),
                _ => throw new UsageException(
                    "fleet check needs one thing to judge; accepted: RUN, --history FILE, or --trace FILE."),
            };
            if (parsed.GetValue(store.Json))
            {
                terminal.WriteJson(new { source, exitCode = report.ExitCode, report = ReportView.ToJson(report) });
            }
            else
            {
                ReportView.Show(terminal, report, withRules: true);
                terminal.Say(
                    $"{source}: {report.Verdict.ToString().ToLowerInvariant()}, {report.Records} record(s) judged, exit {report.ExitCode}.");
            }

            return report.ExitCode;
        });
        return command;
    }

    private static async Task<(string Source, CheckReport Report)> CheckRunAsync(
        string reference, string? store, string? results, string? profile, CancellationToken ct)
    {
        var (opened, reader) = await RunStore.OpenRunAsync(reference, store, results, ct);
        await using var _ = opened;
        await using var __ = reader;
        var outcome = reader.Run.Outcome;
        var probes = await reader.ProbesAsync(ct);
        var report = await StoredCheck.CheckAsync(
            reader,
            profile,
            outcome?.Complete ?? false,
            outcome?.Quiescent ?? false,
            [.. probes.Where(probe => probe.Required).Select(probe => probe.Name)],
            ct);
        return (reader.Run.Info.Run, report);
    }

    private static (string Source, CheckReport Report) CheckFile(string file, string? profile)
    {
        const string accepted = "a history file, *.jsonl or *.jsonl.gz, as docs describe it";
        try
        {
            var (_, report) = HistoryFile.Check(file, new ObjectTable(), new HistoryFileOptions { Profile = profile });
            return (ForeignText.Clean(file), report);
        }
        catch (HistoryFormatException e)
        {
            throw new UsageException($"{ForeignText.Clean(file)}:{e.Line}: {ForeignText.Clean(e.Reason, 1000)}.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(file)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: {accepted}.", e);
        }
    }
}
