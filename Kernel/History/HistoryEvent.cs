namespace Fleet.Kernel.History;

/// <summary>One lifecycle event of one object, as it is stored and judged.</summary>
/// <remarks>
/// One shape serves all kinds; <see cref="EventFields"/> says which of the extra fields a kind uses and under which
/// name they travel. Absent numbers are 0, absent texts null, absent objects 0.
/// Source: history-format, table Events.
/// </remarks>
public sealed record HistoryEvent
{
    public required EventKind Kind { get; init; }

    /// <summary>The object whose stream this belongs to, its incarnation, sequence and life.</summary>
    public required Position At { get; init; }

    /// <summary>
    /// Number in its run, from 1, of the process whose clock <see cref="TimeNs"/> is read from; 0 where none is known.
    /// <see cref="ObjectTable.ProcessName"/> has its name.
    /// </summary>
    public int Proc { get; init; }

    public long TimeNs { get; init; }

    /// <summary>Who caused it: <c>unbind</c>, <c>rcu</c>, <c>reaper</c>, <c>fault</c>, a client's name.</summary>
    public string? Actor { get; init; }

    public Errno Err { get; init; }

    /// <summary>Positions at other objects that this event was caused by or waited for.</summary>
    public IReadOnlyList<Position> After { get; init; } = [];

    /// <summary>The other object that this event is about: map, owner, pool, session, object or data.</summary>
    public int Other { get; init; }

    /// <summary>First address of a range, or the address of an allocation.</summary>
    public ulong Start { get; init; }

    /// <summary>Bytes.</summary>
    public ulong SizeBytes { get; init; }

    /// <summary>First page frame number.</summary>
    public ulong Pfn { get; init; }

    /// <summary>Pages, live allocations, references or another count, as the kind has it.</summary>
    public long Count { get; init; }

    /// <summary>Number of the devres node or of the chunk; -1 where there is none.</summary>
    public int Node { get; init; } = -1;

    /// <summary>
    /// Function of a devres node, purpose of a field read, reason of an incarnation, point of an injection.
    /// </summary>
    public string? Fn { get; init; }

    /// <summary>Driver, node kind, object kind or class of a warning.</summary>
    public string? Text { get; init; }

    /// <summary>The allocation that a reap freed.</summary>
    public AllocId Alloc { get; init; }
}

/// <summary>One field of <see cref="HistoryEvent"/> beyond those that every event has.</summary>
public enum EventField : byte
{
    /// <summary>Object id, travels as its name.</summary>
    Other,

    /// <summary>Hexadecimal string.</summary>
    Start,

    /// <summary>Number.</summary>
    SizeBytes,

    /// <summary>Hexadecimal string.</summary>
    Pfn,

    /// <summary>Number.</summary>
    Count,

    /// <summary>Number.</summary>
    Node,

    /// <summary>String.</summary>
    Fn,

    /// <summary>String.</summary>
    Text,

    /// <summary>String <c>dev#gen#n</c>.</summary>
    Alloc,
}

/// <summary>Says which extra fields each kind of event carries and under which names they travel.</summary>
public static class EventFields
{
    private static readonly (string Name, EventField Field)[] None = [];
    private static readonly (string Name, EventField Field)[] Range =
        [("pfn", EventField.Pfn), ("count", EventField.Count)];

    private static readonly (string Name, EventField Field)[] Devres =
        [("node", EventField.Node), ("kind", EventField.Text), ("fn", EventField.Fn), ("data", EventField.Other)];

    private static readonly (string Name, EventField Field)[] Teardown =
        [("map", EventField.Other), ("start", EventField.Start), ("size", EventField.SizeBytes)];

    private static readonly (string Name, EventField Field)[] Message =
        [("class", EventField.Text), ("object", EventField.Other), ("fn", EventField.Fn)];

