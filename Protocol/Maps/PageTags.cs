using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Protocol.Maps;

/// <summary>What holders wrote to the pages of one map; a page nobody wrote to reads 0.</summary>
/// <remarks>
/// Memory follows the highest page ever written: 512 bytes for each 64 pages in use. The first of them, which most maps
/// never leave, hang on the map itself: each object between is a line of a map that was not used for long. Not to be
/// copied. Source: docs/decisions/0145.
/// </remarks>
internal struct PageTags
{
    private const int BlockShift = 6;
    private const int BlockPages = 1 << BlockShift;

    private ulong[]? _first;

    /// <summary>The blocks after the first one.</summary>
    private ulong[]?[]? _rest;

    public readonly void AddTo(ReachedObjects reached) => reached.Add(_first);

    /// <summary>Writes a tag into each page, or reads them.</summary>
    /// <returns>The tag of the first page, or the first that differs from it.</returns>
    public ulong Access(long page, int pageCount, AccessDirection direction, ulong tag)
    {
        if (direction is AccessDirection.Write)
        {
            for (var i = 0; i < pageCount; i++)
            {
                this[page + i] = tag;
            }

            return tag;
        }

        var first = this[page];
        for (var i = 1; i < pageCount; i++)
        {
            if (this[page + i] != first)
            {
                return this[page + i];
            }
        }

        return first;
    }

    public ulong this[long page]
    {
        readonly get
        {
            var block = page >> BlockShift;
            var tags = block == 0 ? _first : _rest is not null && block <= _rest.Length ? _rest[block - 1] : null;
            return tags is null ? 0 : tags[page & (BlockPages - 1)];
        }

        set
        {
            var block = checked((int)(page >> BlockShift));
            if (block == 0)
            {
                (_first ??= new ulong[BlockPages])[page] = value;
                return;
            }

            if (_rest is null || block > _rest.Length)
            {
                Array.Resize(ref _rest, Math.Max(block, 2 * (_rest?.Length ?? 0)));
            }

            (_rest[block - 1] ??= new ulong[BlockPages])[page & (BlockPages - 1)] = value;
        }
    }
}
