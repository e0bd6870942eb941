using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>One line of a history after the header: an event or an operation.</summary>
public readonly record struct HistoryRecord
{
    /// <summary>The event; null when this is an operation.</summary>
    public HistoryEvent? Event { get; init; }

    /// <summary>The operation; <c>default</c> when this is an event.</summary>
    public Operation Operation { get; init; }

    /// <summary>The position by which the record is ordered; none for an operation nobody answered.</summary>
    public Position At => Event?.At ?? Operation.At;

    public static implicit operator HistoryRecord(HistoryEvent record) => new() { Event = record };

    public static implicit operator HistoryRecord(Operation record) => new() { Operation = record };

    public bool Equals(HistoryRecord other) =>
        (Event, other.Event) switch
        {
            (null, null) => Operation == other.Operation,
            ({ } a, { } b) => a with { After = b.After } == b && a.After.SequenceEqual(b.After),
            _ => false,
        };

    public override int GetHashCode() => At.GetHashCode();
}
