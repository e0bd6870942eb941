using System.Numerics;

namespace Fleet.Kernel;

/// <summary>How wide the counts of a pool are.</summary>
public enum GenPoolArithmetic : byte
{
    /// <summary>64 bits, as from v5.11 on.</summary>
    Bits64,

    /// <summary>
    /// As up to v5.10: the bytes of an allocation are computed in 32 signed bits, so <see cref="GenPool.AvailBytes"/>
    /// is wrong while a block of 2 GiB or more is held, and a chunk of 2^31 granules or more has none that can be
    /// allocated.
    /// </summary>
    Int32AvailWrap,
}

/// <summary>
/// Allocator over address ranges, without locks: every change of a bitmap word is one compare-and-swap.
/// </summary>
/// <remarks>
/// Invariant: two allocations that succeeded and were not freed never overlap. The newest chunk is tried first; an
/// allocation never spans chunks; a request is compared with a chunk's free bytes before it is rounded up.
/// Concurrency: any thread; <see cref="AddOwner"/> one at a time, beside everything else (the kernel's pool lock); the
/// caller of <see cref="Destroy"/> and <see cref="Reset"/> is alone. A concurrent caller may see a failure although
/// space was free at every instant, and free counts that mix instants.
/// Limits: a request of 2^63 granules or more finds nothing. Source: lib/genalloc.c @ v5.4, kernel-model B.2.
/// Differs: BUG and WARN are values; bitmaps grow with use; the granule is a count of bytes, not an order.
/// </remarks>
public sealed class GenPool
{
    /// <summary>What <see cref="ToBusAddress"/> answers for an address that is in no chunk.</summary>
    public const ulong NoBusAddress = ulong.MaxValue;

    private readonly GenPoolArithmetic _arithmetic;
    private readonly byte _order;
    private GenPoolChunk? _newest;
    private GenPoolChunk? _spare;
    private int _chunkCount;

    /// <param name="granuleBytes">Smallest unit of allocation: a power of two, 1 or more; a page for p2pdma.</param>
    public GenPool(ulong granuleBytes, GenPoolArithmetic arithmetic = GenPoolArithmetic.Bits64)
    {
        if (!BitOperations.IsPow2(granuleBytes))
        {
            throw new ArgumentOutOfRangeException(
                nameof(granuleBytes), granuleBytes, "The granule of a pool is a power of two of bytes.");
        }

        _arithmetic = arithmetic;
        _order = (byte)BitOperations.TrailingZeroCount(granuleBytes);
    }

    /// <summary>Smallest unit of allocation, in bytes.</summary>
    public ulong GranuleBytes => 1UL << Order;

    /// <summary>The algorithm of calls that name none; a plain store, seen by calls that begin after it.</summary>
    public GenPoolAlgorithm Algorithm { get; set; }

    /// <summary>Free bytes of all chunks, tails included; no snapshot under concurrency.</summary>
    public ulong AvailBytes
    {
        get
        {
            var sum = 0UL;
            for (var chunk = Newest; chunk is not null; chunk = chunk.Next)
            {
                sum = unchecked(sum + chunk.AvailBytes);
            }

            return sum;
        }
    }

    /// <summary>Raw bytes of all chunks, tails included.</summary>
    public ulong SizeBytes
    {
        get
        {
            var sum = 0UL;
            for (var chunk = Newest; chunk is not null; chunk = chunk.Next)
            {
                sum = unchecked(sum + chunk.SizeBytes);
            }

            return sum;
        }
    }

    /// <summary>All chunks in the order in which they are tried: newest first.</summary>
    public IEnumerable<GenPoolChunk> Chunks
    {
        get
        {
            for (var chunk = Newest; chunk is not null; chunk = chunk.Next)
            {
                yield return chunk;
            }
        }
    }

    internal int Order => _order;

    internal GenPoolChunk? Newest => Volatile.Read(ref _newest);

    /// <summary>Adds a chunk; it is tried before all earlier ones.</summary>
    /// <param name="start">First address.</param>
    /// <param name="phys">Bus address of <paramref name="start"/>.</param>
    /// <param name="sizeBytes">Raw size; not validated, 0 and overlaps included.</param>
    /// <param name="owner">What alloc and free report for this chunk.</param>
    /// <returns><see cref="Errno.ENOMEM"/> when <paramref name="allocation"/> fails; nothing is added then.</returns>
    public Errno AddOwner(
        ulong start, ulong phys, ulong sizeBytes, object? owner, Allocation allocation = Allocation.Succeeds)
    {
        if (allocation is Allocation.Fails)
        {
            return Errno.ENOMEM;
        }

        var chunk = TakeSpare(sizeBytes) ?? new GenPoolChunk();
        chunk.Begin(start, phys, sizeBytes, GranulesUsable(sizeBytes), owner, _chunkCount++);
        chunk.Next = _newest;
        Volatile.Write(ref _newest, chunk);
        return Errno.OK;
    }

    /// <summary>Begins an allocation with the pool's algorithm.</summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 is refused.</param>
    public GenPoolAllocStepper BeginAlloc(ulong sizeBytes) => new(this, sizeBytes, Algorithm);

    /// <summary>Begins an allocation with an algorithm for this call only.</summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 is refused.</param>
    public GenPoolAllocStepper BeginAlloc(ulong sizeBytes, GenPoolAlgorithm algorithm) =>
        new(this, sizeBytes, algorithm);

    /// <summary>Begins a free of the granules that begin at or contain <paramref name="address"/>.</summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 frees nothing and still reports the owner.</param>
    public GenPoolFreeStepper BeginFree(ulong address, ulong sizeBytes) => new(this, address, sizeBytes);

