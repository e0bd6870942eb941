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

    private readonly record struct Place(int Device, byte Rank, int Obj, int Gen, long Seq, int Index);

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
        var places = new List<Place>(_events.Count + (int)Operations);
        for (var i = 0; i < Operations; i++)
        {
            ref var operation = ref At(i);
            if (operation.At.IsNone)
            {
                yield return operation;
            }
            else
            {
                places.Add(PlaceOf(operation.At, i));
            }
        }

        for (var i = 0; i < _events.Count; i++)
        {
            places.Add(PlaceOf(_events[i].At, ~i));
        }

        var sorted = places.ToArray();
        Array.Sort(sorted, Compare);
        foreach (var place in sorted)
        {
            if (place.Index < 0)
            {
                yield return _events[~place.Index];
            }
            else
            {
                yield return At(place.Index);
            }
        }
    }

    private static int Compare(Place left, Place right) =>
        left.Device != right.Device ? left.Device.CompareTo(right.Device)
        : left.Rank != right.Rank ? left.Rank.CompareTo(right.Rank)
        : left.Obj != right.Obj ? left.Obj.CompareTo(right.Obj)
        : left.Gen != right.Gen ? left.Gen.CompareTo(right.Gen)
        : left.Seq != right.Seq ? left.Seq.CompareTo(right.Seq)
        : left.Index.CompareTo(right.Index);

    private Place PlaceOf(in Position at, int index) => new(
        objects.DeviceOf(at.Obj),
        objects.Kind(at.Obj) switch { ObjectKind.Ref => 0, ObjectKind.Map => 1, _ => 2 },
        at.Obj, at.Gen, at.Seq, index);

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
