namespace Fleet.Kernel.Host;

/// <summary>One atomic step of a procedure; a scheduler may let others run before each.</summary>
/// <remarks>Source: kernel-model C.10 (the letter is given where it has one), scenarios.md 3.2.</remarks>
public enum Step : byte
{
    None,

    /// <summary>a: enter the RCU read section.</summary>
    RcuEnter,

    /// <summary>g: leave it.</summary>
    RcuExit,

    /// <summary>b: read the p2pdma field and test it for NULL.</summary>
    FieldTest,

    /// <summary>c: read the p2pdma field to reach the pool.</summary>
    FieldUse,

    /// <summary>d: one step of the allocator.</summary>
    PoolAvail,
    PoolSearch,
    PoolSetWord,
    PoolRollback,
    PoolAvailDec,
    PoolOwner,
    PoolClearWord,
    PoolAvailInc,

    /// <summary>e: tryget_live reads the flag word.</summary>
    RefFlags,

    /// <summary>e: tryget_live increments, as the flag word told it to.</summary>
    RefIncrement,
    RefGet,
    RefPut,

    /// <summary>k</summary>
    Kill,

    /// <summary>p: drop one page's reference.</summary>
    PutPage,

    /// <summary>w</summary>
    WaitReaped,

    /// <summary>x</summary>
    RefExit,

    /// <summary>The pgmap's ref pointer is reset after the exit.</summary>
    ResetRefPointer,

    /// <summary>r</summary>
    MemoryRemove,

    /// <summary>m</summary>
    MapErase,

    /// <summary>q</summary>
    Synchronize,

    /// <summary>Memory of one object is freed.</summary>
    FreeObject,

    /// <summary>n: the p2pdma field becomes NULL.</summary>
    FieldClear,
    FieldSet,

    /// <summary>z</summary>
    PoolDestroy,

    /// <summary>s</summary>
    SysfsRemove,
    SysfsCreate,
    SysfsOpen,
    SysfsPool,
    SysfsWalk,
    BindBegin,
    BindEnd,
    UnbindBegin,
    UnbindEnd,
    ObjectAlloc,
    PoolCreate,
    RefInit,
    DevresTake,
    Validate,
    Conflict,
    MapStore,
    MemoryAdd,
    PagesInit,
    ChunkAdd,
    MapLoad,
    ReadRefPointer,
    PagePutCount,
    PageBackptr,
    PageGet,
    Access,
    PageInsert,
    RevokeMappings,
    QueueFreeze,
    QueueWait,
    QueueExit,
    QueuePut,
    IoAccess,
    DiskRemove,
    Unmap,
    SwitchCallback,

    /// <summary>The queue counts per CPU from here on.</summary>
    QueueRegister,
    DiskOpen,
    DiskClose,
    RegionRequest,
    RegionRelease,

    /// <summary>A page changes hands through a user mapping: zapped from it, or counted for it.</summary>
    PageUnmap,

    /// <summary>A kill becomes visible to the other CPUs.</summary>
    ShowKill,
}
