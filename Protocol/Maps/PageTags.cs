using Fleet.Kernel.History;

namespace Fleet.Protocol.Maps;

/// <summary>What holders wrote to the pages of one map; a page nobody wrote to reads 0.</summary>
/// <remarks>Memory follows the highest page ever written: 512 bytes for each 64 pages in use.</remarks>
internal sealed class PageTags
{
    private const int BlockShift = 6;
    private const int BlockPages = 1 << BlockShift;

    private ulong[]?[] _blocks = [];

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
        get
        {
            var block = page >> BlockShift;
            return block < _blocks.Length ? _blocks[block]?[page & (BlockPages - 1)] ?? 0 : 0;
        }

        set
        {
            var block = checked((int)(page >> BlockShift));
            if (block >= _blocks.Length)
            {
                Array.Resize(ref _blocks, Math.Max(block + 1, _blocks.Length * 2));
            }

            (_blocks[block] ??= new ulong[BlockPages])[page & (BlockPages - 1)] = value;
        }
    }
}