    /// <summary>Returns the extra fields of a kind, in the order in which they are written.</summary>
    public static IReadOnlyList<(string Name, EventField Field)> Of(EventKind kind) => kind switch
    {
        EventKind.BindBegin or EventKind.BindEnd or EventKind.UnbindBegin or EventKind.UnbindEnd
            => [("driver", EventField.Text)],
        EventKind.DevresAdd or EventKind.DevresRun or EventKind.DevresRemove or EventKind.DevresFree
            or EventKind.ActionAddFailed => Devres,
        EventKind.ReleaseAllEnd => [("count", EventField.Count)],
        EventKind.AddResourceBegin or EventKind.AddResourceEnd =>
            [("res", EventField.Text), ("bar", EventField.Node), ("size", EventField.SizeBytes),
                ("offset", EventField.Start)],
        EventKind.PoolCreate => [("pool", EventField.Other)],
        EventKind.PoolDestroy => [("pool", EventField.Other), ("live", EventField.Count)],
        EventKind.ChunkAdd =>
            [("chunk", EventField.Node), ("start", EventField.Start), ("size", EventField.SizeBytes),
                ("owner", EventField.Other)],
        EventKind.ChunkTry => [("owner", EventField.Other)],
        EventKind.BitsSet or EventKind.BitsClear or EventKind.BitsRollback =>
            [("chunk", EventField.Node), ("first", EventField.Start), ("n", EventField.Count), ("ok", EventField.Text)],
        EventKind.AvailDec or EventKind.AvailInc =>
            [("chunk", EventField.Node), ("amount", EventField.SizeBytes), ("value", EventField.Count)],
        EventKind.FieldRead => [("purpose", EventField.Fn)],
        EventKind.TeardownBegin or EventKind.TeardownEnd or EventKind.MemremapBegin or EventKind.MemremapEnd
            or EventKind.ConflictHit => Teardown,
        EventKind.Reap =>
        [
            ("session", EventField.Text), ("alloc", EventField.Alloc), ("addr", EventField.Start),
            ("size", EventField.SizeBytes), ("owner", EventField.Other),
        ],
        EventKind.ObjAlloc or EventKind.ObjFree => [("object", EventField.Other), ("kind", EventField.Text)],
        EventKind.RefInit or EventKind.RefGet or EventKind.RefPut or EventKind.RefTryget or EventKind.RefTrygetLive
            or EventKind.SwitchBegin or EventKind.SwitchDone or EventKind.RefZero or EventKind.RefExit
            => [("value", EventField.Count)],
        EventKind.RefKill => [("value", EventField.Count), ("was_dead", EventField.Text)],
        EventKind.MemoryAdd or EventKind.PagesInit or EventKind.MapStore or EventKind.MapErase
            or EventKind.MemoryRemove => Range,
        EventKind.PageGet or EventKind.PagePut or EventKind.PageFinalPut or EventKind.PageIdle =>
            [("pfn", EventField.Pfn), ("count", EventField.Count), ("kind", EventField.Text),
                ("alloc", EventField.Alloc)],
        EventKind.MapLookup or EventKind.PageBackptrRead or EventKind.CpuAccess or EventKind.DmaAccess
            or EventKind.IoAccess => [("pfn", EventField.Pfn), ("alloc", EventField.Alloc)],
        EventKind.Barred => [("session", EventField.Text)],
        EventKind.AllocEnd or EventKind.FreeEnd or EventKind.AllocBegin or EventKind.FreeBegin =>
            [("addr", EventField.Start), ("size", EventField.SizeBytes), ("owner", EventField.Other),
                ("alloc", EventField.Alloc)],
        EventKind.SysfsShowBegin or EventKind.SysfsShowEnd =>
            [("attribute", EventField.Text), ("value", EventField.Count)],
        EventKind.Inject => [("point", EventField.Fn)],
        EventKind.Warn or EventKind.Bug or EventKind.Oops or EventKind.Hang or EventKind.HangDetected => Message,
        EventKind.Incarnation => [("host", EventField.Text), ("reason", EventField.Fn)],
        _ => None,
    };
}
