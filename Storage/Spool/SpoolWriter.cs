using System.Runtime.CompilerServices;
using Fleet.Kernel.History;

namespace Fleet.Storage.Spool;

/// <summary>Who writes a spool, where, and how large it may get.</summary>
/// <param name="Directory">Of this process alone; created when missing.</param>
/// <param name="Run">Name of the run.</param>
/// <param name="Proc">Number of the process in its run, from 1; it makes operation numbers unique.</param>
/// <param name="ProcName">Name of the process for people, such as <c>generator-03</c>.</param>
/// <param name="Clock">Clock that times are read from, such as <c>monotonic:BOOT-ID</c>.</param>
public sealed record SpoolOptions(string Directory, string Run, int Proc, string ProcName, string Clock)
{
    /// <summary>Bytes on disk from which <see cref="SpoolWriter.WaitForRoomAsync"/> holds clients back.</summary>
    public long BoundBytes { get; init; } = 1L << 30;

    public int SegmentBytes { get; init; } = 16 << 20;

    /// <summary>Parallel streams; a thread keeps to one.</summary>
    public int Stripes { get; init; } = Math.Clamp(Environment.ProcessorCount, 1, 16);

    /// <summary>Segments of each stripe whose files are kept for another use once they are stored.</summary>
    /// <remarks>Their pages are in the page cache and mapped: a fresh page costs as much as 20 records.</remarks>
    public int SparesMax { get; init; } = 2;

    /// <summary>Operation numbers that a client reserves at once.</summary>
    public int NumbersAtOnce { get; init; } = 256;

    /// <summary>
    /// Returns <c>monotonic:</c> and the id of this boot: times of processes with the same one compare.
    /// </summary>
    public static string MonotonicClock()
    {
        const string BootId = "/proc/sys/kernel/random/boot_id";
        return "monotonic:" + (File.Exists(BootId) ? File.ReadAllText(BootId).Trim() : Environment.MachineName);
    }
}

/// <summary>
/// The append-only file in which a record is safe from the death of its process before anyone uses it.
/// </summary>
/// <remarks>
/// Concurrency: any thread. A thread appends to its own stripe under that stripe's lock; nothing is allocated for an
/// operation. Limits: bounded by <see cref="SpoolOptions.BoundBytes"/> plus what is in flight when the bound is met,
/// because an answer that came must be recorded, and plus the spare segments.
/// </remarks>
public sealed class SpoolWriter : IDisposable
{
    private readonly SpoolOptions _options;
    private readonly ObjectTable _objects;
    private readonly Stripe[] _stripes;
    private readonly Lock _namesGate = new();
    private readonly Lock _numbersGate = new();
    private readonly Lock _roomGate = new();
    private readonly Lock _sparesGate = new();
    private readonly FrameBuffer _namesBuffer = new();
    private readonly FrameBuffer _numbersBuffer = new();
    private readonly HashSet<OperationNumbers> _clients = [];

    // Ended and still mapped, by path, until they are stored; then ready for another use.
    private readonly Dictionary<string, SegmentWriter> _ended = [];
    private readonly Stack<SegmentWriter> _spares = [];
    private long _sparesMade;
    private SegmentWriter _names;
    private long _namesSegment = 1;
    private int _namesWritten;
    private SegmentWriter _numbers;
    private long _numbersSegment = 1;
    private long _nextNumber;
    private long _pendingBytes;
    private TaskCompletionSource? _room;
    private volatile bool _closed;
    private Exception? _failure;

    private SpoolWriter(SpoolOptions options, ObjectTable objects)
    {
        _options = options;
        _objects = objects;
        _nextNumber = ((long)(options.Proc - 1) << 40) + 1;
        Directory.CreateDirectory(options.Directory);
        _names = NewSegment(SegmentKind.Names, 0, _namesSegment);
        _names.TryAppend(ProcessFrame());
        _numbers = NewSegment(SegmentKind.Numbers, 0, _numbersSegment);
        _stripes = new Stripe[options.Stripes];
        for (var i = 0; i < _stripes.Length; i++)
        {
            _stripes[i] = new Stripe(i) { Segment = NewSegment(SegmentKind.Records, i, 1), Number = 1 };
        }

        _pendingBytes = (long)options.SegmentBytes * _stripes.Length;
    }

