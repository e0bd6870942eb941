namespace Fleet.Kernel;

/// <summary>What the kernel would have stopped for with BUG.</summary>
public enum GenPoolFault : byte
{
    None,

    /// <summary>The address lies in no chunk.</summary>
    NoChunk,

    /// <summary>The block begins in a chunk and ends beyond its last byte.</summary>
    CrossesChunkEnd,

    /// <summary>A granule to be freed is free already: freed twice, wrong size or wrong address.</summary>
    NotAllocated,

    /// <summary>
    /// A lost collision could not be rolled back, because somebody freed granules that were being allocated.
    /// </summary>
    RollbackMissed,

    /// <summary>The pool was destroyed with granules still allocated.</summary>
    DestroyedBusy,
}

/// <summary>Outcome of an allocation.</summary>
/// <param name="Address">What the kernel returns: 0 for failure, and also for success at the start of a chunk at
/// address 0.</param>
/// <param name="Succeeded">Tells these two apart.</param>
/// <param name="Chunk">Where it was found; null on failure.</param>
/// <param name="Owner">Owner of that chunk; null on failure.</param>
/// <param name="Warns">Kernel warnings raised: one for each chunk tried with a fixed offset that is no granule
/// multiple.</param>
/// <param name="Fault">Not <see cref="GenPoolFault.None"/>: the kernel stopped here.</param>
public readonly record struct GenPoolAlloc(
    ulong Address, bool Succeeded, GenPoolChunk? Chunk, object? Owner, int Warns, GenPoolFault Fault);

/// <summary>Outcome of a free.</summary>
/// <param name="Owner">Owner of the chunk; null when it has none and on a fault.</param>
/// <param name="Fault">Not <see cref="GenPoolFault.None"/>: the kernel stopped here.</param>
public readonly record struct GenPoolFree(object? Owner, GenPoolFault Fault);

/// <summary>The atomic steps of which alloc and free are made.</summary>
/// <remarks>
/// Source: kernel-model C.10, letter d; events bits_set, bits_clear, bits_rollback, avail_dec, avail_inc.
/// </remarks>
public enum GenPoolStep : byte
{
    /// <summary>
    /// Compare the request with the free count of a chunk; the first one also finds the newest chunk.
    /// </summary>
    AvailTest,

    /// <summary>Look for a place in the bitmap.</summary>
    Search,

    /// <summary>Set the wanted bits of one word, or collide.</summary>
    SetWord,

    /// <summary>Clear what was set in one word before the collision.</summary>
    RollbackWord,

    /// <summary>Lower the free count.</summary>
    DecAvail,

    /// <summary>Clear the bits of one word; the first one also finds the chunk.</summary>
    ClearWord,

    /// <summary>Raise the free count.</summary>
    IncAvail,

    /// <summary>Read the owner of the chunk.</summary>
    ReadOwner,

    /// <summary>Nothing is left to do.</summary>
    Done,
}
