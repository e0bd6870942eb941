using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>Judges what a store holds of a run.</summary>
public static class StoredCheck
{
    /// <param name="profile">Judged as this kernel; null takes the run's own.</param>
    /// <param name="isComplete">No record was lost.</param>
    /// <param name="isQuiescent">Every client was drained, every session closed; only waits remained.</param>
    public static async Task<CheckReport> CheckAsync(
        IRunReader reader,
        string? profile,
        bool isComplete,
        bool isQuiescent,
        IReadOnlyList<string> probesRequired,
        CancellationToken ct)
    {
        var info = reader.Run.Info;
        var header = new HistoryHeader
        {
            Run = info.Run,
            Source = info.Source,
            Profile = profile ?? info.Profile,
            Order = info.Order == "total" ? HistoryOrder.Total : HistoryOrder.PerObject,
            SortedByObject = true,
            Clock = info.Clock,
            ClockBoundNs = info.ClockBoundNs,
            Complete = isComplete,
            Quiescent = isQuiescent,
        };
        var checker = new HistoryChecker(header, reader.Objects, probesRequired);
        var sink = new Sink(checker);
        await reader.StreamUnplacedAsync(sink, ct);
        await reader.StreamAsync(sink, ct);
        return checker.Finish();
    }

    private sealed class Sink(HistoryChecker checker) : IHistorySink
    {
        public void Observe(HistoryEvent record) => checker.Add(record);

        public void Observe(in Operation record) => checker.Add(record);
    }
}
