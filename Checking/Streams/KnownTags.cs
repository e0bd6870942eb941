using System.Runtime.InteropServices;
using Fleet.Kernel.History;

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
/// The first few pages lie in one array that is looked through, as of live allocations: most maps never have more, and
/// a table is four cache lines of a map that was not used for long. Source: docs/decisions/0145.
/// </remarks>
internal struct KnownTags
{
    private const int FewMax = 8;

    private Known[]? _few;
    private int _count;
    private Dictionary<ulong, PageTag>? _many;

    private struct Known
    {
        public ulong Pfn;
        public PageTag Tag;
    }

    /// <summary>Of a page that is not known: the default.</summary>
    public readonly PageTag this[ulong pfn]
    {
        get
        {
            if (_many is not null)
            {
                return _many.GetValueOrDefault(pfn);
            }

            var place = PlaceOf(pfn);
            return place < 0 ? default : _few![place].Tag;
        }
    }

    /// <summary>The place of a page's tag, made where there is none; valid until the next call.</summary>
    public ref PageTag Note(ulong pfn)
    {
        if (_many is null)
        {
            var place = PlaceOf(pfn);
            if (place >= 0)
            {
                return ref _few![place].Tag;
            }

            if (_count < FewMax)
            {
                if (_few is null || _count == _few.Length)
                {
                    Array.Resize(ref _few, Math.Max(1, 2 * _count));
                }

                _few[_count].Pfn = pfn;
                return ref _few[_count++].Tag;
            }

            _many = new(2 * FewMax);
            foreach (var known in _few!)
            {
                _many.Add(known.Pfn, known.Tag);
            }

            _few = null;
        }

        return ref CollectionsMarshal.GetValueRefOrAddDefault(_many, pfn, out _)!;
    }

    /// <summary>Nothing is known any more of the pages of a range.</summary>
    public void Forget(ulong first, ulong count)
    {
        if (_many is not null)
        {
            foreach (var pfn in _many.Keys.Where(pfn => unchecked(pfn - first) < count).ToList())
            {
                _many.Remove(pfn);
            }

            return;
        }

        for (var i = _count - 1; i >= 0; i--)
        {
            if (unchecked(_few![i].Pfn - first) < count)
            {
                _few[i] = _few[--_count];
                _few[_count] = default;
            }
        }
    }

    private readonly int PlaceOf(ulong pfn)
    {
        for (var i = 0; i < _count; i++)
        {
            if (_few![i].Pfn == pfn)
            {
                return i;
            }
        }

        return -1;
    }
}
