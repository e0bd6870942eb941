namespace Fleet.Simulation.Cluster;

/// <summary>Something that happens at an instant of virtual time.</summary>
internal abstract class Occurrence
{
    public abstract void Happen();
}

/// <summary>The virtual clock and everything that is still to come, in order.</summary>
/// <remarks>
/// Invariant: what is due at the same instant happens in the order in which it was asked for. Concurrency: one thread.
/// A heap with four children: one level less of two for the few thousand entries of a run.
/// </remarks>
internal sealed class Timeline
{
    private const int Children = 4;

    private Entry[] _heap = new Entry[256];
    private int _count;
    private long _order;

    private struct Entry
    {
        public long AtNs;
        public long Order;
        public Occurrence What;

        public readonly bool IsBefore(in Entry other) =>
            AtNs < other.AtNs || (AtNs == other.AtNs && Order < other.Order);
    }

    public long NowNs { get; private set; }

    /// <summary>Occurrences so far.</summary>
    public long Happened { get; private set; }

    public void After(long delayNs, Occurrence what) => At(NowNs + Math.Max(0, delayNs), what);

    public void After(long delayNs, Action what) => After(delayNs, new Deed(what));

    public void At(long atNs, Occurrence what)
    {
        if (_count == _heap.Length)
        {
            Array.Resize(ref _heap, _count * 2);
        }

        var entry = new Entry { AtNs = Math.Max(atNs, NowNs), Order = _order++, What = what };
        var place = _count++;
        while (place > 0)
        {
            var parent = (place - 1) / Children;
            if (!entry.IsBefore(_heap[parent]))
            {
                break;
            }

            _heap[place] = _heap[parent];
            place = parent;
        }

        _heap[place] = entry;
    }

    /// <returns>False when nothing is left to come.</returns>
    public bool Step()
    {
        if (_count == 0)
        {
            return false;
        }

        var first = _heap[0];
        Remove();
        NowNs = first.AtNs;
        Happened++;
        first.What.Happen();
        return true;
    }

    /// <summary>Lets everything happen that is due by an instant, and the time pass until then.</summary>
    public void RunUntil(long atNs)
    {
        while (_count > 0 && _heap[0].AtNs <= atNs)
        {
            Step();
        }

        NowNs = Math.Max(NowNs, atNs);
    }

    private void Remove()
    {
        var last = _heap[--_count];
        _heap[_count] = default;
        if (_count == 0)
        {
            return;
        }

        var place = 0;
        while (true)
        {
            var child = (place * Children) + 1;
            if (child >= _count)
            {
                break;
            }

            var least = child;
            for (var other = child + 1; other < Math.Min(child + Children, _count); other++)
            {
                if (_heap[other].IsBefore(_heap[least]))
                {
                    least = other;
                }
            }

            if (!_heap[least].IsBefore(last))
            {
                break;
            }

            _heap[place] = _heap[least];
            place = least;
        }

        _heap[place] = last;
    }

    private sealed class Deed(Action what) : Occurrence
    {
        public override void Happen() => what();
    }
}
