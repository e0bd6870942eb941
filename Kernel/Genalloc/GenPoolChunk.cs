namespace Fleet.Kernel;

/// <summary>
/// One contiguous address range of a <see cref="GenPool"/> with its own bitmap, free count and owner.
/// </summary>
/// <remarks>
/// Invariant, when nobody is inside an alloc or free: <see cref="AvailBytes"/> = <see cref="SizeBytes"/> minus the
/// bytes of the set granules. A tail shorter than a granule counts in both and can never be allocated.
/// Concurrency: any thread; a chunk is only removed by <see cref="GenPool.Destroy"/> and <see cref="GenPool.Reset"/>.
/// Source: struct gen_pool_chunk of lib/genalloc.c @ v5.4, kernel-model B.2.
/// </remarks>
public sealed class GenPoolChunk
{
    internal GranuleBitmap Bitmap;
    internal GenPoolChunk? Next;
    private long _availBytes;

    internal GenPoolChunk()
    {
    }

    /// <summary>First address.</summary>
    public ulong Start { get; private set; }

    /// <summary>Last address, inclusive.</summary>
    public ulong End { get; private set; }

    /// <summary>What <see cref="GenPool.ToBusAddress"/> gives for <see cref="Start"/>.</summary>
    public ulong Phys { get; private set; }

    /// <summary>Raw bytes as added, tail included.</summary>
    public ulong SizeBytes { get; private set; }

    /// <summary>What alloc and free report for addresses of this chunk; null when none was given.</summary>
    /// <remarks>A bare pointer in the kernel: the chunk does not keep it alive (kernel-model A.2, R2).</remarks>
    public object? Owner { get; private set; }

    /// <summary>Place in the order of adding, from 0.</summary>
    public int Number { get; private set; }

    /// <summary>Granules that can be allocated.</summary>
    public long GranuleCount => Bitmap.Bits;

    /// <summary>Free bytes as counted; between the steps of an alloc or free it may differ from the bitmap.</summary>
    public ulong AvailBytes => unchecked((ulong)Volatile.Read(ref _availBytes));

    /// <summary>Memory of the bitmap, in bytes.</summary>
    public long BitmapHeldBytes => Bitmap.HeldBytes;

    /// <summary>The runs of occupied granules, lowest first.</summary>
    public IEnumerable<GranuleRun> BusyRuns()
    {
        for (var first = Bitmap.NextSet(0, Bitmap.Bits); first < Bitmap.Bits;)
        {
            var end = Bitmap.NextZero(first);
            yield return new(first, end - first);
            first = Bitmap.NextSet(end, Bitmap.Bits);
        }
    }

    internal void Begin(ulong start, ulong phys, ulong sizeBytes, long granules, object? owner, int number)
    {
        if (Bitmap.Bits == granules && SizeBytes == sizeBytes && sizeBytes != 0)
        {
            Bitmap.Clear();
        }
        else
        {
            Bitmap.Shape(granules);
        }

        Start = start;
        End = unchecked(start + sizeBytes - 1);
        Phys = phys;
        SizeBytes = sizeBytes;
        Owner = owner;
        Number = number;
        _availBytes = unchecked((long)sizeBytes);
    }

    internal void AddAvail(long bytes) => Interlocked.Add(ref _availBytes, bytes);

    internal bool Contains(ulong address) => address >= Start && address <= End;

    internal void HashInto(ref ulong hash)
    {
        StateHash.Mix(ref hash, Start);
        StateHash.Mix(ref hash, AvailBytes);
        Bitmap.HashInto(ref hash);
    }
}

/// <summary>A run of occupied granules of a chunk.</summary>
/// <param name="First">Granule number from the start of the chunk.</param>
/// <param name="Count">Granules, at least 1.</param>
public readonly record struct GranuleRun(long First, long Count);