    /// <summary>Allocates with the pool's algorithm, without a pause between the steps.</summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 is refused.</param>
    public GenPoolAlloc AllocOwner(ulong sizeBytes) => new GenPoolAllocStepper(this, sizeBytes, Algorithm).Run();

    /// <summary>Allocates with an algorithm for this call only.</summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 is refused.</param>
    public GenPoolAlloc AllocAlgoOwner(ulong sizeBytes, GenPoolAlgorithm algorithm) =>
        new GenPoolAllocStepper(this, sizeBytes, algorithm).Run();

    /// <summary>Allocates and translates the address for a device.</summary>
    /// <param name="busAddress">Bus address of the block; null when the returned address is 0.</param>
    public GenPoolAlloc DmaAlloc(ulong sizeBytes, out ulong? busAddress) =>
        DmaAlloc(sizeBytes, Algorithm, out busAddress);

    /// <summary>Allocates with an algorithm for this call only and translates the address for a device.</summary>
    /// <param name="busAddress">Bus address of the block; null when the returned address is 0.</param>
    public GenPoolAlloc DmaAlloc(ulong sizeBytes, GenPoolAlgorithm algorithm, out ulong? busAddress)
    {
        var alloc = AllocAlgoOwner(sizeBytes, algorithm);
        busAddress = alloc.Address == 0 ? null : ToBusAddress(alloc.Address);
        return alloc;
    }

    /// <summary>
    /// Frees granules, whatever allocations they belong to, without a pause between the steps; all of them must be
    /// allocated.
    /// </summary>
    /// <param name="sizeBytes">Rounded up to granules; 0 frees nothing and still reports the owner.</param>
    public GenPoolFree FreeOwner(ulong address, ulong sizeBytes) =>
        new GenPoolFreeStepper(this, address, sizeBytes).Run();

    /// <summary>Bus address of <paramref name="address"/>, or <see cref="NoBusAddress"/>.</summary>
    /// <remarks>Source: gen_pool_virt_to_phys.</remarks>
    public ulong ToBusAddress(ulong address) =>
        ChunkOf(address) is { } chunk ? unchecked(chunk.Phys + (address - chunk.Start)) : NoBusAddress;

    /// <summary>Whether the whole range lies in one chunk.</summary>
    /// <remarks>
    /// As in the kernel, a range whose end wraps past 2^64 counts as inside. Source: addr_in_gen_pool.
    /// </remarks>
    public bool Contains(ulong start, ulong sizeBytes) =>
        ChunkOf(start) is { } chunk && unchecked(start + sizeBytes - 1) <= chunk.End;

    /// <summary>Removes all chunks; the caller guarantees that nobody else uses the pool.</summary>
    /// <returns>
    /// <see cref="GenPoolFault.DestroyedBusy"/> when a granule is allocated; the kernel stops there, with that chunk
    /// off the list already.
    /// </returns>
    public GenPoolFault Destroy()
    {
        while (_newest is { } chunk)
        {
            _newest = chunk.Next;
            if (chunk.Bitmap.NextSet(0, chunk.Bitmap.Bits) < chunk.Bitmap.Bits)
            {
                return GenPoolFault.DestroyedBusy;
            }
        }

        return GenPoolFault.None;
    }

    /// <summary>Makes the pool new, whatever is allocated, and keeps its memory for chunks of the same sizes.</summary>
    public void Reset()
    {
        while (_newest is { } chunk)
        {
            _newest = chunk.Next;
            chunk.Next = _spare;
            _spare = chunk;
        }

        _chunkCount = 0;
        Algorithm = default;
    }

    /// <summary>
    /// Folds in what decides the pool's future: chunks in order, their free counts and set bits, the algorithm.
    /// </summary>
    public void HashInto(ref ulong hash)
    {
        StateHash.Mix(ref hash, (ulong)Algorithm.Kind);
        StateHash.Mix(ref hash, Algorithm.Bytes);
        for (var chunk = Newest; chunk is not null; chunk = chunk.Next)
        {
            chunk.HashInto(ref hash);
        }
    }

    internal GenPoolChunk? ChunkOf(ulong address)
    {
        var chunk = Newest;
        while (chunk is not null && !chunk.Contains(address))
        {
            chunk = chunk.Next;
        }

        return chunk;
    }

    /// <summary>Granules that cover <paramref name="sizeBytes"/>; the sum wraps as the kernel's does.</summary>
    /// <remarks>
    /// In 32 bits a negative count is more than any chunk has, as the kernel's searches take it unsigned.
    /// </remarks>
    internal long GranulesOf(ulong sizeBytes)
    {
        var granules = unchecked(sizeBytes + GranuleBytes - 1) >> Order;
        return _arithmetic is GenPoolArithmetic.Int32AvailWrap
            ? unchecked((uint)granules)
            : (long)Math.Min(granules, long.MaxValue);
    }

    /// <summary>Bytes by which the free count changes for so many granules.</summary>
    internal long BytesCounted(long granules) => _arithmetic is GenPoolArithmetic.Int32AvailWrap
        ? unchecked((int)granules << Order)
        : unchecked(granules << Order);

    private long GranulesUsable(ulong sizeBytes)
    {
        var granules = sizeBytes >> Order;
        return _arithmetic is GenPoolArithmetic.Int32AvailWrap
            ? Math.Max(0, unchecked((int)granules))
            : (long)Math.Min(granules, long.MaxValue);
    }

    private GenPoolChunk? TakeSpare(ulong sizeBytes)
    {
        GenPoolChunk? before = null;
        for (var chunk = _spare; chunk is not null; (before, chunk) = (chunk, chunk.Next))
        {
            if (chunk.SizeBytes != sizeBytes)
            {
                continue;
            }

            if (before is null)
            {
                _spare = chunk.Next;
            }
            else
            {
                before.Next = chunk.Next;
            }

            return chunk;
        }

        return null;
    }
}
