using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Where and when a record stands; <c>default</c> means that nothing was seen.</summary>
/// <param name="Line">Line of the file, which is the order of the trace's clock.</param>
/// <param name="Seq">Position among the events of its object.</param>
internal readonly record struct Moment(long Line, long TimeNs, TracedTask? Task, long Seq, EventKind Kind, string Probe)
{
    public bool IsSeen => Line > 0;
}

/// <summary>A task, or the idle task of one CPU: what it is in the middle of.</summary>
/// <remarks>
/// Invariant: an effect that is recorded late lies between this task's previous record and the record itself, because a
/// task
/// runs in program order. Only a record of the same context bounds it: an interrupt records between a task's effect and
/// record.
/// </remarks>
internal sealed class TracedTask(string label, byte[] comm)
{
    public string Label { get; set; } = label;

    public byte[] Comm { get; set; } = comm;

    /// <summary>Line of the last record in task context.</summary>
    public long TaskLine { get; set; }

    /// <summary>Line of the last record in any context.</summary>
    public long AnyLine { get; set; }

    /// <summary>Page map whose ref this task exited in its previous record.</summary>
    public TracedMap? Exited { get; set; }

    public TracedDevice? Probing { get; set; }

    public AddResourceCall? AddResource { get; set; }

    public TracedDevice? DevmDevice { get; set; }

    public ulong DevmPgmap { get; set; }

    public TracedMap? Mapping { get; set; }

    public TracedMap? Unmapping { get; set; }

    public (ulong Dev, DevresAction Action)? Registering { get; set; }

    public ulong PoolOrder { get; set; }

    public (TracedPool Pool, PoolChunk Chunk)? AddingChunk { get; set; }

    public long AllocBeganLine { get; set; }

    /// <summary>
    /// Page pointer of the previous record, 0 for none: the next page_ref record is of the same page.
    /// </summary>
    public ulong TouchedPage { get; set; }

    /// <summary>Page that the task frees at the moment, 0 for none.</summary>
    public ulong FreeingPfn { get; set; }

    public TracedMap? FreeingOf { get; set; }
}

/// <summary>One call of pci_p2pdma_add_resource that has not returned.</summary>
internal sealed class AddResourceCall(TracedDevice device, int bar)
{
    public TracedDevice Device => device;

    public int Bar => bar;

    public List<TracedMap> Maps { get; } = [];
}

/// <summary>A registered devres action; equal ones are told apart by their place in the list.</summary>
internal sealed class DevresAction(int node, string function, ulong data, long line)
{
    public int Node => node;

    public string Function => function;

    public ulong Data => data;

    public long Line => line;

    /// <summary>
    /// An older action ran first: wrong only if this one runs after it, as it may have been removed unseen.
    /// </summary>
    public Moment Overtaken { get; set; }

    public string OvertakenBy { get; set; } = "";
}

/// <summary>A device by its name; pointers are reused, names are not.</summary>
internal sealed class TracedDevice(string name, string shown, int obj)
{
    /// <summary>Name in histories, such as <c>dev:trace/0000:03:00.0</c>.</summary>
    public string Name => name;

    /// <summary>Name as the machine has it, such as <c>0000:03:00.0</c>.</summary>
    public string Shown => shown;

    public int Obj => obj;

    public int Life { get; set; }

    public OpenUnbind? Unbind { get; set; }

    public List<TracedMap> Maps { get; } = [];

    public TracedPool? Pool { get; set; }

    /// <summary>How often a map was created under each resource name.</summary>
    public Dictionary<string, int> MapLives { get; } = [];
}

/// <summary>An unbind that has begun.</summary>
internal sealed class OpenUnbind(TracedDevice device, Moment begin)
{
    public TracedDevice Device => device;

    public Moment Begin => begin;

    public List<TracedMap> Maps { get; } = [];
}

/// <summary>Last count that was recorded of a page, and by whom.</summary>
internal struct TracedPage
{
    public long Count;
    public long Line;
    public long TimeNs;
    public TracedTask? Task;
}

internal enum MapMemory : byte { None, Present, Removed }

