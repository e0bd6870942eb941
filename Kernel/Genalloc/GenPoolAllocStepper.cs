namespace Fleet.Kernel;

/// <summary>An allocation in progress, one atomic step at a time, so that a scheduler may interleave others.</summary>
/// <remarks>
/// A mutable value: copying it forks the operation. The bits are set before the free count is lowered.
/// Concurrency: the stepper belongs to one caller; the pool may be used by any number of them.
/// Source: gen_pool_alloc_algo_owner of lib/genalloc.c @ v5.4, kernel-model B.2.
/// </remarks>
public struct GenPoolAllocStepper
{
    private readonly GenPool _pool;
    private readonly GenPoolAlgorithm _algorithm;
    private readonly ulong _sizeBytes;
    private readonly long _count;
    private GenPoolChunk? _chunk;
    private object? _owner;
    private long _start;
    private long _done;
    private long _undone;
    private int _warns;
    private bool _taken;
    private GenPoolFault _fault;

    internal GenPoolAllocStepper(GenPool pool, ulong sizeBytes, GenPoolAlgorithm algorithm)
    {
        _pool = pool;
        _algorithm = algorithm;
        _sizeBytes = sizeBytes;
        _count = pool.GranulesOf(sizeBytes);
        Upcoming = sizeBytes == 0 ? GenPoolStep.Done : GenPoolStep.AvailTest;
    }

    /// <summary>The step that <see cref="Next"/> will do.</summary>
    public GenPoolStep Upcoming { get; private set; }

    public readonly bool IsDone => Upcoming is GenPoolStep.Done;

    /// <summary>The chunk being tried; null before the first step.</summary>
    public readonly GenPoolChunk? Chunk => _chunk;

    /// <summary>Index of the granule found by the last search.</summary>
    public readonly long Granule => _start;

    /// <summary>Granules wanted.</summary>
    public readonly long GranuleCount => _count;

    /// <summary>The outcome; meaningful once <see cref="IsDone"/>.</summary>
    public readonly GenPoolAlloc Result => _taken
        ? new(_chunk!.Start + ((ulong)_start << _pool.Order), true, _chunk, _owner, _warns, GenPoolFault.None)
        : new(0, false, null, null, _warns, _fault);

    /// <summary>Does exactly one atomic step.</summary>
    /// <returns>The step done; <see cref="GenPoolStep.Done"/> when there was nothing left to do.</returns>
    public GenPoolStep Next()
    {
        var step = Upcoming;
        switch (step)
        {
            case GenPoolStep.AvailTest:
                _chunk = _chunk is null ? _pool.Newest : _chunk.Next;
                if (_chunk is null)
                {
                    Upcoming = GenPoolStep.Done;
                }
                else if (_sizeBytes > _chunk.AvailBytes)
                {
                    NextChunk();
                }
                else
                {
                    _start = 0;
                    Upcoming = GenPoolStep.Search;
                }

                break;

            case GenPoolStep.Search:
                // Starts at the place that collided, if one did: the search never goes back to 0.
                _start = _algorithm.Search(_chunk!, _start, _count, _pool.Order, ref _warns);
                _done = 0;
                Upcoming = GenPoolStep.SetWord;
                if (_start >= _chunk!.GranuleCount)
                {
                    NextChunk();
                }

                break;

            case GenPoolStep.SetWord:
                SetWord();
                break;

            case GenPoolStep.RollbackWord:
                RollbackWord();
                break;

            case GenPoolStep.DecAvail:
                _chunk!.AddAvail(-_pool.BytesCounted(_count));
                Upcoming = GenPoolStep.ReadOwner;
                break;

            case GenPoolStep.ReadOwner:
                _owner = _chunk!.Owner;
                _taken = true;
                Upcoming = GenPoolStep.Done;
                break;
        }

        return step;
    }

    /// <summary>Does all remaining steps without a pause.</summary>
    public GenPoolAlloc Run()
    {
        while (Upcoming is not GenPoolStep.Done)
        {
            Next();
        }

        return Result;
    }

    private void NextChunk() => Upcoming = _chunk!.Next is null ? GenPoolStep.Done : GenPoolStep.AvailTest;

    private void SetWord()
    {
        var bit = _start + _done;
        var mask = GranuleBitmap.MaskOf(bit, _count - _done, out var bits);
        if (_chunk!.Bitmap.TrySet(bit >> 6, mask))
        {
            _done += bits;
            Upcoming = _done == _count ? GenPoolStep.DecAvail : GenPoolStep.SetWord;
        }
        else
        {
            _undone = 0;
            Upcoming = _done == 0 ? GenPoolStep.Search : GenPoolStep.RollbackWord;
        }
    }

    private void RollbackWord()
    {
        var bit = _start + _undone;
        var mask = GranuleBitmap.MaskOf(bit, _done - _undone, out var bits);
        if (!_chunk!.Bitmap.TryClear(bit >> 6, mask))
        {
            _fault = GenPoolFault.RollbackMissed;
            Upcoming = GenPoolStep.Done;
            return;
        }

        _undone += bits;
        Upcoming = _undone == _done ? GenPoolStep.Search : GenPoolStep.RollbackWord;
    }
}