    public SpoolOptions Options => _options;

    public ObjectTable Objects => _objects;

    /// <summary>Operations appended so far.</summary>
    public long Operations => _stripes.Sum(s => Volatile.Read(ref s.Operations));

    /// <summary>Events appended so far.</summary>
    public long Events => _stripes.Sum(s => Volatile.Read(ref s.Events));

    /// <summary>Bytes on disk that are not stored yet, whole segments.</summary>
    public long PendingBytes => Interlocked.Read(ref _pendingBytes);

    public bool HasRoom =>
        PendingBytes < Math.Max(_options.BoundBytes, (long)_options.SegmentBytes * (_stripes.Length + 1));

    /// <exception cref="StorageException">The directory holds a spool already, or cannot be written.</exception>
    public static SpoolWriter Create(SpoolOptions options, ObjectTable objects)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Proc, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SegmentBytes, 4096);
        return new(options, objects);
    }

    /// <summary>Gives one logical client its supply of operation numbers.</summary>
    public OperationNumbers OpenClient(int client, int session)
    {
        EnsureNames();
        var numbers = new OperationNumbers(this, client, session);
        lock (_numbersGate)
        {
            _clients.Add(numbers);
        }

        return numbers;
    }

    /// <summary>
    /// Records an operation; it is in the page cache on return. Never refuses: the answer already came.
    /// </summary>
    [SkipLocalsInit]
    public void Append(in Operation op)
    {
        EnsureNames();

        // Encoded before the lock is taken: whoever waits for it waits for one short copy.
        Span<byte> frame = stackalloc byte[SegmentWriter.OperationFrameBytes];
        SegmentWriter.Encode(frame, op);
        var stripe = MyStripe();
        lock (stripe.Gate)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            while (!stripe.Segment.TryAppendFrame(frame))
            {
                Roll(stripe);
            }

            stripe.Operations++;
        }
    }

    /// <summary>Records one group commit of events as one frame: all of them or none survive.</summary>
    /// <exception cref="ArgumentException">The group does not fit into one segment.</exception>
    public void AppendEvents(IReadOnlyList<HistoryEvent> events)
    {
        if (events.Count == 0)
        {
            return;
        }

        EnsureNames();
        var stripe = MyStripe();
        lock (stripe.Gate)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            var payload = EventCodec.Write(stripe.Buffer, events);
            if (SpoolFormat.FrameBytes(payload.Length) + 1024 > _options.SegmentBytes)
            {
                throw new ArgumentException(
                    $"A group of {events.Count} events takes {payload.Length} bytes; "
                    + $"a segment has {_options.SegmentBytes}.",
                    nameof(events));
            }

            while (!stripe.Segment.TryAppend(payload))
            {
                Roll(stripe);
            }

            stripe.Events += events.Count;
        }
    }

    /// <summary>Records an operation, then holds the caller back while the spool is at its bound.</summary>
    public ValueTask AppendAsync(in Operation op, CancellationToken ct)
    {
        Append(op);
        return WaitForRoomAsync(ct);
    }

    /// <summary>Holds a client back before it sends while the spool is at its bound; else completes at once.</summary>
    /// <exception cref="StorageException">The store took no more records: there will be no room.</exception>
    public ValueTask WaitForRoomAsync(CancellationToken ct)
    {
        if (HasRoom && _failure is null)
        {
            return ValueTask.CompletedTask;
        }

        lock (_roomGate)
        {
            if (_failure is not null)
            {
                throw new StorageException($"The store takes no more records: {_failure.Message}", _failure);
            }

            if (HasRoom)
            {
                return ValueTask.CompletedTask;
            }

            _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new ValueTask(_room.Task.WaitAsync(ct));
        }
    }

    /// <summary>Ends the spool: every client is drained, and no number is outstanding.</summary>
    public void Complete()
    {
        lock (_numbersGate)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            _clients.Clear();
            var frame = _numbersBuffer.Start(FrameType.Closed).Int64(Operations).Int64(Events).Written;
            AppendNumbers(frame);
        }
    }

    public void Dispose()
    {
        _names.Dispose();
        _numbers.Dispose();
        foreach (var stripe in _stripes)
        {
            lock (stripe.Gate)
            {
                stripe.Segment.Dispose();
            }
        }

        lock (_sparesGate)
        {
            foreach (var segment in _ended.Values.Concat(_spares))
            {
                segment.Dispose();
            }
        }
    }

    /// <summary>Says that segments were stored: their files are used again or deleted.</summary>
    public void Stored(in SpentSegments spent)
    {
        foreach (var path in spent.Paths)
        {
            if (!TryKeep(path))
            {
                File.Delete(path);
            }
        }

        Interlocked.Add(ref _pendingBytes, -spent.Bytes);
        lock (_roomGate)
        {
            if (_room is not null && HasRoom)
            {
                _room.SetResult();
                _room = null;
            }
        }
    }

    /// <summary>Says that nothing will be stored any more, so that nobody waits for room.</summary>
    internal void Fail(Exception failure)
    {
        lock (_roomGate)
        {
            _failure = failure;
            _room?.SetException(new StorageException($"The store takes no more records: {failure.Message}", failure));
            _room = null;
        }
    }

    internal void Reserve(OperationNumbers client)
    {
        lock (_numbersGate)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            client.Take(_nextNumber, _options.NumbersAtOnce);
            AppendNumbers(ReserveFrame(client, _nextNumber, _options.NumbersAtOnce));
            _nextNumber += _options.NumbersAtOnce;
        }
    }

    internal void Release(OperationNumbers client, long first, int count)
    {
        lock (_numbersGate)
        {
            if (_clients.Remove(client))
            {
                AppendNumbers(_numbersBuffer.Start(FrameType.Release).Int64(first).Int32(count).Written);
            }
        }
    }

    private ReadOnlySpan<byte> ReserveFrame(OperationNumbers client, long first, int count) =>
        _numbersBuffer.Start(FrameType.Reserve).Int32(client.Client).Int32(client.Session).Int64(first)
            .Int32(count).Written;

    private void AppendNumbers(ReadOnlySpan<byte> frame)
    {
        if (_numbers.TryAppend(frame))
        {
            return;
        }

        var kept = frame.ToArray();
        var old = _numbers;
        _numbers = NewSegment(SegmentKind.Numbers, 0, ++_numbersSegment);
        foreach (var client in _clients)
        {
            foreach (var (first, count) in client.Open)
            {
                if (!_numbers.TryAppend(ReserveFrame(client, first, count)))
                {
                    throw new StorageException(
                        $"A spool segment of {_options.SegmentBytes} bytes is too small for {_clients.Count} clients.");
                }
            }
        }

        _numbers.TryAppend(kept);
        old.End();
        old.Dispose();
        File.Delete(old.Path);
    }

    private Stripe MyStripe() => _stripes[(uint)Environment.CurrentManagedThreadId % (uint)_stripes.Length];

    private void Roll(Stripe stripe)
    {
        var next = TakeSpare(stripe) ?? NewSegment(SegmentKind.Records, stripe.Index, stripe.Number + 1);
        var ended = stripe.Segment;
        var isKept = MayKeep(ended); // First: once it has its end, it may be stored at any moment.
        ended.End();
        if (!isKept)
        {
            ended.Dispose();
        }

        stripe.Segment = next;
        stripe.Number++;
        Interlocked.Add(ref _pendingBytes, _options.SegmentBytes);
    }

    private SegmentWriter? TakeSpare(Stripe stripe)
    {
        SegmentWriter? spare;
        lock (_sparesGate)
        {
            if (!_spares.TryPop(out spare))
            {
                return null;
            }
        }

        spare.Begin(_options.Directory, SegmentKind.Records, _options.Proc, stripe.Index, stripe.Number + 1);
        return spare;
    }

    private bool MayKeep(SegmentWriter ended)
    {
        lock (_sparesGate)
        {
            return _ended.Count + _spares.Count < _options.SparesMax * _stripes.Length
                && _ended.TryAdd(ended.Path, ended);
        }
    }

    private bool TryKeep(string path)
    {
        lock (_sparesGate)
        {
            if (!_ended.Remove(path, out var segment))
            {
                return false;
            }

            segment.SetAside(Path.Combine(_options.Directory, SpoolFormat.SpareName(++_sparesMade)));
            _spares.Push(segment);
            return true;
        }
    }

    /// <summary>A name is written before the first record that uses its number.</summary>
    private void EnsureNames()
    {
        if (_objects.LastId <= Volatile.Read(ref _namesWritten))
        {
            return;
        }

        lock (_namesGate)
        {
            var last = _objects.LastId;
            Span<char> room = stackalloc char[ObjectTable.UsualLength];
            for (var id = _namesWritten + 1; id <= last; id++)
            {
                var frame = _namesBuffer.Start(FrameType.Name).Int32(id).Text(_objects.Name(id, room)).Written;
                while (!_names.TryAppend(frame))
                {
                    var next = NewSegment(SegmentKind.Names, 0, ++_namesSegment);
                    _names.End();
                    _names.Dispose();
                    _names = next;
                }
            }

            Volatile.Write(ref _namesWritten, last);
        }
    }

    private ReadOnlySpan<byte> ProcessFrame() => _namesBuffer.Start(FrameType.Process)
        .Int32(_options.Proc).Text(_options.Run).Text(_options.ProcName).Text(_options.Clock)
        .Int32(_options.Stripes).Written;

    private SegmentWriter NewSegment(SegmentKind kind, int stripe, long number) =>
        SegmentWriter.Create(_options.Directory, kind, _options.Proc, stripe, number, _options.SegmentBytes);

    private sealed class Stripe(int index)
    {
        public readonly Lock Gate = new();
        public readonly FrameBuffer Buffer = new();
        public readonly int Index = index;
        public required SegmentWriter Segment;
        public long Number;
        public long Operations;
        public long Events;
    }
}

