using System.IO.MemoryMappedFiles;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Storage.Spool;

/// <summary>
/// Numbers that a client had reserved when its spool was cut off; those without a record are unknown.
/// </summary>
public readonly record struct ReservedNumbers(int Client, int Session, long First, int Count);

/// <summary>Segments that were read to their end, of which nothing is needed once it is stored.</summary>
/// <param name="Bytes">Room that they take.</param>
public readonly record struct SpentSegments(IReadOnlyList<string> Paths, long Bytes);

/// <summary>Reads a spool, while it is written or after its writer died.</summary>
/// <remarks>
/// Stops in each stripe at the first frame that is not whole. Concurrency: one reader, one thread; the writer may go
/// on.
/// </remarks>
public sealed class SpoolReader : IDisposable
{
    private readonly string _directory;
    private readonly bool _readsNames;
    private readonly FrameStream _names;
    private readonly FrameStream[] _stripes;
    private readonly List<string> _damages = [];
    private int _turn;

    private SpoolReader(string directory, ObjectTable? known)
    {
        _directory = directory;
        _readsNames = known is null;
        Objects = known ?? new ObjectTable();
        _names = new FrameStream(directory, SegmentKind.Names, 0, First(SegmentKind.Names, 0), _damages);
        if (!_names.TryNext(out var frame) || (FrameType)frame[0] is not FrameType.Process)
        {
            _names.Dispose();
            throw new StorageException($"The spool in {directory} does not say which process wrote it.");
        }

        var reader = new FrameReader(frame[1..]);
        Proc = reader.Int32();
        Run = reader.Text() ?? "";
        ProcName = reader.Text() ?? "";
        Clock = reader.Text() ?? "";
        _stripes = new FrameStream[reader.Int32()];
        for (var i = 0; i < _stripes.Length; i++)
        {
            _stripes[i] = new FrameStream(directory, SegmentKind.Records, i, First(SegmentKind.Records, i), _damages);
        }
    }

    public int Proc { get; }

    public string ProcName { get; }

    public string Run { get; }

    public string Clock { get; }

    /// <summary>Names of the object numbers read so far.</summary>
    public ObjectTable Objects { get; }

    /// <summary>Where frames failed their checksum; what follows them in their stripe is lost.</summary>
    public IReadOnlyList<string> Damages => _damages;

    /// <summary>Bytes of one segment, as the writer chose them.</summary>
    public long SegmentBytes => _names.SegmentBytes;

    /// <exception cref="StorageException">There is no spool, or one that this version cannot read.</exception>
    public static SpoolReader Open(string directory) => new(directory, null);

    /// <summary>Opens the spool of this process, whose names are known already.</summary>
    public static SpoolReader Open(string directory, ObjectTable known) => new(directory, known);

    /// <summary>Tells whether a directory holds a spool.</summary>
    public static bool Exists(string directory) =>
        Directory.Exists(directory) && Directory.EnumerateFiles(directory, "names-*.spool").Any();

    /// <summary>
    /// Adds what is there to a batch, about <paramref name="rowsMax"/> rows; false when nothing new was.
    /// </summary>
    public bool Read(HistoryBatch batch, int rowsMax)
    {
        var (before, stretches) = (batch.Rows, batch.Stretches.Count);
        for (var i = 0; i < _stripes.Length && batch.Rows - before < rowsMax; i++)
        {
            ReadStripe(_stripes[(_turn + i) % _stripes.Length], batch, rowsMax - (batch.Rows - before));
        }

        _turn = (_turn + 1) % _stripes.Length;
        if (_readsNames)
        {
            ReadNames(); // A name is on disk before the first record that uses it.
        }

        return batch.Rows > before || batch.Stretches.Count > stretches;
    }

    /// <summary>Passes over exactly what a store holds: of batches under way at the same time any may be
    /// missing.</summary>
    public void SkipTo(IEnumerable<SpoolStretch> stored)
    {
        foreach (var stripe in stored
            .Where(s => s.Proc == Proc && s.Stripe >= 0 && s.Stripe < _stripes.Length).GroupBy(s => s.Stripe))
        {
            _stripes[stripe.Key].Skip(stripe);
        }
    }

    /// <summary>Hands over the segments whose end was read since the last call.</summary>
    public SpentSegments TakeSpent()
    {
        var paths = new List<string>();
        var bytes = _stripes.Sum(stripe => stripe.TakeSpent(paths));
        return new(paths, bytes);
    }

