namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>Pools of 4 KiB granules in the forms of the unit table: one chunk with given granules occupied.</summary>
internal static class PoolUnderTest
{
    public const ulong Granule = 4096;
    public const ulong Base = 0x100_0000;

    public static GenPool With(int granules, int[] occupied, ulong start = Base, object? owner = null)
    {
        var pool = new GenPool(Granule);
        Assert.Equal(Errno.OK, pool.AddOwner(start, 0x9000_0000, (ulong)granules * Granule, owner));
        foreach (var granule in occupied)
        {
            Assert.True(pool.AllocAlgoOwner(1, GenPoolAlgorithm.Fixed((ulong)granule * Granule)).Succeeded);
        }

        return pool;
    }

    /// <summary>
    /// Index of the granule at which an allocation landed in a pool of one chunk; null when it failed.
    /// </summary>
    public static long? Index(this GenPoolAlloc alloc) =>
        alloc.Succeeded ? (long)((alloc.Address - alloc.Chunk!.Start) / Granule) : null;

    public static long? Index(this GenPool pool, int granules, GenPoolAlgorithm algorithm) =>
        pool.AllocAlgoOwner((ulong)granules * Granule, algorithm).Index();
}
