using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>What earlier processes of a generator's share did, as stored, and where the last one stopped.</summary>
/// <param name="Operations">Rows of theirs in the store; those of unknown outcome included.</param>
/// <param name="Unknown">Numbers that were sent and have no record.</param>
/// <param name="IsExact">Everything that they had acknowledged is stored, once.</param>
internal sealed record ShareBefore(
    LoadBefore Load, LoadCounters Counters, LatencyRecorder Latency, long Operations, long Events, long Unknown,
    bool IsExact)
{
    /// <summary>The number of the process that made an operation number is above these bits.</summary>
    private const int ProcShift = 40;

    /// <summary>Stores what the processes left behind, and reads what the store then holds of them.</summary>
    /// <param name="spools">Directories of the spools that are left, the oldest first.</param>
    /// <param name="processes">All earlier processes of the share.</param>
    /// <param name="clients">Of the share.</param>
    /// <param name="more">Sees every record of the run that has a position.</param>
    public static async Task<ShareBefore> ReadAsync(
        IReadOnlyList<string> spools, IRunWriter writer, IReadOnlyList<ProcessInfo> processes, int clients,
        IHistorySink? more, CancellationToken ct)
    {
        var (unknown, isExact) = (0L, true);
        SentBefore? sent = null;
        foreach (var spool in spools)
        {
            var found = await SpoolDrain.RecoverAsync(spool, writer, ct);
            unknown += found.OperationsUnknown;
            isExact &= found.IsExact;
            sent = SentFile.Read(spool) ?? sent;
        }

        var figures = new FigureSink(processes.Select(process => process.Proc).ToHashSet(), more);
        await writer.Reader.StreamUnplacedAsync(figures, ct);
        await writer.Reader.StreamAsync(figures, ct);
        var (operations, events) = (0L, 0L);
        foreach (var process in processes)
        {
            var (ofProcess, eventsOfProcess) = await writer.CountAsync(process.Proc, ct);
            operations += ofProcess;
            events += eventsOfProcess;
        }

        var steps = Enumerable.Range(0, clients)
            .Select(place => sent is not null && place < sent.Sent.Count ? sent.Sent[place]?.Steps ?? 0 : 0).ToArray();
        return new(
            new(
                TimeSpan.FromMicroseconds((sent?.Stand.ElapsedNs ?? 0) / 1000), steps, processes.Count,
                sent?.Stand.IsOver ?? false),
            figures.Counters, figures.Latency, operations, events, unknown, isExact);
    }

    /// <summary>Counts and times the stored operations of some processes again; those of unknown outcome have no
    /// end.</summary>
    private sealed class FigureSink(IReadOnlySet<int> processes, IHistorySink? more) : IHistorySink
    {
        public LoadCounters Counters { get; } = new();

        public LatencyRecorder Latency { get; } = new();

        public void Observe(HistoryEvent record) => more?.Observe(record);

        public void Observe(in Operation record)
        {
            more?.Observe(record);
            if (!processes.Contains((int)(record.Number >> ProcShift) + 1))
                return;

            Counters.Count(record);
            if (record.Outcome is not OperationOutcome.Unknown)
                Latency.Record(record);
        }
    }
}