    /// <summary>Returns what the writer counted when it ended the spool; null when it was cut off.</summary>
    public (long Operations, long Events)? Closed()
    {
        (long, long)? closed = null;
        ReadNumbers((type, payload) =>
        {
            if (type is FrameType.Closed)
            {
                var reader = new FrameReader(payload);
                closed = (reader.Int64(), reader.Int64());
            }
        });
        return closed;
    }

    /// <summary>
    /// Returns the numbers that were reserved and not given back; none when the spool was ended in order.
    /// </summary>
    public IReadOnlyList<ReservedNumbers> Reserved()
    {
        var reserved = new SortedDictionary<long, ReservedNumbers>();
        var isClosed = false;
        ReadNumbers((type, payload) =>
        {
            var reader = new FrameReader(payload);
            if (type is FrameType.Reserve)
            {
                var (client, session, first) = (reader.Int32(), reader.Int32(), reader.Int64());
                reserved[first] = new(client, session, first, reader.Int32());
            }
            else if (type is FrameType.Release)
            {
                var (first, count) = (reader.Int64(), reader.Int32());
                var block = reserved.Values.FirstOrDefault(r => first >= r.First && first + count == r.First + r.Count);
                if (block.Count > 0)
                {
                    reserved[block.First] = block with { Count = block.Count - count };
                }
            }

            isClosed |= type is FrameType.Closed;
        });
        return isClosed ? [] : [.. reserved.Values.Where(r => r.Count > 0)];
    }

    public void Dispose()
    {
        _names.Dispose();
        foreach (var stripe in _stripes)
        {
            stripe.Dispose();
        }
    }

    private static void ReadStripe(FrameStream stripe, HistoryBatch batch, int rowsMax)
    {
        var rows = batch.Rows + rowsMax;
        while (batch.Rows < rows)
        {
            stripe.PassStored();
            var from = stripe.Position;
            while (batch.Rows < rows && !stripe.IsAtStored && stripe.TryNext(out var frame))
            {
                switch ((FrameType)frame[0])
                {
                    case FrameType.Operation:
                        OperationCodec.Read(frame, out batch.NextOperation());
                        break;
                    case FrameType.Events:
                        EventCodec.Read(frame[1..], batch.Events);
                        break;
                }
            }

            if (stripe.Position == from)
            {
                return;
            }

            batch.Stretches.Add(new SpoolStretch(
                stripe.Proc, stripe.Stripe, stripe.Segment, from, stripe.IsAtEnd ? int.MaxValue : stripe.Position));
            if (stripe.IsAtEnd)
            {
                stripe.Advance();
            }
            else if (!stripe.IsAtStored)
            {
                return;
            }
        }
    }

    private void ReadNames()
    {
        while (_names.TryNextAcross(out var frame))
        {
            if ((FrameType)frame[0] is FrameType.Name)
            {
                var reader = new FrameReader(frame[1..]);
                var id = reader.Int32();
                if (Objects.Intern(reader.Text()) != id)
                {
                    throw new StorageInvariantException($"The names in the spool {_directory} are not in their order.");
                }
            }
        }
    }

    private void ReadNumbers(Action<FrameType, ReadOnlySpan<byte>> observe)
    {
        using var numbers =
            new FrameStream(_directory, SegmentKind.Numbers, 0, First(SegmentKind.Numbers, 0), _damages);
        while (numbers.TryNextAcross(out var frame))
        {
            observe((FrameType)frame[0], frame[1..]);
        }
    }

    private long First(SegmentKind kind, int stripe)
    {
        var pattern = SpoolFormat.FileName(kind, stripe, 0);
        var prefix = pattern[..(pattern.LastIndexOf('-') + 1)];
        var numbers = Directory.Exists(_directory)
            ? Directory.EnumerateFiles(_directory, prefix + "*.spool")
                .Select(f => long.Parse(Path.GetFileNameWithoutExtension(f)[prefix.Length..]))
            : [];
        return numbers.DefaultIfEmpty(kind is SegmentKind.Records ? 1 : 0).Min() is var first && first > 0
            ? first
            : throw new StorageException($"There is no spool in {_directory}.");
    }

