using System.Diagnostics;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Results.Embedded;

namespace Fleet.Storage.Spool;

/// <summary>What went through a spool, counted at both ends.</summary>
/// <param name="OperationsAcknowledged">Records whose append returned.</param>
/// <param name="OperationsStored">Rows in the tables, counted there; unknown ones not included.</param>
/// <param name="OperationsUnknown">Numbers reserved by a process that died, without a record; stored as
/// unknown.</param>
public readonly record struct DrainReport(
    long OperationsAcknowledged, long OperationsStored, long EventsAcknowledged, long EventsStored,
    long OperationsUnknown)
{
    /// <summary>Nothing acknowledged is lost, and nothing is there twice.</summary>
    public bool IsExact => OperationsAcknowledged == OperationsStored && EventsAcknowledged == EventsStored;
}

/// <summary>Carries the records of one process from its spool into a store while they are written.</summary>
/// <remarks>
/// A batch is at most 131,072 rows, or what came in the time that the store likes to gather; as many are under way as
/// it takes side by side. Clients that are held back for room wait for none of that.
/// Concurrency: a thread of its own, since a starved thread pool must not stop the history. A segment is given back to
/// the writer once all that was read before its end is stored.
/// </remarks>
public sealed class SpoolDrain : IAsyncDisposable
{
    // Of the embedded store a whole row group, and a little more: rows that have a table of their own come out of it.
    private const int RowsMax = DuckRunWriter.RowGroup + 8_192;
    private const int UnknownStripe = -2;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private readonly SpoolWriter _spool;
    private readonly IRunWriter _store;
    private readonly SpoolReader _reader;
    private readonly Queue<Sending> _underWay = [];
    private readonly Stack<HistoryBatch> _idle = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly ManualResetEventSlim _finish = new();
    private readonly Task _loop;
    private long _read;
    private long _stored;

