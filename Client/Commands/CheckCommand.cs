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
            "--history")
        { Description = "A history file, *.jsonl or *.jsonl.gz.", HelpName = "FILE" };
        var trace = new Option<string?>("--trace")
        {
            Description = "Text that a real kernel recorded (see fleet trace probes).",
            HelpName = "FILE"
        };
        var profile = new Option<string?>(
            "--profile")
        { Description = "Judge as this kernel, instead of what is recorded.", HelpName = "P" };
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

            var (source, verdict) = (parsed.GetValue(run), parsed.GetValue(history)) switch
            {
                ({ } reference, null) when parsed.GetValue(trace) is null => await CheckRunAsync(
                    reference, parsed.GetValue(store.Store), parsed.GetValue(store.Results), kernel, ct),
                (null, { } file) when parsed.GetValue(trace) is null => CheckFile(file, kernel),
                _ => throw new UsageException(
                    "fleet check needs one thing to judge; accepted: RUN, --history FILE, or --trace FILE."),
            };
            var report = verdict.Report;
            if (parsed.GetValue(store.Json))
            {
                terminal.WriteJson(new
                {
                    source,
                    exitCode = verdict.ExitCode,
                    disagreements = verdict.Disagreements,
                    report = ReportView.ToJson(report),
                    sql = verdict.Sql.Select(
                        rule => new { rule = rule.Rule, violated = rule.Violated, excused = rule.Excused }),
                });
                return verdict.ExitCode;
            }

            ReportView.Show(terminal, report, withRules: true);
            foreach (var disagreement in verdict.Disagreements)
                terminal.Say($"Two checkers disagree: {ForeignText.Clean(disagreement, 1000)}");
            var word = report.Verdict.ToString().ToLowerInvariant();
            terminal.Say(
                $"{source}: {word}, {report.Records} record(s) judged by {report.Rules.Count(rule => rule.Decided)} "
                + $"rules"
                + $"{(verdict.Sql.Count > 0 ? $", {verdict.Sql.Count} of them in SQL too" : "")}, exit "
                + $"{verdict.ExitCode}.");
            return verdict.ExitCode;
        });
        return command;
    }

    private static async Task<(string Source, StoredVerdict Verdict)> CheckRunAsync(
        string reference, string? store, string? results, string? profile, CancellationToken ct)
    {
        var (opened, reader) = await RunStore.OpenRunAsync(reference, store, results, ct);
        await using var _ = opened;
        await using var __ = reader;
        var outcome = reader.Run.Outcome;
        var probes = await reader.ProbesAsync(ct);
        var verdict = await StoredCheck.CheckAsync(
            reader,
            profile,
            outcome?.Complete ?? false,
            outcome?.Quiescent ?? false,
            [.. probes.Where(probe => probe.Required).Select(probe => probe.Name)],
            ct);
        return (reader.Run.Info.Run, verdict);
    }

    private static (string Source, StoredVerdict Verdict) CheckFile(string file, string? profile)
    {
        const string accepted = "a history file, *.jsonl or *.jsonl.gz, as docs describe it";
        try
        {
            var (_, report) = HistoryFile.Check(file, new ObjectTable(), new HistoryFileOptions
            {
                Profile = profile,
                // Threads pay from some hundred thousand records on; a pipe has no length.
                Workers = new FileInfo(file) is { Exists: true, Length: > 32 << 20 }
                    ? Math.Max(1, Environment.ProcessorCount - 1)
                    : 1,
            });
            return (ForeignText.Clean(file), new(report, [], []));
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
