namespace Fleet.Kernel;

/// <summary>A free in progress, one atomic step at a time.</summary>
/// <remarks>
/// A mutable value: copying it forks the operation. The bits are cleared before the free count is raised.
/// Concurrency: the stepper belongs to one caller; the pool may be used by any number of them.
/// Source: gen_pool_free_owner of lib/genalloc.c @ v5.4, kernel-model B.2.
/// </remarks>
public struct GenPoolFreeStepper
{
    private readonly GenPool _pool;
    private readonly ulong _address;
    private readonly ulong _sizeBytes;
    private readonly long _count;
    private GenPoolChunk? _chunk;
    private object? _owner;
    private long _first;
    private long _done;
    private GenPoolFault _fault;

    internal GenPoolFreeStepper(GenPool pool, ulong address, ulong sizeBytes)
    {
        _pool = pool;
        _address = address;
        _sizeBytes = sizeBytes;
        _count = pool.GranulesOf(sizeBytes);
        Upcoming = _count == 0 ? GenPoolStep.ReadOwner : GenPoolStep.ClearWord;
    }

    /// <summary>The step that <see cref="Next"/> will do.</summary>
    public GenPoolStep Upcoming { get; private set; }

    public readonly bool IsDone => Upcoming is GenPoolStep.Done;

    /// <summary>The chunk that holds the address; null before the first step.</summary>
    public readonly GenPoolChunk? Chunk => _chunk;

    /// <summary>Index of the first granule to be freed; known after the first step.</summary>
    public readonly long Granule => _first;

    /// <summary>Granules to be freed.</summary>
    public readonly long GranuleCount => _count;

    /// <summary>The outcome; meaningful once <see cref="IsDone"/>.</summary>
    public readonly GenPoolFree Result => new(_owner, _fault);

    /// <summary>Does exactly one atomic step.</summary>
    /// <returns>The step done; <see cref="GenPoolStep.Done"/> when there was nothing left to do.</returns>
    public GenPoolStep Next()
    {
        var step = Upcoming;
        switch (step)
        {
            case GenPoolStep.ClearWord:
                if (_chunk is not null || FindChunk())
                {
                    ClearWord();
                }

                break;

            case GenPoolStep.IncAvail:
                _chunk!.AddAvail(_pool.BytesCounted(_count));
                Upcoming = GenPoolStep.ReadOwner;
                break;

            case GenPoolStep.ReadOwner:
                if (_chunk is not null || FindChunk())
                {
                    _owner = _chunk!.Owner;
                    Upcoming = GenPoolStep.Done;
                }

                break;
        }

        return step;
    }

    /// <summary>Does all remaining steps without a pause.</summary>
    public GenPoolFree Run()
    {
        while (Upcoming is not GenPoolStep.Done)
        {
            Next();
        }

        return Result;
    }

    private bool FindChunk()
    {
        _chunk = _pool.ChunkOf(_address);
        if (_chunk is null)
        {
            return Fail(GenPoolFault.NoChunk);
        }

        if (unchecked(_address + _sizeBytes - 1) > _chunk.End)
        {
            return Fail(GenPoolFault.CrossesChunkEnd);
        }

        _first = (long)((_address - _chunk.Start) >> _pool.Order);
        return true;
    }

    private void ClearWord()
    {
        var bit = _first + _done;
        var mask = GranuleBitmap.MaskOf(bit, _count - _done, out var bits);
        if (!_chunk!.Bitmap.TryClear(bit >> 6, mask))
        {
            Fail(GenPoolFault.NotAllocated);
            return;
        }

        _done += bits;
        Upcoming = _done == _count ? GenPoolStep.IncAvail : GenPoolStep.ClearWord;
    }

    private bool Fail(GenPoolFault fault)
    {
        _fault = fault;
        Upcoming = GenPoolStep.Done;
        return false;
    }
}
