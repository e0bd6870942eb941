using System.Collections.Concurrent;
using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking;

/// <summary>Judges a whole history on several threads: a device, its refs and page maps on one of them.</summary>
/// <remarks>
/// Takes records in the order that <see cref="HistoryChecker"/> takes, and gives the same report: no rule looks at two
/// devices. Of equal findings the one at the first object by name is shown.
/// Concurrency: one thread adds and finishes. Memory: that of a checker, and at most <see cref="BatchesMax"/> batches
/// of <see cref="BatchRecords"/> records for each worker.
/// </remarks>
public sealed class ParallelChecker : IDisposable
{
    private const int BatchRecords = 2048;
    private const int BatchesMax = 4;

    private readonly ObjectTable _objects;
    private readonly CheckContext _context;
    private readonly Worker[] _workers;

    /// <param name="workers">Threads that judge, at least 1; the one that adds is not counted.</param>
    /// <param name="onFinding">Called once for each signature, by whichever thread decides it first.</param>
    public ParallelChecker(
        HistoryHeader header, ObjectTable objects, IReadOnlyList<string> probesRequired, int workers,
        Action<Finding>? onFinding = null)
    {
        ArgumentNullException.ThrowIfNull(header);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(workers);
        _objects = objects;
        _context = new(header, objects, new(objects, header.Profile, onFinding) { IsShared = true }, online: false);
        _workers = [.. Enumerable.Range(0, workers).Select(_ => new Worker(new(_context, probesRequired)))];
    }

    /// <exception cref="RecordOrderException">
    /// A record before it came out of order; which one is not known any more.
    /// </exception>
    public void Add(in HistoryRecord record)
    {
        var at = record.At;
        var device = !at.IsNone ? _objects.DeviceOf(at.Obj)
            : record.Operation.Device != 0 ? record.Operation.Device
            : record.Operation.Alloc.Device;
        _workers[device % _workers.Length].Add(record);
    }

    /// <inheritdoc cref="HistoryChecker.MarkIncomplete"/>
    /// <remarks>Only between the last record and <see cref="Finish"/>.</remarks>
    public void MarkIncomplete()
    {
        foreach (var worker in _workers)
        {
            worker.Drain();
        }

        _context.Header = _context.Header with { Complete = false };
    }

    /// <inheritdoc cref="HistoryChecker.Finish"/>
    /// <exception cref="RecordOrderException">A record came out of order.</exception>
    public CheckReport Finish()
    {
        var (records, lost, duplicates) = (0L, 0L, 0L);
        foreach (var worker in _workers)
        {
            worker.Drain();
        }

        foreach (var worker in _workers)
        {
            var ended = worker.Checker.End();
            records += ended.Records;
            lost += ended.Lost;
            duplicates += ended.Duplicates;
        }

        return _workers[0].Checker.Judge(records, lost, duplicates);
    }

    public void Dispose()
    {
        foreach (var worker in _workers)
        {
            worker.Dispose();
        }
    }

    private sealed class Worker : IDisposable
    {
        private readonly BlockingCollection<(HistoryRecord[] Records, int Count)> _batches = new(BatchesMax);
        private readonly ConcurrentBag<HistoryRecord[]> _spare = [];
        private readonly Thread _thread;
        private volatile Exception? _failure;
        private HistoryRecord[] _filling = new HistoryRecord[BatchRecords];
        private int _count;

        public Worker(HistoryChecker checker)
        {
            Checker = checker;
            _thread = new(Work) { IsBackground = true, Name = "checker" };
            _thread.Start();
        }

        public HistoryChecker Checker { get; }

        public void Add(in HistoryRecord record)
        {
            _filling[_count++] = record;
            if (_count == BatchRecords)
            {
                Send();
            }
        }

        /// <summary>Waits until everything that was added is judged.</summary>
        public void Drain()
        {
            if (!_batches.IsAddingCompleted)
            {
                Send();
                _batches.CompleteAdding();
                _thread.Join();
            }

            Rethrow();
        }

        public void Dispose()
        {
            _batches.CompleteAdding();
            _thread.Join();
            _batches.Dispose();
        }

        private void Send()
        {
            Rethrow();
            _batches.Add((_filling, _count));
            _filling = _spare.TryTake(out var spare) ? spare : new HistoryRecord[BatchRecords];
            _count = 0;
        }

        private void Rethrow()
        {
            if (_failure is { } failure)
            {
                throw failure is RecordOrderException
                    ? new RecordOrderException(failure.Message)
                    : new InvalidOperationException("A thread of the checker failed.", failure);
            }
        }

        private void Work()
        {
            foreach (var (records, count) in _batches.GetConsumingEnumerable())
            {
                for (var i = 0; i < count && _failure is null; i++)
                {
                    try
                    {
                        Checker.Add(records[i]);
                    }
                    catch (Exception e)
                    {
                        // Whoever adds or finishes is told; until then the batches have to be taken.
                        _failure = e;
                    }
                }

                _spare.Add(records);
            }
        }
    }
}