/// <summary>One life of a dev_pagemap: a pointer, and the how-manieth of that pointer.</summary>
internal sealed class TracedMap(TracedDevice device, string resource, ulong pgmap, int life)
{
    /// <summary>Bytes behind a pgmap's address in which its embedded percpu_ref may lie.</summary>
    public const ulong StructBytesMax = 256;

    public TracedDevice Device => device;

    /// <summary>It is among the maps of the report.</summary>
    public bool IsListed { get; set; }

    public string Resource => resource;

    public ulong Pgmap => pgmap;

    public int Life => life;

    public int Obj { get; init; }

    public int RefObj { get; init; }

    public string Name => $"map:{Device.Name[4..]}/{resource}";

    public string RefName => $"ref:{Device.Name[4..]}/{resource}";

    /// <summary>The trace shows its creation; without that, holders may exist that were never seen.</summary>
    public required bool CreatedInTrace { get; init; }

    public ulong Start { get; init; }

    public ulong End { get; init; }

    public int Type { get; init; }

    public ulong FirstPfn => Start >> 12;

    public ulong LastPfn => End >> 12;

    /// <summary>Where the map begins, in the addresses of its chunk where they are known.</summary>
    public ulong Address => Virt != 0 ? Virt : Start;

    /// <summary>Linear address of the first byte; 0 when unknown.</summary>
    public ulong Virt { get; set; }

    public ulong Ref { get; set; }

    public bool RefLives { get; set; }

    public MapMemory Memory { get; set; }

    public Moment Kill { get; set; }

    public ulong KillCount { get; set; }

    public Moment Switch { get; set; }

    public Moment Zero { get; set; }

    public Moment Exit { get; set; }

    public ulong ExitCount { get; set; }

    public bool ExitHasCount { get; set; }

    /// <summary>
    /// Line of the first record of the exiting task after its exit: by then the exit had taken effect.
    /// </summary>
    public long ExitDoneLine { get; set; }

    public Moment UnmapBegin { get; set; }

    public Moment UnmapEnd { get; set; }

    public Moment RemoveBegin { get; set; }

    public Moment RemoveEnd { get; set; }

    public Moment LastActivity { get; set; }

    /// <summary>What ended the wait, in words.</summary>
    public string? WaitEndedBy { get; set; }

    public long FreedDuringWait { get; set; }

    public int PinnedAtKill { get; set; }

    public HashSet<string> Holders { get; } = [];

    public Dictionary<ulong, TracedPage> Pages { get; } = [];

    public SortedDictionary<ulong, TracedPage>? PinnedAtRemoval { get; set; }

    /// <summary>Uses after the removal, counted; the first is kept as evidence.</summary>
    public long UsesAfterRemoval { get; set; }

    public bool Contains(ulong pfn) => pfn >= FirstPfn && pfn <= LastPfn;

    public bool ContainsLinear(ulong address) => Virt != 0 && address >= Virt && address - Virt <= End - Start;

    public string TypeName => Type switch
    {
        1 => "device-private",
        2 => "coherent",
        3 => "fsdax",
        4 => "device-dax",
        5 => "p2pdma",
        _ => $"type {Type}",
    };

    public override string ToString() =>
        $"page map {Name} (pgmap 0x{Pgmap:x}, life {Life}, {TypeName}, pages 0x{FirstPfn:x}..0x{LastPfn:x})";
}

/// <summary>A chunk of a pool: linear addresses and the ref that owns them.</summary>
internal readonly record struct PoolChunk(ulong Virt, ulong SizeBytes, ulong Owner, TracedMap? Map, long Line)
{
    public bool Contains(ulong address) => address >= Virt && address - Virt < SizeBytes;
}

/// <summary>One life of a gen_pool.</summary>
internal sealed class TracedPool(ulong pointer, int obj, string name)
{
    public ulong Pointer => pointer;

    public int Obj => obj;

    public string Name => name;

    public required bool CreatedInTrace { get; init; }

    public ulong GranuleBytes { get; set; } = 4096;

    public bool Destroyed { get; set; }

    public List<PoolChunk> Chunks { get; } = [];

    public LiveRanges Live { get; } = new();

    /// <summary>Frees that began and did not return, by task.</summary>
    public int OpsInFlight { get; set; }
}
