using System.Runtime.InteropServices;
using Fleet.Kernel.History;

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
/// <remarks>Adding and removing costs O(log live) and, once warm, no memory.</remarks>
internal sealed class LiveAllocations
{
    private readonly Dictionary<long, int> _byNumber = [];
    private readonly AddressIndex _index = new();
    private LiveAllocation[] _slots = [];
    private int _used;
    private int _free = -1;

    public int Count => _byNumber.Count;

    /// <summary>Returns the slot of an allocation, -1 when it is not live.</summary>
    public int Find(AllocId id) => _byNumber.TryGetValue(Key(id), out var slot) && _slots[slot].Id == id ? slot : -1;

    public ref LiveAllocation this[int slot] => ref _slots[slot];

    /// <summary>
    /// Returns the slot of an undisplaced allocation that shares an address with the range, -1 when none does.
    /// </summary>
    /// <param name="end">Its last address.</param>
    public int FindOverlap(ulong start, ulong end) => _index.FindOverlap(start, end);

    /// <summary>Returns the next lower one that shares an address with the range, -1 when there is none.</summary>
    public int FindOverlapBelow(ulong start, int slot) =>
        _slots[slot].Start > start ? _index.FindOverlap(start, _slots[slot].Start - 1) : -1;

    /// <summary>Adds an allocation that overlaps none of the undisplaced; false if its name is live already.</summary>
    public bool Add(in LiveAllocation allocation)
    {
        ref var place = ref CollectionsMarshal.GetValueRefOrAddDefault(_byNumber, Key(allocation.Id), out var exists);
        if (exists)
        {
            return false;
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
                Array.Resize(ref _slots, Math.Max(4, _used * 2));
            }

            slot = _used++;
        }

        place = slot;
        _slots[slot] = allocation;
        _index.Add(allocation.Start, allocation.End, slot);
        return true;
    }

    /// <summary>Takes an allocation out of the address index: something newer has its addresses.</summary>
    public void Displace(int slot)
    {
        _index.Remove(_slots[slot].Start);
        _slots[slot].Displaced = true;
    }

    public void Remove(int slot)
    {
        ref var allocation = ref _slots[slot];
        if (!allocation.Displaced)
        {
            _index.Remove(allocation.Start);
        }

        _byNumber.Remove(Key(allocation.Id));
        allocation = default;
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
}
