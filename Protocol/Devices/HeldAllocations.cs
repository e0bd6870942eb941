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

    /// <summary>Entries that found their own place taken: while there are none, a removal leaves a hole and no
    /// more.</summary>
    private int _displaced;

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

        Put(new() { Number = number, Held = held });
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

        var entries = _entries!;
        held = entries[hole].Held;
        _displaced -= hole == HomeOf(number) ? 0 : 1;
        if (_displaced > 0)
        {
            hole = MoveUp(entries, hole);
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
        for (var place = HomeOf(number); entries[place].Number != 0; place = (place + 1) & _mask)
        {
            if (entries[place].Number == number)
            {
                return place;
            }
        }

        return -1;
    }

    private readonly int HomeOf(long number) => unchecked((int)number) & _mask;

    private void Put(in Entry entry)
    {
        var home = HomeOf(entry.Number);
        var place = home;
        while (_entries![place].Number != 0)
        {
            place = (place + 1) & _mask;
        }

        _entries[place] = entry;
        _displaced += place == home ? 0 : 1;
    }

    /// <summary>What was added after a hole's entry and found its place taken moves up, so that no search ends before
    /// it.</summary>
    /// <returns>Where the hole is then.</returns>
    private int MoveUp(Entry[] entries, int hole)
    {
        for (var next = (hole + 1) & _mask; entries[next].Number != 0; next = (next + 1) & _mask)
        {
            var home = HomeOf(entries[next].Number);
            if (((next - home) & _mask) >= ((next - hole) & _mask))
            {
                entries[hole] = entries[next];
                _displaced -= hole == home ? 1 : 0;
                hole = next;
            }
        }

        return hole;
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
            (_mask, _displaced) = (entries.Length - 1, 0);
            Put(moved);
            return;
        }

        (_mask, _displaced) = ((2 * _mask) + 1, 0);
        _entries = new Entry[_mask + 1];
        foreach (var entry in entries)
        {
            if (entry.Number != 0)
            {
                Put(entry);
            }
        }
    }
}
