using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>What all streams of one checker share.</summary>
internal sealed class CheckContext(HistoryHeader header, ObjectTable objects, Ledger ledger, bool online)
{
    /// <summary>Changes only when the end of a file shows that it is cut off.</summary>
    public HistoryHeader Header { get; set; } = header;

    public ObjectTable Objects => objects;

    public Ledger Ledger => ledger;

    /// <summary>Fed by the objects themselves: dense, without times, and nothing may be kept for later joins.</summary>
    public bool Online => online;

    /// <summary>Missing positions were left out on purpose, so they are no gaps.</summary>
    public bool IsExcerpt { get; init; }

    /// <summary>Records come in the one order in which everything happened, whatever object they are of.</summary>
    public bool InOneOrder => !online && Header is { Order: HistoryOrder.Total, SortedByObject: false };

    /// <summary>Most by which clocks may differ, ns; null when times of different processes say nothing.</summary>
    public long? ClockBoundNs => Header.ClocksCompare ? Header.ClockBoundNs ?? 0 : null;

    public string Name(int id) => objects.Name(id);
}
