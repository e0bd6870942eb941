using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Client.Runs;
using Fleet.Kernel.History;

namespace Fleet.Client.Commands;

/// <summary>A finding with the records of its run or file that concern it.</summary>
/// <param name="Name">As commands name it.</param>
/// <param name="Facts">What is known of the run or file, in words.</param>
public sealed record LoadedFinding(
    string Name, HistoryHeader Header, ObjectTable Objects, Finding Finding, ExplainedRecords Records,
    IReadOnlyList<(string Name, string Value)> Facts)
{
    /// <summary>Reads it from a stored run or from a history file.</summary>
    /// <param name="profile">Judges a history file as this kernel; null as what is recorded.</param>
    /// <exception cref="UsageException">There is no such run or file, or it has no such finding.</exception>
    public static async Task<LoadedFinding> ReadAsync(
        FindingReference reference, string? profile, string? store, string? results, CancellationToken ct) =>
        File.Exists(reference.Run) && !reference.Run.EndsWith(".duckdb", StringComparison.Ordinal)
            ? OfFile(reference, profile)
            : await OfRunAsync(reference, store, results, ct);

    private static LoadedFinding OfFile(FindingReference reference, string? profile)
    {
        try
        {
            var objects = new ObjectTable();
            var (header, report) = HistoryFile.Check(
                reference.Run, objects, new HistoryFileOptions { Profile = profile });
            var finding = Numbered(report.Findings, reference);
            var records = new ExplainedRecords(finding, objects);
            using var reader = HistoryReader.Open(reference.Run, objects);
            while (reader.Read(out var record))
                records.Add(record);
            return new(
                ForeignText.Clean(reference.ToString()), header, objects, finding, records,
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

    private static async Task<LoadedFinding> OfRunAsync(
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
            $"{run.Run}#{found.Id}", header, reader.Objects, finding, records,
            [
                ("run", run.Run),
                ("kernel", ForeignText.Clean(run.Profile)),
                ("seed", run.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                ("found by", $"the {ForeignText.Clean(found.Checker)} checker"),
                ("times", $"{found.Finding.Count:N0}, equal but for place and time"),
            ]);
    }

    private static Finding Numbered(
        IReadOnlyList<Finding> findings, FindingReference reference) =>
        reference.Number <= findings.Count
            ? findings[reference.Number - 1]
            : throw new UsageException(
                findings.Count == 0
                    ? $"{ForeignText.Clean(reference.Run)} has no finding at all; accepted: a history that has one."
                    : $"{ForeignText.Clean(reference.Run)} has no finding {reference.Number}; accepted: 1 to "
                        + $"{findings.Count}.");
}
