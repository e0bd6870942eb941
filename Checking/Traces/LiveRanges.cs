namespace Fleet.Checking.Traces;

/// <summary>Allocated addresses as disjoint ranges in ascending order; an allocation may be freed in parts.</summary>
internal sealed class LiveRanges
{
    private readonly List<LiveRange> _ranges = [];

    public int Count => _ranges.Count;

    public IReadOnlyList<LiveRange> All => _ranges;

    /// <summary>Returns a live range that shares an address with the given one.</summary>
    public bool TryOverlap(ulong first, ulong last, out LiveRange overlap)
    {
        var at = IndexFrom(first);
        overlap = at < _ranges.Count ? _ranges[at] : default;
        return at < _ranges.Count && overlap.First <= last;
    }

    public void Add(LiveRange range) => _ranges.Insert(IndexFrom(range.First), range);

    /// <summary>
    /// Takes addresses out; false when not all of them were live, and then what was live is taken out.
    /// </summary>
    public bool TryRemove(ulong first, ulong last)
    {
        var at = IndexFrom(first);
        var (next, whole) = (first, true);
        while (at < _ranges.Count && _ranges[at].First <= last)
        {
            var range = _ranges[at];
            whole &= range.First <= next;
            _ranges.RemoveAt(at);
            if (range.First < first)
            {
                _ranges.Insert(at++, range with { Last = first - 1 });
            }

            if (range.Last >= last)
            {
                if (range.Last > last)
                {
                    _ranges.Insert(at, range with { First = last + 1 });
                }

                return whole;
            }

            next = range.Last + 1;
        }

        return false;
    }

    /// <summary>Index of the first range that ends at or after an address.</summary>
    private int IndexFrom(ulong address)
    {
        var (low, high) = (0, _ranges.Count);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_ranges[middle].Last < address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}

/// <summary>Addresses that one allocation gave, both ends inclusive.</summary>
internal readonly record struct LiveRange(ulong First, ulong Last, long Line, TracedTask Task);
