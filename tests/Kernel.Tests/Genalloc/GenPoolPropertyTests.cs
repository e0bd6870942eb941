using CsCheck;

namespace Fleet.Kernel.Tests.Genalloc;

[Trait("tier", "fast")]
public sealed class GenPoolPropertyTests
{
    private const ulong Granule = 16;

    private static readonly Gen<GenPoolAlgorithm> Algorithms = Gen.OneOf(
        Gen.Const(GenPoolAlgorithm.FirstFit),
        Gen.Const(GenPoolAlgorithm.BestFit),
        Gen.Const(GenPoolAlgorithm.FirstFitOrderAlign),
        Gen.Int[0, 9].Select(order => GenPoolAlgorithm.FirstFitAlign(1UL << order)),
        Gen.ULong[0, 90].Select(index => GenPoolAlgorithm.Fixed(index * Granule)),
        Gen.ULong[0, 90 * Granule].Select(GenPoolAlgorithm.Fixed));

    private static readonly Gen<Chunk> Chunks =
        Gen.Select(Gen.ULong[0, 40], Gen.ULong[0, 100 * Granule], (skew, size) => new Chunk(skew * Granule, size));

    private static readonly Gen<Command> Commands = Gen.Select(
        Gen.Bool,
        Gen.Frequency((8, Gen.ULong[0, 6 * Granule]), (1, Gen.ULong[0, 80 * Granule])),
        Algorithms,
        Gen.Int[0, 1000],
        (isAlloc, size, algorithm, pick) => new Command(isAlloc, size, algorithm, pick));

    private static readonly Gen<(Chunk[] Chunks, Command[] Commands)> Cases =
        Gen.Select(Chunks.Array[1, 3], Commands.Array[1, 60]);

    private sealed record Chunk(ulong Skew, ulong Size);

    private sealed record Command(bool IsAlloc, ulong Size, GenPoolAlgorithm Algorithm, int Pick);

    // Goal: every algorithm picks exactly the place of the rules, no two allocations overlap, free counts are exact.
    // Method: a pool of flags searched by brute force does the same and must agree after every operation.
    [Fact]
    public void The_pool_agrees_with_brute_force() =>
        Cases.Sample(sample => Compare(sample.Chunks, sample.Commands, PlantedFault.None), iter: 3000, threads: 1);

    // Goal: the comparison above has teeth.
    [Theory]
    [InlineData(PlantedFault.AvailTestOfRoundedSize)]
    [InlineData(PlantedFault.OldestChunkFirst)]
    [InlineData(PlantedFault.BestFitTakesLastTie)]
    [InlineData(PlantedFault.OrderAlignOfAbsoluteAddress)]
    [InlineData(PlantedFault.AlignRelativeToChunk)]
    [InlineData(PlantedFault.AvailOfRawSize)]
    [InlineData(PlantedFault.TailIsUsable)]
    public void A_planted_fault_is_caught(PlantedFault planted) =>
        Assert.Throws<CsCheckException>(() => Cases.Sample(
            sample => Compare(sample.Chunks, sample.Commands, planted), iter: 20_000, threads: 1));

    private static bool Compare(Chunk[] chunks, Command[] commands, PlantedFault planted)
    {
        var pool = new GenPool(Granule);
        var naive = new NaivePool(Granule, planted);
        for (var i = 0; i < chunks.Length; i++)
        {
            var start = ((ulong)(i + 1) << 20) + chunks[i].Skew;
            pool.AddOwner(start, 0, chunks[i].Size, i);
            naive.Add(start, chunks[i].Size, i);
        }

        var live = new List<(ulong Address, ulong Size)>();
        foreach (var command in commands)
        {
            if (command.IsAlloc)
            {
                var got = pool.AllocAlgoOwner(command.Size, command.Algorithm);
                var expected = naive.Alloc(command.Size, command.Algorithm, out var warns);
                if (got.Succeeded != expected.HasValue || got.Warns != warns
                    || (got.Succeeded && ((got.Address, (int)got.Owner!) != expected!.Value)))
                {
                    return false;
                }

                if (got.Succeeded)
                {
                    live.Add((got.Address, command.Size));
                }
            }
            else if (live.Count > 0)
            {
                var index = command.Pick % live.Count;
                var (address, size) = live[index];
                live.RemoveAt(index);
                if ((int?)pool.FreeOwner(address, size).Owner != naive.Free(address, size))
                {
                    return false;
                }
            }

            if (pool.AvailBytes != naive.Avail || !pool.Chunks.Select(State).SequenceEqual(naive.State()))
            {
                return false;
            }
        }

        return true;
    }

    private static (ulong Start, ulong Avail, string Busy) State(GenPoolChunk chunk)
    {
        var busy = new char[chunk.GranuleCount];
        Array.Fill(busy, '.');
        foreach (var run in chunk.BusyRuns())
        {
            Array.Fill(busy, '#', (int)run.First, (int)run.Count);
        }

        return (chunk.Start, chunk.AvailBytes, new string(busy));
    }
}
