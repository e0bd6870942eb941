using System.Text;
using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Explanation;

/// <summary>Keeps of a history what an explanation of one finding needs, however long the history is.</summary>
/// <remarks>
/// Kept are the events of the lives that the evidence is of, everything that was done with its allocations, and the
/// other allocs and frees of those lives up to <see cref="OperationsMax"/>. The rest is counted.
/// Concurrency: one thread.
/// </remarks>
public sealed class ExplainedRecords
{
    private const int OperationsMax = 100_000;
    private const int EventsMax = 200_000;

    private readonly List<HistoryRecord> _kept = [];
    private readonly ObjectTable _objects;
    private readonly int _device;
    private readonly HashSet<(int Gen, int Life)> _lives;
    private readonly HashSet<long> _numbers = [];
    private int _operationCount;
    private int _eventCount;

    public ExplainedRecords(Finding finding, ObjectTable objects)
    {
        ArgumentNullException.ThrowIfNull(finding);
        (_objects, Finding) = (objects, finding);
        _device = objects.DeviceOf(objects.Intern(finding.Object));
        Evidence = EvidenceOf(finding, objects);
        _lives = [.. Evidence.Select(e => (e.Gen, e.Life))];
        Proof = [.. RecordsOf(finding, objects)];
        foreach (var record in Proof)
        {
            var alloc = record.Event?.Alloc ?? record.Operation.Alloc;
            if (!alloc.IsNone)
            {
                Allocations.Add(alloc);
            }

            if (record.Event is null)
            {
                _numbers.Add(record.Operation.Number);
            }
        }
    }

    /// <summary>The finding that is explained.</summary>
    public Finding Finding { get; }

    /// <summary>Records of the device, its refs and page maps so far, kept or not.</summary>
    public long Count { get; private set; }

    /// <summary>What was kept, in the order in which it came.</summary>
    public IReadOnlyList<HistoryRecord> Kept => _kept;

    /// <summary>The records that the finding names, as it quotes them.</summary>
    public IReadOnlyList<HistoryRecord> Proof { get; }

    /// <summary>Positions of the records that the finding names.</summary>
    internal HashSet<Position> Evidence { get; }

    /// <summary>Allocations that the finding names.</summary>
    internal HashSet<AllocId> Allocations { get; } = [];

    /// <summary>Looks at the next record, of whatever object.</summary>
    public void Add(in HistoryRecord record)
    {
        var at = record.At;
        var op = record.Operation;
        var device = !at.IsNone ? _objects.DeviceOf(at.Obj) : op.Device != 0 ? op.Device : op.Alloc.Device;
        if (device != _device)
        {
            return;
        }

        Count++;
        if (record.Event is { } e)
        {
            if (Evidence.Contains(at) || (!e.Alloc.IsNone && Allocations.Contains(e.Alloc)))
            {
                _kept.Add(record);
            }
            else if ((_lives.Count == 0 || _lives.Contains((at.Gen, at.Life)) || e.Kind is EventKind.Incarnation)
                && _eventCount < EventsMax)
            {
                _eventCount++;
                _kept.Add(record);
            }
        }
        else if (Allocations.Contains(op.Alloc) || _numbers.Contains(op.Number) || Evidence.Contains(at))
        {
            _kept.Add(record);
        }
        else if (op.Kind is OperationKind.Alloc or OperationKind.Free && _operationCount < OperationsMax
            && (_lives.Count == 0 || _lives.Contains((at.Gen, at.Life))))
        {
            _operationCount++;
            _kept.Add(record);
        }
    }

    internal static HashSet<Position> EvidenceOf(Finding finding, ObjectTable objects) =>
        [.. RecordsOf(finding, objects).Select(r => r.At).Where(at => !at.IsNone)];

    private static IEnumerable<HistoryRecord> RecordsOf(Finding finding, ObjectTable objects)
    {
        var parser = new RecordParser(objects, extensions: false);
        foreach (var line in finding.Evidence)
        {
            if (parser.Parse(Encoding.UTF8.GetBytes(line), 1, out var record))
            {
                yield return record;
            }
        }
    }
}
