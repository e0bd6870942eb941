using System.Diagnostics;
using Fleet.LoadTests.Measuring;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.Storage;

/// <summary>A spool that its writer ended, full of operations, to be stored as often as is wanted.</summary>
internal sealed class SpooledHistory : IDisposable
{
    /// <summary>Ten of DuckDB's row groups.</summary>
    public const int Operations = 10 * 122_880;

    private const string Clock = "monotonic:bench";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("fleet-bench-drain-");
    private readonly SyntheticHistory _history = new();
    private int _runs;

    public SpooledHistory()
    {
        using var writer = SpoolWriter.Create(new(Spool, "drain", 1, "bench", Clock), _history.Objects);
        for (var left = Operations; left > 0;)
        {
            var batch = _history.Next(Math.Min(left, 3 * 4096), 1);
            foreach (ref readonly var operation in batch.Operations)
            {
                writer.Append(operation);
            }

            left -= batch.OperationCount;
        }

        writer.Complete();
    }

    private string Spool => Path.Combine(_folder.FullName, "spool");

    /// <summary>Stores all of it in a file of its own, which goes at once.</summary>
    /// <returns>What storing cost; the file and its tables were there before.</returns>
    /// <exception cref="InvalidOperationException">Some operations are missing in the file.</exception>
    public async Task<Round> StoreAsync(CancellationToken ct)
    {
        await using var store = await ResultStores.OpenAsync(
            StoreAddress.Parse(Path.Combine(_folder.FullName, "store")), ct);
        await using var writer = await store.CreateRunAsync(
            new RunInfo($"drain-{++_runs}") { Profile = "ALL", Clock = Clock }, _history.Objects, ct);
        await writer.AddProcessAsync(new ProcessInfo(1, "bench", Clock, "host", Environment.ProcessId), ct);
        return await MeasureAsync(async () =>
        {
            var report = await SpoolDrain.RecoverAsync(Spool, writer, ct);
            return report.IsExact ? report.OperationsStored : throw new InvalidOperationException(
                $"{report.OperationsStored} of {Operations} operations are stored.");
        });
    }

    /// <summary>Reads all of it, as what stores it does.</summary>
    public Task<Round> ReadAsync() => MeasureAsync(() =>
    {
        using var reader = SpoolReader.Open(Spool, _history.Objects);
        var batch = new HistoryBatch(_history.Objects, 1);
        var count = 0L;
        while (reader.Read(batch, 65_536))
        {
            count += batch.OperationCount;
            batch.Clear();
        }

        return Task.FromResult(count);
    });

    public void Dispose() => _folder.Delete(recursive: true);

    private static async Task<Round> MeasureAsync(Func<Task<long>> work)
    {
        var (before, began) = (Use.OfThisProcess, Stopwatch.GetTimestamp());
        var operations = await work();
        var used = Use.OfThisProcess - before;
        return new(operations, used.CpuSeconds, Stopwatch.GetElapsedTime(began).TotalSeconds, used.AllocatedBytes);
    }
}