/// <summary>Operation numbers of one logical client, reserved in the spool before use.</summary>
/// <remarks>
/// Concurrency: one client, one call at a time. A number reserved in a spool that was cut off, and without a record,
/// has an unknown outcome. Limits: an operation is recorded before its client takes two more blocks of numbers.
/// </remarks>
public sealed class OperationNumbers : IDisposable
{
    private readonly SpoolWriter _spool;
    private (long First, int Count) _previous;
    private (long First, int Count) _current;
    private int _used;

    internal OperationNumbers(SpoolWriter spool, int client, int session)
    {
        _spool = spool;
        Client = client;
        Session = session;
    }

    public int Client { get; }

    public int Session { get; }

    internal IEnumerable<(long First, int Count)> Open => new[] { _previous, _current }.Where(b => b.Count > 0);

    /// <summary>Returns the next number; reserved on disk when this returns.</summary>
    public long Next()
    {
        if (_used == _current.Count)
        {
            _spool.Reserve(this);
        }

        return _current.First + _used++;
    }

    internal void Take(long first, int count) => (_previous, _current, _used) = (_current, (first, count), 0);

    /// <summary>Gives back what was not used; every number that was used has its record.</summary>
    public void Dispose() => _spool.Release(this, _current.First + _used, _current.Count - _used);
}
