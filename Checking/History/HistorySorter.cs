using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>Brings the records of a file into the order in which they are judged, on disk when they are many.</summary>
/// <remarks>
/// Operations without a position come first; then, device by device, each ref and page map and at last the device, in
/// (gen, seq) order. Records of one position keep the order of the file.
/// </remarks>
internal sealed class HistorySorter(ObjectTable objects, int recordsInMemory) : IDisposable
{
    private readonly List<HistoryRecord> _records = [];
    private readonly List<string> _runs = [];
    private DirectoryInfo? _directory;

    private readonly record struct Key(int Device, int Rank, int Obj, int Gen, long Seq) : IComparable<Key>
    {
        public int CompareTo(Key other)
        {
            var order = Device.CompareTo(other.Device);
            order = order != 0 ? order : Rank.CompareTo(other.Rank);
            order = order != 0 ? order : Obj.CompareTo(other.Obj);
            order = order != 0 ? order : Gen.CompareTo(other.Gen);
            return order != 0 ? order : Seq.CompareTo(other.Seq);
        }
    }

    public void Add(in HistoryRecord record)
    {
        if (_records.Count == recordsInMemory)
        {
            Spill();
        }

        _records.Add(record);
    }

    public IEnumerable<HistoryRecord> Sorted()
    {
        if (_runs.Count == 0)
        {
            return InMemory();
        }

        Spill();
        return Merged();
    }

    public void Dispose() => _directory?.Delete(recursive: true);

    private IEnumerable<HistoryRecord> InMemory()
    {
        var keys = new (Key Key, int Index)[_records.Count];
        for (var i = 0; i < keys.Length; i++)
        {
            keys[i] = (KeyOf(_records[i]), i);
        }

        Array.Sort(
            keys, static (a, b) => a.Key.CompareTo(b.Key) is var order and not 0 ? order : a.Index.CompareTo(b.Index));
        foreach (var (_, index) in keys)
        {
            yield return _records[index];
        }
    }

    private IEnumerable<HistoryRecord> Merged()
    {
        var readers = new List<HistoryReader>();
        try
        {
            var heads = new PriorityQueue<(int Run, HistoryRecord Record), (Key Key, int Run)>();
            foreach (var path in _runs)
            {
                readers.Add(HistoryReader.Open(path, objects));
                Refill(heads, readers, readers.Count - 1);
            }

            while (heads.TryDequeue(out var head, out _))
            {
                yield return head.Record;
                Refill(heads, readers, head.Run);
            }
        }
        finally
        {
            readers.ForEach(r => r.Dispose());
        }
    }

    private void Refill(
        PriorityQueue<(int Run, HistoryRecord Record), (Key Key, int Run)> heads, List<HistoryReader> readers, int run)
    {
        if (readers[run].Read(out var record))
        {
            heads.Enqueue((run, record), (KeyOf(record), run));
        }
    }

    private void Spill()
    {
        _directory ??= Directory.CreateTempSubdirectory("fleet-sort-");
        var path = Path.Combine(_directory.FullName, $"{_runs.Count}.jsonl");
        using (var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16))
        using (var writer = new HistoryWriter(stream, new(), objects))
        {
            foreach (var record in InMemory())
            {
                writer.Write(record);
            }
        }

        _runs.Add(path);
        _records.Clear();
    }

    private Key KeyOf(in HistoryRecord record)
    {
        var at = record.At;
        return at.IsNone
            ? default
            : new(
                Math.Max(1, objects.DeviceOf(at.Obj)), objects.Kind(at.Obj) is ObjectKind.Device ? 1 : 0, at.Obj,
                at.Gen, at.Seq);
    }
}