    /// <summary>The frames of one stream, segment after segment.</summary>
    private sealed unsafe class FrameStream(
        string directory, SegmentKind kind, int stripe, long segment, List<string> damages) : IDisposable
    {
        private readonly List<string> _spent = [];
        private readonly Dictionary<(long Segment, int From), int> _stored = [];
        private MemoryMappedFile? _file;
        private MemoryMappedViewAccessor? _view;
        private byte* _start;
        private long _bytes;
        private int _position;
        private bool _damaged;

        public int Proc { get; private set; }

        public int Stripe => stripe;

        public long Segment { get; private set; } = segment;

        public int Position => _position == 0 ? SpoolFormat.SegmentHeaderBytes : _position;

        public long SegmentBytes => _bytes;

        /// <summary>Whether the segment was read to its end frame.</summary>
        public bool IsAtEnd { get; private set; }

        /// <summary>Whether what comes next is stored.</summary>
        public bool IsAtStored => _stored.Count > 0 && _stored.ContainsKey((Segment, Position));

        /// <summary>Returns the next whole frame of this segment; false at the end of what is written.</summary>
        public bool TryNext(out ReadOnlySpan<byte> frame)
        {
            frame = default;
            if (_damaged || IsAtEnd || (_file is null && !TryOpen())
                || _position + SpoolFormat.FrameHeaderBytes > _bytes)
            {
                return false;
            }

            var header = Volatile.Read(ref *(ulong*)(_start + _position));
            if (header == 0)
            {
                return false;
            }

            var length = unchecked((uint)header);
            var end = _position + SpoolFormat.FrameHeaderBytes + (long)length;
            if (length == 0 || end > _bytes
                || (SpoolFormat.Checksum(Payload((int)length)) ^ SpoolFormat.Salt(Segment)) != (uint)(header >> 32))
            {
                _damaged = true;
                damages.Add($"{PathOf(Segment)} at byte {_position}");
                return false;
            }

            frame = Payload((int)length);
            _position += SpoolFormat.FrameBytes((int)length);
            IsAtEnd = (FrameType)frame[0] is FrameType.End;
            return !IsAtEnd;
        }

        /// <summary>Returns the next whole frame of this segment or of one after it.</summary>
        public bool TryNextAcross(out ReadOnlySpan<byte> frame)
        {
            while (!TryNext(out frame))
            {
                if (!IsAtEnd)
                {
                    return false;
                }

                Advance();
            }

            return true;
        }

        /// <summary>Goes to the segment after one that was read to its end.</summary>
        public void Advance()
        {
            _spent.Add(PathOf(Segment));
            Close();
            IsAtEnd = false;
            Segment++;
        }

        public void Skip(IEnumerable<SpoolStretch> stored)
        {
            foreach (var stretch in stored)
            {
                _stored.Add((stretch.Segment, stretch.From), stretch.To);
            }
        }

        /// <summary>Goes on behind what is stored.</summary>
        public void PassStored()
        {
            while (_stored.Remove((Segment, Position), out var end))
            {
                if (end == int.MaxValue)
                {
                    Advance();
                }
                else if (_file is not null || TryOpen())
                {
                    _position = end;
                }
                else
                {
                    return;
                }
            }
        }

        public long TakeSpent(List<string> paths)
        {
            paths.AddRange(_spent);
            var bytes = _spent.Count * _bytes;
            _spent.Clear();
            return bytes;
        }

        public void Dispose() => Close();

        private ReadOnlySpan<byte> Payload(int length) =>
            new(_start + _position + SpoolFormat.FrameHeaderBytes, length);

        private string PathOf(long number) => Path.Combine(directory, SpoolFormat.FileName(kind, stripe, number));

        private bool TryOpen()
        {
            var path = PathOf(Segment);
            if (!File.Exists(path))
            {
                return false;
            }

            using var stream =
                new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            _bytes = stream.Length;
            _file = MemoryMappedFile.CreateFromFile(
                stream.SafeFileHandle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, true);
            _view = _file.CreateViewAccessor(0, _bytes, MemoryMappedFileAccess.Read);
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
            _start += _view.PointerOffset;
            Proc = SpoolFormat.ReadSegmentHeader(
                new ReadOnlySpan<byte>(_start, (int)Math.Min(_bytes, SpoolFormat.SegmentHeaderBytes)), path).Proc;
            _position = SpoolFormat.SegmentHeaderBytes;
            return true;
        }

        private void Close()
        {
            if (_file is null)
            {
                return;
            }

            _view!.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
            _file.Dispose();
            (_file, _view, _position) = (null, null, 0);
            _start = null;
        }
    }
}
