namespace Fleet.Kernel;

/// <summary>How a free place is chosen inside one chunk.</summary>
public enum GenPoolAlgorithmKind : byte
{
    /// <summary>The lowest place.</summary>
    FirstFit,

    /// <summary>The lowest place whose absolute address is a multiple of the alignment.</summary>
    FirstFitAlign,

    /// <summary>
    /// The lowest place whose index is a multiple of the request rounded up to a power of two; relative to the chunk.
    /// </summary>
    FirstFitOrderAlign,

    /// <summary>The smallest run that is long enough; the lowest of equal ones.</summary>
    BestFit,

    /// <summary>One given place of each chunk or nothing.</summary>
    Fixed,
}

/// <summary>An algorithm with its parameter; <c>default</c> is first fit, the kernel's own default.</summary>
/// <remarks>Source: gen_pool_first_fit and its siblings in lib/genalloc.c @ v5.4, kernel-model B.2.</remarks>
/// <param name="Kind">Which rule.</param>
/// <param name="Bytes">Alignment of <see cref="FirstFitAlign"/> or offset of <see cref="Fixed"/>; else 0.</param>
public readonly record struct GenPoolAlgorithm(GenPoolAlgorithmKind Kind, ulong Bytes = 0)
{
    public static GenPoolAlgorithm FirstFit => default;

    public static GenPoolAlgorithm BestFit => new(GenPoolAlgorithmKind.BestFit);

    public static GenPoolAlgorithm FirstFitOrderAlign => new(GenPoolAlgorithmKind.FirstFitOrderAlign);

    /// <param name="alignBytes">Power of two; below a granule it has no effect. 0 finds nothing, as in the
    /// kernel.</param>
    public static GenPoolAlgorithm FirstFitAlign(ulong alignBytes) =>
        new(GenPoolAlgorithmKind.FirstFitAlign, alignBytes);

    /// <param name="offsetBytes">From the start of each chunk; not a multiple of the granule: a warning and no
    /// place.</param>
    public static GenPoolAlgorithm Fixed(ulong offsetBytes) => new(GenPoolAlgorithmKind.Fixed, offsetBytes);

    /// <summary>
    /// Index of a place for <paramref name="count"/> granules at or after <paramref name="from"/>, or the chunk's
    /// granule count.
    /// </summary>
    internal long Search(GenPoolChunk chunk, long from, long count, int order, ref int warns) => Kind switch
    {
        GenPoolAlgorithmKind.FirstFit => chunk.Bitmap.FindZeroArea(from, count),
        GenPoolAlgorithmKind.FirstFitAlign => Align(chunk, from, count, order),
        GenPoolAlgorithmKind.FirstFitOrderAlign =>
            chunk.Bitmap.FindZeroArea(from, count, System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)count) - 1),
        GenPoolAlgorithmKind.BestFit => Best(chunk, from, count),
        _ => At(chunk, from, count, order, ref warns),
    };

    private static long Best(GenPoolChunk chunk, long from, long count)
    {
        ref var bitmap = ref chunk.Bitmap;
        var (best, shortest) = (bitmap.Bits, long.MaxValue);
        var index = bitmap.FindZeroArea(from, count);
        while (index < bitmap.Bits)
        {
            var end = bitmap.NextSet(index + count, bitmap.Bits);
            if (end - index < shortest)
            {
                (best, shortest) = (index, end - index);
                if (shortest == count)
                {
                    break;
                }
            }

            index = bitmap.FindZeroArea(end + 1, count);
        }

        return best;
    }

    private long Align(GenPoolChunk chunk, long from, long count, int order)
    {
        var granule = 1UL << order;
        var mask = unchecked(((Bytes + granule - 1) >> order) - 1);
        return chunk.Bitmap.FindZeroArea(from, count, mask, (chunk.Start & unchecked(Bytes - 1)) >> order);
    }

    private long At(GenPoolChunk chunk, long from, long count, int order, ref int warns)
    {
        if ((Bytes & ((1UL << order) - 1)) != 0)
        {
            warns++;
            return chunk.GranuleCount;
        }

        // The search starts at "from" plus the offset, so a retry after a lost collision never hits the offset again.
        var index = Bytes >> order;
        if (index >= (ulong)chunk.GranuleCount)
        {
            return chunk.GranuleCount;
        }

        return chunk.Bitmap.FindZeroArea(from + (long)index, count) == (long)index ? (long)index : chunk.GranuleCount;
    }
}