    private SpoolDrain(SpoolWriter spool, IRunWriter store)
    {
        _spool = spool;
        _store = store;
        _reader = SpoolReader.Open(spool.Options.Directory, spool.Objects);
        _loop = Task.Factory.StartNew(
            Loop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Rows stored so far, operations and events together.</summary>
    public long RowsStored => Interlocked.Read(ref _stored);

    /// <summary>Ends when the drain ends; faulted when the store refused for good.</summary>
    public Task Completion => _loop;

    public static SpoolDrain Start(SpoolWriter spool, IRunWriter store) => new(spool, store);

    /// <summary>Stores what a process left behind that is gone.</summary>
    /// <remarks>
    /// Of the numbers that it had reserved, those that were used and have no record become unknown; where a
    /// <see cref="SentFile"/> does not say which were used, all of them.
    /// </remarks>
    /// <exception cref="StorageException">There is no spool in the directory, or it cannot be read.</exception>
    public static async Task<DrainReport> RecoverAsync(string directory, IRunWriter store, CancellationToken ct)
    {
        using var reader = SpoolReader.Open(directory);
        reader.SkipTo(await store.StretchesAsync(reader.Proc, ct)); // First: it waits for what is on its way still.
        var (operations, events) = await store.CountAsync(reader.Proc, ct);
        var batch = new HistoryBatch(reader.Objects, reader.Proc);
        while (reader.Read(batch, RowsMax))
        {
            operations += batch.OperationCount;
            events += batch.Events.Count;
            await store.AppendAsync(batch, ct);
            batch.Clear();
        }

        var after = await store.CountAsync(reader.Proc, ct);
        var sent = SentFile.Read(directory);
        var reserved = reader.Reserved();
        foreach (var number in await store.NumbersMissingAsync([.. reserved.Select(r => (r.First, r.Count))], ct))
        {
            var block = reserved[LastAtOrBefore(reserved, number)];
            if (sent?.WasUsed(block.Client, number) == false)
            {
                continue;
            }

            batch.Add(sent?.Unanswered(block, number) ?? new Operation
            {
                Number = number,
                Client = block.Client,
                Session = block.Session,
                Outcome = OperationOutcome.Unknown,
            });
        }

        var unknown = batch.OperationCount;
        if (unknown > 0)
        {
            // A key of its own, so that a lost answer is looked up like any other batch's.
            batch.Stretches.Add(new SpoolStretch(reader.Proc, UnknownStripe, 0, 0, unknown));
            await store.AppendAsync(batch, ct);
        }

        return new DrainReport(operations, after.Operations, events, after.Events, unknown);
    }

    /// <summary>Ends the spool, stores the rest, and counts at both ends.</summary>
    /// <remarks>Every client is drained before. The spool is deleted when the counts agree.</remarks>
    public async Task<DrainReport> CompleteAsync(CancellationToken ct)
    {
        _spool.Complete();
        _finish.Set();
        await _loop.WaitAsync(ct);
        var (operations, events) = await _store.CountAsync(_spool.Options.Proc, ct);
        var report = new DrainReport(_spool.Operations, operations, _spool.Events, events, 0);
        if (report.IsExact)
        {
            _reader.Dispose();
            _spool.Dispose();
            Directory.Delete(_spool.Options.Directory, recursive: true);
        }

        return report;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _finish.Set();
        await _loop.ContinueWith(static _ => { }, TaskScheduler.Default);
        _reader.Dispose();
        _stop.Dispose();
        _finish.Dispose();
    }

    private void Loop()
    {
        try
        {
            var sent = Stopwatch.GetTimestamp();
            while (true)
            {
                var isLast = _finish.IsSet; // Seen before the read: what was appended before it is then read.
                var started = Stopwatch.GetTimestamp();
                var isDue = isLast || !_spool.HasRoom || Stopwatch.GetElapsedTime(sent, started) >= _store.GatherMax;
                while (!_stop.IsCancellationRequested && (isDue || Waiting >= RowsMax) && TrySend())
                {
                    sent = started;
                    if (_underWay.Count >= _store.AppendsMax)
                    {
                        AwaitOldest();
                    }
                }

                while (_underWay.Count > 0)
                {
                    AwaitOldest();
                }

                if (isLast || _stop.IsCancellationRequested)
                {
                    return;
                }

                var rest = Interval - Stopwatch.GetElapsedTime(started);
                if (rest > TimeSpan.Zero)
                {
                    _finish.Wait(rest);
                }
            }
        }
        catch (Exception e)
        {
            _spool.Fail(e);
            throw;
        }
    }

    /// <summary>Rows in the spool that were not read yet.</summary>
    private long Waiting => _spool.Operations + _spool.Events - _read;

    private static int LastAtOrBefore(IReadOnlyList<ReservedNumbers> blocks, long number)
    {
        var (low, high) = (0, blocks.Count - 1);
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            (low, high) = blocks[middle].First <= number ? (middle, high) : (low, middle - 1);
        }

        return low;
    }

    private bool TrySend()
    {
        var batch = _idle.TryPop(out var used) ? used : new HistoryBatch(_spool.Objects, _spool.Options.Proc);
        if (!_reader.Read(batch, RowsMax))
        {
            _idle.Push(batch);
            return false;
        }

        _read += batch.Rows;
        _underWay.Enqueue(new(batch, _reader.TakeSpent(), _store.AppendAsync(batch, _stop.Token)));
        return true;
    }

    /// <summary>Waits in the order of reading, so that a segment goes only when all before its end is stored.</summary>
    private void AwaitOldest()
    {
        var (batch, spent, stored) = _underWay.Dequeue();
        stored.GetAwaiter().GetResult();
        Interlocked.Add(ref _stored, batch.Rows);
        batch.Clear();
        _idle.Push(batch);
        _spool.Stored(spent);
    }

    private sealed record Sending(HistoryBatch Batch, SpentSegments Spent, Task Stored);
}
