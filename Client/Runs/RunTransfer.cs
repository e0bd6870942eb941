using System.IO.Compression;
using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>Carries a run between a store and a history file: all of its records, judged again where they
/// arrive.</summary>
public static class RunTransfer
{
    private const int RowsAtOnce = 100_000;

    /// <summary>Writes a run in the history format.</summary>
    /// <returns>Records written.</returns>
    public static async Task<long> ExportAsync(
        IRunReader reader, Stream stream, bool isCompressed, CancellationToken ct)
    {
        var outcome = reader.Run.Outcome;
        var header = StoredCheck.HeaderOf(
            reader, profile: null, outcome?.Complete ?? false, outcome?.Quiescent ?? false);
        await using var target = isCompressed
            ? new GZipStream(stream, CompressionLevel.Fastest, leaveOpen: true)
            : stream;
        using var writer = new HistoryWriter(target, header, reader.Objects);
        var sink = new WriterSink(writer);
        await reader.StreamUnplacedAsync(sink, ct);
        await reader.StreamAsync(sink, ct);
        writer.Flush();
        return sink.Records;
    }

    /// <summary>Stores a history file as a run, and judges it as it stands in the store.</summary>
    /// <param name="name">Of the run; null takes the file's own.</param>
    /// <exception cref="HistoryFormatException">A line is malformed; nothing stays behind.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static async Task<(StoredRun Run, StoredVerdict Verdict)> ImportAsync(
        IResultStore store, string file, string? name, DateTimeOffset now, CancellationToken ct)
    {
        // Operations do not say which process sent them: one stands for all clients. It is the first of the table.
        var objects = new ObjectTable();
        var clients = objects.InternProcess("clients");
        using var reader = HistoryReader.Open(file, objects);
        var header = reader.Header;
        var info = new RunInfo(name ?? header.Run)
        {
            Scenario = "import",
            Profile = header.Profile,
            Source = header.Source,
            Order = header.Order is HistoryOrder.Total ? "total" : "per-object",
            Clock = header.Clock,
            ClockBoundNs = header.ClockBoundNs ?? 0,
            StartedAt = now,
            CommandLine = $"fleet import {Path.GetFileName(file)}",
        };
        await using var writer = await store.CreateRunAsync(info, objects, ct);
        var (operations, events) = await FillAsync(reader, writer, new HistoryBatch(objects, clients), ct);
        for (var proc = clients; objects.ProcessName(proc) is { Length: > 0 } process; proc++)
            await writer.AddProcessAsync(new(proc, process, header.Clock, "", 0), ct);

        var isComplete = header.Complete && !reader.Truncated;
        var verdict = await StoredCheck.CheckAsync(writer.Reader, null, isComplete, header.Quiescent, [], ct);
        var report = verdict.Report;
        await writer.AddFindingsAsync("stored", report.Findings, ct);
        await writer.AddEvidenceAsync(
            [.. report.Rules.Select(r => new RuleEvidence("stored", r.Rule, r.Ok, r.Violated, r.Undecided))], ct);
        await writer.AddEvidenceAsync([.. verdict.Sql.Select(result => result.Evidence)], ct);
        await writer.AddProbesAsync(
            [.. report.Probes.Select(probe => new ProbeCount(probe.Key, probe.Value, false))], ct);
        var outcome = new RunOutcome(report.Verdict, verdict.ExitCode)
        {
            Complete = isComplete,
            Quiescent = header.Quiescent,
            EndedAt = now,
        };
        var location = await writer.SealAsync(outcome, ct);
        return (
            new(info, RunState.Sealed, outcome, location)
            {
                Operations = operations,
                Events = events,
                Findings = report.Findings.Count,
            },
            verdict);
    }

    private static async Task<(long Operations, long Events)> FillAsync(
        HistoryReader reader, IRunWriter writer, HistoryBatch batch, CancellationToken ct)
    {
        var (operations, events) = (0L, 0L);
        while (reader.Read(out var record))
        {
            if (record.Event is { } happened)
            {
                batch.Events.Add(happened);
                events++;
            }
            else
            {
                batch.Add(record.Operation);
                operations++;
            }

            if (batch.Rows >= RowsAtOnce)
            {
                await writer.AppendAsync(batch, ct);
                batch.Clear();
            }
        }

        await writer.AppendAsync(batch, ct);
        return (operations, events);
    }

    private sealed class WriterSink(HistoryWriter writer) : IHistorySink
    {
        public long Records { get; private set; }

        public void Observe(HistoryEvent record)
        {
            writer.Write(record);
            Records++;
        }

        public void Observe(in Operation record)
        {
            writer.Write(record);
            Records++;
        }
    }
}
