using System.CommandLine;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Client.Runs;

namespace Fleet.Client.Commands;

/// <summary><c>fleet explain</c>: why a finding is one, in the terminal or as a page that can be sent.</summary>
internal static class ExplainCommand
{
    public static Command Create(Terminal terminal)
    {
        var finding = new Argument<string>("FINDING")
        {
            Description = "RUN#NUMBER, FILE#NUMBER for a history file, or NUMBER for the newest run.",
        };
        var html = new Option<string?>("--html")
        {
            Description = "Write one self-contained page to this file instead.",
            HelpName = "FILE",
        };
        var profile = new Option<string?>("--profile")
        {
            Description = "Judge a history file as this kernel, instead of what is recorded.",
            HelpName = "P",
        };
        var store = new StoreOptions();
        var command = new Command(
            "explain", "Explains one finding: the contradiction, the rule, the records that prove it.")
        {
            finding, html, profile,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var reference = FindingReference.Parse(parsed.GetRequiredValue(finding));
            var kernel = parsed.GetValue(profile) is { } name ? ProfileCommand.Parse(name).Name : null;
            var explained = IsHistoryFile(reference.Run)
                ? ExplainedFinding.OfFile(reference, kernel)
                : await ExplainedFinding.OfRunAsync(
                    reference, parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            if (parsed.GetValue(html) is { } path)
            {
                var page = ExplanationPage.Of(explained);
                await page.WriteAsync(path, ct);
                if (!parsed.GetValue(store.Json))
                    terminal.Say($"{explained.Name}: written to {ForeignText.Clean(path)}.");
            }

            if (parsed.GetValue(store.Json))
                terminal.WriteJson(ExplanationView.ToJson(explained));
            else if (parsed.GetValue(html) is null)
                ExplanationView.Show(terminal, explained);
            return ExitCode.Valid;
        });
        return command;
    }

    private static bool IsHistoryFile(string run) =>
        File.Exists(run) && !run.EndsWith(".duckdb", StringComparison.Ordinal);
}

/// <summary>A finding that was explained, and where it comes from.</summary>
/// <param name="Name">As commands name it.</param>
/// <param name="Facts">What is known of the run or file, in words.</param>
public sealed record ExplainedFinding(
    string Name, HistoryHeader Header, Kernel.History.ObjectTable Objects, Explanation Explanation,
    IReadOnlyList<(string Name, string Value)> Facts)
{
    /// <exception cref="UsageException">The file is no history, or it has no such finding.</exception>
    public static ExplainedFinding OfFile(FindingReference reference, string? profile)
    {
        try
        {
            var objects = new Kernel.History.ObjectTable();
            var (header, report) = HistoryFile.Check(
                reference.Run, objects, new HistoryFileOptions { Profile = profile });
            var finding = Numbered(report.Findings, reference);
            var records = new ExplainedRecords(finding, objects);
            using var reader = HistoryReader.Open(reference.Run, objects);
            while (reader.Read(out var record))
                records.Add(record);
            return new(
                ForeignText.Clean(reference.ToString()), header, objects,
                Explainer.Explain(finding, header, records, objects),
                [
                    ("history", ForeignText.Clean(Path.GetFileName(reference.Run))),
                    ("made by", header.Source),
                    ("judged as", header.Profile.Length > 0 ? header.Profile : "no kernel named"),
                    ("records", $"{report.Records:N0} in the history"),
                ]);
        }
        catch (HistoryFormatException e)
        {
            throw new UsageException(
                $"{ForeignText.Clean(reference.Run)}:{e.Line}: {ForeignText.Clean(e.Reason, 1000)}.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(reference.Run)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: a "
                + "history file, *.jsonl or *.jsonl.gz.", e);
        }
    }

    /// <exception cref="UsageException">There is no such run, or it has no such finding.</exception>
    public static async Task<ExplainedFinding> OfRunAsync(
        FindingReference reference, string? store, string? results, CancellationToken ct)
    {
        var (opened, reader) = await RunStore.OpenRunAsync(reference.Run, store, results, ct);
        await using var _ = opened;
        await using var __ = reader;
        var run = reader.Run.Info;
        var stored = await reader.FindingsAsync(ct);
        var found = stored.FirstOrDefault(one => one.Id == reference.Number)
            ?? throw new UsageException(
                stored.Count == 0
                    ? $"Run {run.Run} has no finding at all; accepted: a run that has one."
                    : $"Run {run.Run} has no finding {reference.Number}; accepted: 1 to {stored.Count}.");
        var (header, finding, records) = await StoredCheck.RecordsOfAsync(reader, found.Finding, ct);
        return new(
            $"{run.Run}#{found.Id}", header, reader.Objects,
            Explainer.Explain(finding, header, records, reader.Objects),
            [
                ("run", run.Run),
                ("kernel", ForeignText.Clean(run.Profile)),
                ("seed", run.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                ("found by", $"the {ForeignText.Clean(found.Checker)} checker"),
                ("times", $"{found.Finding.Count:N0}, equal but for place and time"),
            ]);
    }

    private static Kernel.History.Finding Numbered(
        IReadOnlyList<Kernel.History.Finding> findings, FindingReference reference) =>
        reference.Number <= findings.Count
            ? findings[reference.Number - 1]
            : throw new UsageException(
                findings.Count == 0
                    ? $"{ForeignText.Clean(reference.Run)} has no finding at all; accepted: a history that has one."
                    : $"{ForeignText.Clean(reference.Run)} has no finding {reference.Number}; accepted: 1 to "
                        + $"{findings.Count}.");
}
