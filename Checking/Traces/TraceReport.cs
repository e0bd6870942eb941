namespace Fleet.Checking.Traces;

/// <summary>One teardown of a page map that the trace shows, with its wait.</summary>
public sealed record TracedTeardown
{
    /// <summary>Device as the machine names it, such as <c>0000:03:00.0</c>.</summary>
    public required string Device { get; init; }

    /// <summary>Name in histories, such as <c>map:trace/0000:03:00.0/bar2</c>.</summary>
    public required string Map { get; init; }

    /// <summary>Address of the dev_pagemap; reused by later ones.</summary>
    public required ulong Pgmap { get; init; }

    /// <summary>How-manieth page map of this name it is, from 1.</summary>
    public required int Life { get; init; }

    public required string Type { get; init; }

    /// <summary>First physical address.</summary>
    public required ulong Start { get; init; }

    public required ulong SizeBytes { get; init; }

    /// <summary>Line of the first record of the teardown.</summary>
    public required long Line { get; init; }

    public required long BeginNs { get; init; }

    /// <summary>
    /// From the kill (or, where that cannot be seen, from the call) to zero references; null when zero was not seen.
    /// </summary>
    public required TimeSpan? Waited { get; init; }

    /// <summary>What ended the wait, in words; what it still waits for when it did not end.</summary>
    public required string WaitEndedBy { get; init; }

    /// <summary>Pages that were pinned when the wait began, by the counts that the trace shows.</summary>
    public required int PinnedPages { get; init; }

    /// <summary>Tasks that had pinned or that freed pages while it waited.</summary>
    public required IReadOnlyList<string> Holders { get; init; }

    /// <summary>Steps in the order in which they were seen.</summary>
    public required IReadOnlyList<string> Steps { get; init; }

    /// <summary>Reference at zero, memory removed and the call returned.</summary>
    public required bool IsComplete { get; init; }
}

/// <summary>One unbind that the trace shows.</summary>
public sealed record TracedUnbind
{
    public required string Device { get; init; }

    public required string Task { get; init; }

    public required long Line { get; init; }

    public required long BeginNs { get; init; }

    /// <summary>Null when the trace ends before it does.</summary>
    public required TimeSpan? Took { get; init; }

    public required IReadOnlyList<TracedTeardown> Teardowns { get; init; }
}

/// <summary>What a kernel trace proves.</summary>
public sealed record TraceReport
{
    /// <summary>
    /// Verdict, findings and evidence, as of any other history; its rules are those that a trace can decide.
    /// </summary>
    public required CheckReport Check { get; init; }

    /// <summary>One sentence: why this verdict.</summary>
    public required string Reason { get; init; }

    /// <summary>Kernel that it was judged as.</summary>
    public required string Profile { get; init; }

    public required IReadOnlyList<TracedUnbind> Unbinds { get; init; }

    /// <summary>Every teardown, also those without an unbind (a module removed, an error exit).</summary>
    public required IReadOnlyList<TracedTeardown> Teardowns { get; init; }

    public required IReadOnlyList<string> Devices { get; init; }

    /// <summary>Page maps whose creation succeeded or whose teardown was seen.</summary>
    public required int PageMapCount { get; init; }

    /// <summary>Creations that failed and were unwound.</summary>
    public required int FailedAddCount { get; init; }

    public required long LineCount { get; init; }

    public required long ByteCount { get; init; }

    /// <summary>
    /// Events of no known probe, by name, most frequent first; they are counted and have no influence.
    /// </summary>
    public required IReadOnlyList<(string Event, long Count)> UnknownEvents { get; init; }

    /// <summary>What limits the verdict: lost records, a start in the middle, an order of an earlier kernel.</summary>
    public required IReadOnlyList<string> Notes { get; init; }

    /// <summary>Bytes from a pgmap to the percpu_ref inside it, as seen; null where no ref was seen.</summary>
    public required int? RefOffsetBytes { get; init; }
}
