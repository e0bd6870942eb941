namespace Fleet.Checking.Streams;

/// <summary>Disjoint address ranges in order, each with the slot it belongs to.</summary>
/// <remarks>
/// Invariant: ranges never overlap; whoever adds one has removed what it would overlap.
/// Blocks of at most <see cref="BlockMax"/> keys: a search is two binary searches, an insertion moves one block.
/// </remarks>
internal sealed class AddressIndex
{
    private const int BlockMax = 64;

    private readonly List<Block> _blocks = [];

    private sealed class Block
    {
        public ulong[] Starts = new ulong[4];
        public ulong[] Ends = new ulong[4];
        public int[] Slots = new int[4];
        public int Count;
    }

    /// <summary>Returns the slot of a range that shares an address with [start, end], -1 when there is none.</summary>
    public int FindOverlap(ulong start, ulong end)
    {
        var b = BlockOf(end);
        if (b < 0)
        {
            return -1;
        }

        // The last range that starts at or before the end is the only one that can reach into it: all are disjoint.
        var block = _blocks[b];
        var i = LastAtOrBefore(block, end);
        return block.Ends[i] >= start ? block.Slots[i] : -1;
    }

    public void Add(ulong start, ulong end, int slot)
    {
        var b = Math.Max(0, BlockOf(start));
        if (_blocks.Count == 0)
        {
            _blocks.Add(new());
        }

        var block = _blocks[b];
        if (block.Count == BlockMax)
        {
            var upper = new Block
            {
                Starts = new ulong[BlockMax],
                Ends = new ulong[BlockMax],
                Slots = new int[BlockMax]
            };
            const int Half = BlockMax / 2;
            Array.Copy(block.Starts, Half, upper.Starts, 0, Half);
            Array.Copy(block.Ends, Half, upper.Ends, 0, Half);
            Array.Copy(block.Slots, Half, upper.Slots, 0, Half);
            (block.Count, upper.Count) = (Half, Half);
            _blocks.Insert(b + 1, upper);
            block = start >= upper.Starts[0] ? upper : block;
        }
        else if (block.Count == block.Starts.Length)
        {
            Array.Resize(ref block.Starts, block.Count * 2);
            Array.Resize(ref block.Ends, block.Count * 2);
            Array.Resize(ref block.Slots, block.Count * 2);
        }

        var i = LastAtOrBefore(block, start) + 1;
        var moved = block.Count - i;
        Array.Copy(block.Starts, i, block.Starts, i + 1, moved);
        Array.Copy(block.Ends, i, block.Ends, i + 1, moved);
        Array.Copy(block.Slots, i, block.Slots, i + 1, moved);
        block.Starts[i] = start;
        block.Ends[i] = end;
        block.Slots[i] = slot;
        block.Count++;
    }

    public void Remove(ulong start)
    {
        var b = BlockOf(start);
        var block = _blocks[b];
        var i = LastAtOrBefore(block, start);
        var moved = block.Count - i - 1;
        Array.Copy(block.Starts, i + 1, block.Starts, i, moved);
        Array.Copy(block.Ends, i + 1, block.Ends, i, moved);
        Array.Copy(block.Slots, i + 1, block.Slots, i, moved);
        block.Count--;
        if (block.Count == 0 && _blocks.Count > 1)
        {
            _blocks.RemoveAt(b);
        }
    }

    /// <summary>
    /// Returns the block that holds the last start at or before <paramref name="address"/>, -1 when all lie above.
    /// </summary>
    private int BlockOf(ulong address)
    {
        var (low, high) = (0, _blocks.Count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (_blocks[middle].Count > 0 && _blocks[middle].Starts[0] <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low - 1;
    }

    private static int LastAtOrBefore(Block block, ulong address)
    {
        var (low, high) = (0, block.Count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (block.Starts[middle] <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low - 1;
    }
}
