using System.Diagnostics.CodeAnalysis;
using Fleet.Kernel.Host;

namespace Fleet.Protocol.Devices;

/// <summary>What clients of one device hold, by the number of the allocation, from 1.</summary>
/// <remarks>
/// One array, since each object more is a cache line more at a device that was not used for long. Numbers are dense
/// and given in order, so they are their own hash. What has grown is used as a small one again once it is empty, and
/// whole once that holds more than one.
/// Concurrency: one grain turn. Source: docs/decisions/0121.
/// </remarks>
public struct HeldAllocations<T>
{
    private const int SmallestMask = 1;

    private Entry[]? _entries;
    private int _mask;

    private struct Entry
    {
        public long Number;
        public T Held;
    }

    public int Count { get; private set; }

    public readonly void AddTo(ReachedObjects reached) => reached.Add(_entries);

    public readonly bool TryGet(long number, [MaybeNullWhen(false)] out T held)
    {
        if (Find(number) is >= 0 and var place)
        {
            held = _entries![place].Held;
            return true;
        }

        held = default;
        return false;
    }

    /// <param name="number">One that was never added before.</param>
    public void Add(long number, in T held)
    {
        if (_entries is null)
        {
            (_entries, _mask) = (new Entry[SmallestMask + 1], SmallestMask);
        }
        else if ((Count + 1) * 4 > (_mask + 1) * 3)
        {
            Grow();
        }

        ref var entry = ref _entries[Vacant(number)];
        (entry.Number, entry.Held) = (number, held);
        Count++;
    }

    public bool Remove(long number, [MaybeNullWhen(false)] out T held)
    {
        var hole = Find(number);
        if (hole < 0)
        {
            held = default;
            return false;
        }

        // What was added after it and found its place taken moves up, so that no search ends before it.
        var entries = _entries!;
        held = entries[hole].Held;
        for (var next = (hole + 1) & _mask; entries[next].Number != 0; next = (next + 1) & _mask)
        {
            var home = unchecked((int)entries[next].Number) & _mask;
            if (((next - home) & _mask) >= ((next - hole) & _mask))
            {
                entries[hole] = entries[next];
                hole = next;
            }
        }

        entries[hole] = default;
        if (--Count == 0)
        {
            _mask = SmallestMask;
        }

        return true;
    }

    /// <summary>All of them, by number.</summary>
    public readonly IEnumerable<(long Number, T Held)> InOrder() => _entries is null ? []
        : _entries.Where(entry => entry.Number != 0).OrderBy(entry => entry.Number)
            .Select(entry => (entry.Number, entry.Held));

    private readonly int Find(long number)
    {
        if (Count == 0 || number <= 0)
        {
            return -1;
        }

        var entries = _entries!;
        for (var place = unchecked((int)number) & _mask; entries[place].Number != 0; place = (place + 1) & _mask)
        {
            if (entries[place].Number == number)
            {
                return place;
            }
        }

        return -1;
    }

    private readonly int Vacant(long number)
    {
        var place = unchecked((int)number) & _mask;
        while (_entries![place].Number != 0)
        {
            place = (place + 1) & _mask;
        }

        return place;
    }

    private void Grow()
    {
        var entries = _entries!;
        if (_mask < entries.Length - 1)
        {
            // It was as large before, and as a small one holds a single entry: at once all of it, which allocates
            // nothing, however many a vector adds.
            var only = Array.FindIndex(entries, 0, SmallestMask + 1, entry => entry.Number != 0);
            var moved = entries[only];
            entries[only] = default;
            _mask = entries.Length - 1;
            entries[Vacant(moved.Number)] = moved;
            return;
        }

        _mask = (2 * _mask) + 1;
        _entries = new Entry[_mask + 1];
        foreach (var entry in entries)
        {
            if (entry.Number != 0)
            {
                _entries[Vacant(entry.Number)] = entry;
            }
        }
    }
}
