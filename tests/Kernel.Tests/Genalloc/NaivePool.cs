using System.Numerics;

namespace Fleet.Kernel.Tests.Genalloc;

/// <summary>Faults that can be planted in <see cref="NaivePool"/>; each must be caught by the comparison.</summary>
public enum PlantedFault
{
    None,
    AvailTestOfRoundedSize,
    OldestChunkFirst,
    BestFitTakesLastTie,
    OrderAlignOfAbsoluteAddress,
    AlignRelativeToChunk,
    AvailOfRawSize,
    TailIsUsable,
}

/// <summary>The rules of kernel-model B.2 in the most literal form: a flag for each granule, brute force.</summary>
internal sealed class NaivePool(ulong granule, PlantedFault planted)
{
    private readonly List<Chunk> _chunks = [];

    private sealed record Chunk(ulong Start, ulong Size, int Owner, bool[] Busy)
    {
        public ulong Avail { get; set; } = Size;
    }

    public ulong Avail => _chunks.Aggregate(0UL, (sum, chunk) => sum + chunk.Avail);

    public void Add(ulong start, ulong size, int owner)
    {
        var granules = (size / granule) + (planted is PlantedFault.TailIsUsable && size % granule != 0 ? 1UL : 0);
        var chunk = new Chunk(start, size, owner, new bool[granules]);
        _chunks.Insert(planted is PlantedFault.OldestChunkFirst ? _chunks.Count : 0, chunk);
    }

    /// <summary>Address and owner, or null.</summary>
    public (ulong Address, int Owner)? Alloc(ulong size, GenPoolAlgorithm algorithm, out int warns)
    {
        warns = 0;
        if (size == 0)
        {
            return null;
        }

        var count = (int)((size + granule - 1) / granule);
        foreach (var chunk in _chunks)
        {
            var tested = planted is PlantedFault.AvailTestOfRoundedSize ? (ulong)count * granule : size;
            if (tested > chunk.Avail)
            {
                continue;
            }

            warns += algorithm.Kind is GenPoolAlgorithmKind.Fixed && algorithm.Bytes % granule != 0 ? 1 : 0;
            if (Choose(chunk, count, algorithm) is not { } index)
            {
                continue;
            }

            Array.Fill(chunk.Busy, true, index, count);
            chunk.Avail -= planted is PlantedFault.AvailOfRawSize ? size : (ulong)count * granule;
            return (chunk.Start + ((ulong)index * granule), chunk.Owner);
        }

        return null;
    }

    /// <summary>Owner, or null for a BUG.</summary>
    public int? Free(ulong address, ulong size)
    {
        var chunk = _chunks.Find(c => address >= c.Start && address - c.Start < c.Size);
        if (chunk is null || address - chunk.Start + size > chunk.Size)
        {
            return null;
        }

        var (first, count) = ((int)((address - chunk.Start) / granule), (int)((size + granule - 1) / granule));
        if (first + count > chunk.Busy.Length || chunk.Busy.AsSpan(first, count).Contains(false))
        {
            return null;
        }

        Array.Fill(chunk.Busy, false, first, count);
        chunk.Avail += (ulong)count * granule;
        return chunk.Owner;
    }

    public IEnumerable<(ulong Start, ulong Avail, string Busy)> State() =>
        _chunks.Select(chunk => (chunk.Start, chunk.Avail, new string([.. chunk.Busy.Select(b => b ? '#' : '.')])));

    private int? Choose(Chunk chunk, int count, GenPoolAlgorithm algorithm)
    {
        var fits = Enumerable.Range(0, Math.Max(0, chunk.Busy.Length - count + 1))
            .Where(i => !chunk.Busy.AsSpan(i, count).Contains(true))
            .ToList();
        switch (algorithm.Kind)
        {
            case GenPoolAlgorithmKind.FirstFit:
                return First(fits);
            case GenPoolAlgorithmKind.FirstFitAlign:
                var unit = (algorithm.Bytes + granule - 1) / granule;
                var offset = planted is PlantedFault.AlignRelativeToChunk
                    ? 0
                    : chunk.Start % algorithm.Bytes / granule;
                return First(fits.Where(i => ((ulong)i + offset) % unit == 0));
            case GenPoolAlgorithmKind.FirstFitOrderAlign:
                var order = BitOperations.RoundUpToPowerOf2((uint)count);
                var skew = planted is PlantedFault.OrderAlignOfAbsoluteAddress ? chunk.Start / granule : 0;
                return First(fits.Where(i => ((ulong)i + skew) % order == 0));
            case GenPoolAlgorithmKind.BestFit:
                var starts = fits.Where(i => i == 0 || chunk.Busy[i - 1]).ToList();
                int Length(int i) =>
                    chunk.Busy.AsSpan(i).IndexOf(true) is var end and >= 0 ? end : chunk.Busy.Length - i;
                return planted is PlantedFault.BestFitTakesLastTie
                    ? First(starts.OrderBy(Length).ThenByDescending(i => i))
                    : First(starts.OrderBy(Length).ThenBy(i => i));
            default:
                return First(fits.Where(i => (ulong)i * granule == algorithm.Bytes));
        }
    }

    private static int? First(IEnumerable<int> indexes) => indexes.Select(i => (int?)i).FirstOrDefault();
}
