using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Simulation.Cluster;

/// <summary>Everything that a simulated run recorded, with the digest by which two runs are compared.</summary>
/// <remarks>The digest covers every field of every record in the order in which they were recorded.</remarks>
public sealed class SimulatedHistory(ObjectTable objects, bool isDigestOnly)
{
    private const int ChunkSize = 1 << 14;

    private readonly List<Operation[]> _operations = [];
    private readonly List<HistoryEvent> _events = [];
    private ulong _digest = StateHash.Seed;
    private int _free;

    private readonly record struct Place(int Gen, long Seq, int Index) : IComparable<Place>
    {
        public int CompareTo(Place other) =>
            Gen != other.Gen ? Gen.CompareTo(other.Gen)
            : Seq != other.Seq ? Seq.CompareTo(other.Seq)
            : Index.CompareTo(other.Index);
    }

    public ObjectTable Objects => objects;

    public long Operations { get; private set; }

    public long Events { get; private set; }

    public ulong Digest => _digest;

    public HistoryHeader Header { get; internal set; } = new();

    /// <summary>The operations in the order in which they were recorded, with their virtual times.</summary>
    public IEnumerable<Operation> Recorded()
    {
        for (var i = 0; !isDigestOnly && i < Operations; i++)
        {
            yield return At(i);
        }
    }

    /// <summary>Judges what was recorded.</summary>
    public CheckReport Check(IReadOnlyList<string> requiredProbes)
    {
        var checker = new HistoryChecker(Header, objects, requiredProbes);
        foreach (var record in InOrder())
        {
            checker.Add(record);
        }

        return checker.Finish();
    }

    /// <summary>Writes the history in the interchange format.</summary>
    public void Write(HistoryWriter writer)
    {
        foreach (var record in InOrder())
        {
            writer.Write(record);
        }

        writer.Flush();
    }

    internal void Add(HistoryEvent happened)
    {
        Events++;
        Mix(happened);
        if (!isDigestOnly)
        {
            _events.Add(happened);
        }
    }

    internal void Add(in Operation operation)
    {
        Operations++;
        Mix(operation);
        if (isDigestOnly)
        {
            return;
        }

        if (_free == 0)
        {
            _operations.Add(new Operation[ChunkSize]);
            _free = ChunkSize;
        }

        _operations[^1][ChunkSize - _free--] = operation;
    }

    /// <summary>
    /// Unanswered operations first, then each device's refs and page maps before itself: as the checker likes best.
    /// </summary>
    private IEnumerable<HistoryRecord> InOrder()
    {
        for (var i = 0; i < Operations; i++)
        {
            ref var operation = ref At(i);
            if (operation.At.IsNone)
            {
                yield return operation;
            }
        }

        var (places, ends) = ByObject();
        foreach (var obj in ObjectsInOrder())
        {
            var first = obj == 0 ? 0 : ends[obj - 1];
            Array.Sort(places, first, ends[obj] - first);
            for (var i = first; i < ends[obj]; i++)
            {
                var index = places[i].Index;
                if (index < 0)
                {
                    yield return _events[~index];
                }
                else
                {
                    yield return At(index);
                }
            }
        }
    }

    /// <summary>Everything with a position, counted out by its object; each object's end, by its number.</summary>
    private (Place[] Places, int[] Ends) ByObject()
    {
        var ends = new int[objects.LastId + 1];
        for (var i = 0; i < Operations; i++)
        {
            ends[At(i).At.Obj] += At(i).At.IsNone ? 0 : 1;
        }

        foreach (var happened in _events)
        {
            ends[happened.At.Obj]++;
        }

        var next = new int[ends.Length];
        for (var obj = 1; obj < ends.Length; obj++)
        {
            next[obj] = ends[obj - 1];
            ends[obj] += ends[obj - 1];
        }

        var places = new Place[ends[^1]];
        for (var i = 0; i < Operations; i++)
        {
            ref var operation = ref At(i);
            if (!operation.At.IsNone)
            {
                places[next[operation.At.Obj]++] = new(operation.At.Gen, operation.At.Seq, i);
            }
        }

        for (var i = 0; i < _events.Count; i++)
        {
            var at = _events[i].At;
            places[next[at.Obj]++] = new(at.Gen, at.Seq, ~i);
        }

        return (places, ends);
    }

    private IEnumerable<int> ObjectsInOrder() => Enumerable.Range(0, objects.LastId + 1)
        .OrderBy(obj => obj == 0 ? 0 : objects.DeviceOf(obj))
        .ThenBy(obj => obj == 0 ? 0 : objects.Kind(obj) switch { ObjectKind.Ref => 0, ObjectKind.Map => 1, _ => 2 });

    private ref Operation At(int index) => ref _operations[index / ChunkSize][index % ChunkSize];

    private void Mix(in Operation operation)
    {
        Mix((ulong)operation.Number, ((ulong)operation.Client << 32) | (uint)operation.Device);
        Mix(
            ((ulong)operation.Kind << 48) | ((ulong)operation.Outcome << 40) | ((ulong)operation.Direction << 32)
            | (uint)operation.Err,
            (ulong)operation.IntendedNs);
        Mix((ulong)operation.SentNs, (ulong)operation.DoneNs);
        Mix(operation.At);
        Mix(operation.Address, operation.SizeBytes);
        Mix((ulong)operation.Alloc.Number, ((ulong)operation.Alloc.Gen << 32) | (uint)operation.Owner);
        Mix(operation.Tag, operation.Pfn);
        Mix((ulong)operation.Of, (ulong)operation.Map);
    }

    private void Mix(HistoryEvent happened)
    {
        Mix((ulong)happened.Kind, (ulong)happened.TimeNs);
        Mix(happened.At);
        Mix(((ulong)happened.Proc << 32) | (uint)happened.Err, (ulong)happened.Other);
        Mix(happened.Start, happened.SizeBytes);
        Mix(happened.Pfn, unchecked((ulong)happened.Count));
        Mix(unchecked((ulong)happened.Node), (ulong)happened.Alloc.Number);
        Mix(happened.Actor);
        Mix(happened.Fn);
        Mix(happened.Text);
        foreach (var position in happened.After)
        {
            Mix(position);
        }
    }

    private void Mix(in Position at)
    {
        Mix((ulong)at.Seq, (ulong)at.Obj);
        Mix((ulong)at.Gen, (ulong)at.Life);
    }

    private void Mix(string? text)
    {
        foreach (var letter in text ?? "")
        {
            StateHash.Mix(ref _digest, (ulong)letter);
        }
    }

    private void Mix(ulong first, ulong second)
    {
        StateHash.Mix(ref _digest, first);
        StateHash.Mix(ref _digest, second);
    }
}
