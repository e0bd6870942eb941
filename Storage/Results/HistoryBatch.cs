using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>Where a batch came from: one stretch of one spool segment. The store takes each stretch once.</summary>
/// <param name="From">Offset of the first frame, bytes.</param>
/// <param name="To">Offset after the last frame, bytes.</param>
public readonly record struct SpoolStretch(int Proc, int Stripe, long Segment, int From, int To);

/// <summary>Records on their way into a store, in the object numbers of the process that made them.</summary>
/// <remarks>Reused: the drain fills and clears one batch again and again.</remarks>
public sealed class HistoryBatch(ObjectTable objects, int proc)
{
    private Operation[] _operations = new Operation[1024];

    /// <summary>Names of the object numbers in the records.</summary>
    public ObjectTable Objects { get; } = objects;

    /// <summary>Process that made the operations.</summary>
    public int Proc { get; } = proc;

    public int OperationCount { get; private set; }

    public ReadOnlySpan<Operation> Operations => _operations.AsSpan(0, OperationCount);

    public List<HistoryEvent> Events { get; } = [];

    /// <summary>Stretches of the spool that this batch is; empty for records that no spool holds (an import).</summary>
    public List<SpoolStretch> Stretches { get; } = [];

    public int Rows => OperationCount + Events.Count;

    public void Add(in Operation operation) => NextOperation() = operation;

    public void Clear()
    {
        OperationCount = 0;
        Events.Clear();
        Stretches.Clear();
    }

    internal ref Operation NextOperation()
    {
        if (OperationCount == _operations.Length)
        {
            Array.Resize(ref _operations, _operations.Length * 2);
        }

        return ref _operations[OperationCount++];
    }
}
