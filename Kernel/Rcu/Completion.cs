namespace Fleet.Kernel;

/// <summary>An event that somebody waits for: counted when completed singly, latched when completed for all.</summary>
/// <remarks>
/// Concurrency: one turn. The waiter is the caller's: it waits until <see cref="TryWait"/> answers true.
/// Source: kernel/sched/completion.c; kernel-model A.1.
/// </remarks>
public sealed class Completion
{
    private const uint Latched = uint.MaxValue;
    private uint _done;

    /// <summary>Whether a wait would go through now.</summary>
    public bool IsDone => _done != 0;

    /// <summary>Whether every wait goes through until <see cref="Reinit"/>.</summary>
    public bool IsLatched => _done == Latched;

    /// <summary>Lets one wait through.</summary>
    public void Complete()
    {
        if (_done != Latched)
        {
            _done++;
        }
    }

    /// <summary>Lets every wait through, now and later.</summary>
    public void CompleteAll() => _done = Latched;

    /// <summary>Goes through if it may, using up one completion unless latched.</summary>
    public bool TryWait()
    {
        if (_done == 0)
        {
            return false;
        }

        if (_done != Latched)
        {
            _done--;
        }

        return true;
    }

    /// <summary>Makes it new: nothing is completed.</summary>
    public void Reinit() => _done = 0;

    public void HashInto(ref ulong hash) => StateHash.Mix(ref hash, (ulong)_done);
}
