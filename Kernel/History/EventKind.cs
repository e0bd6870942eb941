using System.Collections.Frozen;
using System.Text;

namespace Fleet.Kernel.History;

/// <summary>What happened, in the words of the kernel.</summary>
/// <remarks>
/// Source: kernel-model section E and history-format, table Events. The wire name is the snake_case form.
/// </remarks>
public enum EventKind : byte
{
    None,

    // Device.
    BindBegin, BindEnd, UnbindBegin, UnbindEnd,
    DevresAdd, DevresRun, DevresRemove, DevresFree,
    ReleaseAllBegin, ReleaseAllEnd, ActionAddFailed,
    AddResourceBegin, AddResourceEnd,
    PoolCreate, ChunkAdd, PoolDestroy,
    FieldSet, FieldClear, FieldRead,
    TeardownBegin, TeardownEnd,
    Reap,
    ObjAlloc, ObjFree,
    Fenced,
    Publish, SysfsGroupAdd, SysfsGroupRemove, SysfsShowBegin, SysfsShowEnd,
    MemremapBegin, MemremapEnd, ConflictHit,

    // Ref.
    RefInit, RefKill, SwitchBegin, SwitchDone, RefZero, RefExit,
    RefGet, RefPut, RefTryget, RefTrygetLive, RefResurrect, RefReinit,
    CleanupBegin, CleanupEnd, CompletionInit, Complete, WaitBegin, WaitEnd,

    // Map.
    MemoryAdd, PagesInit, MapStore, MapErase, MapLookup, MemoryRemove,
    PageGet, PagePut, PageIdle, PageFinalPut, PageBackptrRead, Barred,
    CpuAccess, DmaAccess,

    // Pool, in the finer forms of simulation and exploration.
    ChunkTry, BitsSet, BitsClear, BitsRollback, AvailDec, AvailInc,
    AllocBegin, AllocEnd, FreeBegin, FreeEnd, Find, Distance,

    // Queue.
    QueueFreezeStart, QueueWaitBegin, QueueWaitEnd, QueueDead, QueuePut, QueueFreed,
    IoEnter, IoExit, IoAccess,
    StaticbranchGet, StaticbranchPut,

    // Any object.
    RcuReadBegin, RcuReadEnd, GpWaitBegin, GpWaitEnd, RcuCbQueue, RcuCbRun,
    Inject, Warn, Bug, Oops, Hang, HangDetected, Incarnation,
}

/// <summary>The names by which event kinds travel in files and tables.</summary>
public static class EventKinds
{
    private static readonly string[] Names = [.. Enum.GetNames<EventKind>().Select(Snake)];

    private static readonly FrozenDictionary<string, EventKind> ByName =
        Enum.GetValues<EventKind>().Where(k => k is not EventKind.None).ToFrozenDictionary(k => Names[(int)k]);

    /// <summary>Returns the wire name, such as <c>unbind_begin</c>.</summary>
    public static string WireName(EventKind kind) => Names[(int)kind];

    public static bool TryParse(string name, out EventKind kind) => ByName.TryGetValue(name, out kind);

    private static string Snake(string name)
    {
        var text = new StringBuilder(name.Length + 4);
        foreach (var c in name)
        {
            if (char.IsUpper(c) && text.Length > 0)
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(c));
        }

        return text.ToString();
    }
}
