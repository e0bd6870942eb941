using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Checking.Streams;

/// <summary>What the checker remembers of an allocation while it lives.</summary>
internal struct LiveAllocation
{
    public AllocId Id;
    public ulong Start;
    public ulong SizeBytes;
    public long Seq;
    public long SentNs;
    public long DoneNs;
    public long Operation;
    public int Life;
    public int Owner;
    public int Client;
    public int Session;

    /// <summary>Overlapped by a later one, so no longer in the address index.</summary>
    public bool Displaced;

    /// <summary>The slot is in use.</summary>
    public bool IsLive;

    /// <summary>Last address.</summary>
    public readonly ulong End => EndOf(Start, SizeBytes);

    /// <summary>Last address of a range; an empty one has its first.</summary>
    public static ulong EndOf(ulong start, ulong sizeBytes) => unchecked(start + Math.Max(1, sizeBytes) - 1);

    /// <summary>What an alloc that succeeded has made.</summary>
    public static LiveAllocation Of(in Operation op) => new()
    {
        Id = op.Alloc,
        Start = op.Address,
        SizeBytes = op.SizeBytes,
        Seq = op.At.Seq,
        SentNs = op.SentNs,
        DoneNs = op.DoneNs,
        Operation = op.Number,
        Life = op.At.Life,
        Owner = op.Owner,
        Client = op.Client,
        Session = op.Session,
    };

    public readonly bool In(ulong start, ulong sizeBytes) => Start >= start && unchecked(Start - start) < sizeBytes;

    /// <summary>The alloc as its client recorded it, for evidence.</summary>
    public readonly Operation Record() => new()
    {
        Number = Operation,
        Client = Client,
        Session = Session,
        Device = Id.Device,
        Kind = OperationKind.Alloc,
        Outcome = OperationOutcome.Ok,
        IntendedNs = SentNs,
        SentNs = SentNs,
        DoneNs = DoneNs,
        At = new(Id.Device, Id.Gen, Seq, Life),
        Alloc = Id,
        Address = Start,
        SizeBytes = SizeBytes,
        Owner = Owner,
    };
}

/// <summary>The live allocations of one device, by name and by address.</summary>
/// <remarks>
/// A few are looked through one by one: they lie in one array, while tables and an index are objects, and so cache
/// lines, of their own at a device that was not used for long. More than that cost O(log live) and, once warm, no
/// memory. Source: docs/decisions/0121.
/// </remarks>
internal sealed class LiveAllocations
{
    private const int FewMax = 8;

    private LiveAllocation[] _slots = [];
    private int _used;
    private int _free = -1;
    private bool _isIndexed;
    private Dictionary<long, int>? _byNumber;
    private AddressIndex? _index;

    public int Count { get; private set; }

    public void AddTo(ReachedObjects reached)
    {
        reached.Add(this);
        reached.Add(_slots);
    }

    /// <summary>Returns the slot of an allocation, -1 when it is not live.</summary>
    public int Find(AllocId id)
    {
        var slot = FindKey(Key(id));
        return slot >= 0 && _slots[slot].Id == id ? slot : -1;
    }

    public ref LiveAllocation this[int slot] => ref _slots[slot];

    /// <summary>
    /// Returns the slot of an undisplaced allocation that shares an address with the range, -1 when none does.
    /// </summary>
    /// <param name="end">Its last address.</param>
    public int FindOverlap(ulong start, ulong end)
    {
        if (_isIndexed)
        {
            return _index!.FindOverlap(start, end);
        }

        // The last range that starts at or before the end is the only one that can reach into it: all are disjoint.
        var last = -1;
        for (var slot = 0; slot < _used; slot++)
        {
            ref var live = ref _slots[slot];
            if (live.IsLive && !live.Displaced && live.Start <= end
                && (last < 0 || live.Start >= _slots[last].Start))
            {
                last = slot;
            }
        }

        return last >= 0 && _slots[last].End >= start ? last : -1;
    }

    /// <summary>Returns the next lower one that shares an address with the range, -1 when there is none.</summary>
    public int FindOverlapBelow(ulong start, int slot) =>
        _slots[slot].Start > start ? FindOverlap(start, _slots[slot].Start - 1) : -1;

    /// <summary>Adds an allocation that overlaps none of the undisplaced; false if its name is live already.</summary>
    public bool Add(in LiveAllocation allocation)
    {
        var key = Key(allocation.Id);
        if (FindKey(key) >= 0)
        {
            return false;
        }

        if (!_isIndexed && Count == FewMax)
        {
            BeginIndex();
        }

        int slot;
        if (_free >= 0)
        {
            slot = _free;
            _free = (int)_slots[slot].Seq;
        }
        else
        {
            if (_used == _slots.Length)
            {
                Array.Resize(ref _slots, Math.Max(1, _used * 2));
            }

            slot = _used++;
        }

        _slots[slot] = allocation;
        _slots[slot].IsLive = true;
        Count++;
        if (_isIndexed)
        {
            _byNumber!.Add(key, slot);
            _index!.Add(allocation.Start, allocation.End, slot);
        }

        return true;
    }

    /// <summary>Takes an allocation out of the address index: something newer has its addresses.</summary>
    public void Displace(int slot)
    {
        _slots[slot].Displaced = true;
        if (_isIndexed)
        {
            _index!.Remove(_slots[slot].Start);
        }
    }

    public void Remove(int slot)
    {
        ref var allocation = ref _slots[slot];
        if (_isIndexed)
        {
            if (!allocation.Displaced)
            {
                _index!.Remove(allocation.Start);
            }

            _byNumber!.Remove(Key(allocation.Id));
        }

        allocation = default;
        if (--Count == 0)
        {
            (_used, _free, _isIndexed) = (0, -1, false);
            return;
        }

        allocation.Seq = _free;
        _free = slot;
    }

    /// <summary>Returns the slots in use; the caller may remove the one it was given last.</summary>
    public IEnumerable<int> Slots()
    {
        for (var slot = 0; slot < _used; slot++)
        {
            if (!_slots[slot].Id.IsNone)
            {
                yield return slot;
            }
        }
    }

    private static long Key(AllocId id) => unchecked((long)((ulong)id.Gen << 40) ^ id.Number);

    private int FindKey(long key)
    {
        if (_isIndexed)
        {
            return _byNumber!.GetValueOrDefault(key, -1);
        }

        for (var slot = 0; slot < _used; slot++)
        {
            if (_slots[slot].IsLive && Key(_slots[slot].Id) == key)
            {
                return slot;
            }
        }

        return -1;
    }

    private void BeginIndex()
    {
        (_byNumber, _index, _isIndexed) = (_byNumber ?? [], _index ?? new(), true);
        for (var slot = 0; slot < _used; slot++)
        {
            ref var live = ref _slots[slot];
            if (!live.IsLive)
            {
                continue;
            }

            _byNumber.Add(Key(live.Id), slot);
            if (!live.Displaced)
            {
                _index.Add(live.Start, live.End, slot);
            }
        }
    }
}
