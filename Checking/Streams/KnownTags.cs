using System.Numerics;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Checking.Streams;

/// <summary>
/// What was written to a page last, and by whom; and before that by the allocation it was taken from.
/// </summary>
internal struct PageTag
{
    public AllocId Alloc;
    public ulong Tag;
    public AllocId EarlierAlloc;
    public ulong EarlierTag;
}

/// <summary>What is known of the contents of one map's pages.</summary>
/// <remarks>
/// One array, since each object more is a cache line more of a map that was not used for long: the first few pages are
/// looked through, as of live allocations, and more of them are hashed into it. Source: docs/decisions/0145, 0146.
/// </remarks>
internal struct KnownTags
{
    private const int FewMax = 8;

    /// <summary>Pages that lie side by side are mostly asked for one after the other: as many of them keep their
    /// order.</summary>
    private const int GroupBits = 3;
    private const ulong GroupMask = (1 << GroupBits) - 1;

    /// <summary>2^64 over the golden ratio: pages that lie evenly far apart are spread too.</summary>
    private const ulong Spread = 0x9E37_79B9_7F4A_7C15;

    /// <summary>Its length is a power of two; up to the few, those in use come first.</summary>
    private Known[]? _known;
    private int _count;

    private struct Known
    {
        public ulong Pfn;
        public bool IsUsed;
        public PageTag Tag;
    }

    /// <summary>Of a page that is not known: the default.</summary>
    public readonly PageTag this[ulong pfn]
    {
        get
        {
            var place = PlaceOf(pfn);
            return place >= 0 && _known![place].IsUsed ? _known[place].Tag : default;
        }
    }

    public readonly void AddTo(ReachedObjects reached) => reached.Add(_known);

    /// <summary>The place of a page's tag, made where there is none; valid until the next call.</summary>
    public ref PageTag Note(ulong pfn)
    {
        var place = PlaceOf(pfn);
        if (place < 0 || !_known![place].IsUsed)
        {
            place = Add(pfn, place);
        }

        return ref _known![place].Tag;
    }

    /// <summary>Nothing is known any more of the pages of a range.</summary>
    public void Forget(ulong first, ulong count)
    {
        var known = _known;
        (_known, _count) = (null, 0);
        foreach (var one in known ?? [])
        {
            if (one.IsUsed && unchecked(one.Pfn - first) >= count)
            {
                Note(one.Pfn) = one.Tag;
            }
        }
    }

    /// <summary>Where a page is, or where it would be; -1 where there is no place for it.</summary>
    private readonly int PlaceOf(ulong pfn)
    {
        if (_known is not { } known)
        {
            return -1;
        }

        var mask = known.Length - 1;
        var place = known.Length <= FewMax ? 0 : HomeOf(pfn, BitOperations.Log2((uint)known.Length));
        for (var i = 0; i <= mask; i++, place = (place + 1) & mask)
        {
            if (!known[place].IsUsed || known[place].Pfn == pfn)
            {
                return place;
            }
        }

        return -1;
    }

    private static int HomeOf(ulong pfn, int bits)
    {
        var group = (int)(unchecked((pfn >> GroupBits) * Spread) >> (64 + GroupBits - bits));
        return (group << GroupBits) + (int)(pfn & GroupMask);
    }

    /// <param name="place">Where it would be; one past the most that are hashed there has none.</param>
    private int Add(ulong pfn, int place)
    {
        var length = _known?.Length ?? 0;
        if (place < 0 || (length > FewMax && (_count + 1) * 4 > length * 3))
        {
            Grow();
            place = PlaceOf(pfn);
        }

        (_known![place].Pfn, _known[place].IsUsed) = (pfn, true);
        _count++;
        return place;
    }

    private void Grow()
    {
        var known = _known ?? [];
        _known = new Known[Math.Max(1, 2 * known.Length)];
        foreach (var one in known)
        {
            if (one.IsUsed)
            {
                _known[PlaceOf(one.Pfn)] = one;
            }
        }
    }
}
