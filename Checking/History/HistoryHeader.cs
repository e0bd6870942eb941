namespace Fleet.Checking.History;

/// <summary>Which order a history claims between records of different objects.</summary>
public enum HistoryOrder : byte
{
    /// <summary>Only what positions, <c>after</c> edges and clients' sequences say.</summary>
    PerObject,

    /// <summary>The order of the lines is one total order of all events.</summary>
    Total,
}

/// <summary>Line 1 of a history: where it comes from and what may be concluded from it.</summary>
/// <remarks>Source: history-format, section Header.</remarks>
public sealed record HistoryHeader
{
    public const string FormatName = "fleet-history";

    public int Version { get; init; } = 1;

    public string Run { get; init; } = "";

    /// <summary><c>live</c>, <c>simulation</c>, <c>exploration</c>, <c>kernel-trace</c> or <c>hand</c>.</summary>
    public string Source { get; init; } = "hand";

    public string Profile { get; init; } = "";

    public HistoryOrder Order { get; init; }

    /// <summary>Records are grouped by object, each group in (gen, seq) order: one pass needs no sort.</summary>
    public bool SortedByObject { get; init; }

    /// <summary>Name of the clock, such as <c>monotonic:BOOT-ID</c>; empty when times cannot be compared.</summary>
    public string Clock { get; init; } = "";

    /// <summary>Most by which two processes' clocks may differ, ns; null where the header does not say.</summary>
    public long? ClockBoundNs { get; init; }

    /// <summary>No record was lost.</summary>
    public bool Complete { get; init; } = true;

    /// <summary>
    /// At the end every client was drained and every session closed or reaped, so that only waits remain.
    /// </summary>
    public bool Quiescent { get; init; }

    /// <summary>Unknown kinds of events are skipped instead of refused.</summary>
    public bool Extensions { get; init; }

    /// <summary>
    /// Whether times of different processes may be compared, within <see cref="ClockBoundNs"/> (0 when absent).
    /// </summary>
    /// <remarks>One named clock means equal boot ids; without a name a bound has to be stated.</remarks>
    public bool ClocksCompare => Clock.Length > 0 || ClockBoundNs is not null;
}
