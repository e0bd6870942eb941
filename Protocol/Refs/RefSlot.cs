using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Refs;

public enum RefSlotState : byte
{
    /// <summary>Counts alone, without a message.</summary>
    Live,

    /// <summary>The ref is being killed: nothing new is taken, what is given back is still counted alone.</summary>
    Dying,

    /// <summary>The resource counts: every change is reported before it is answered.</summary>
    Folded,
}

/// <summary>What one activation has counted on a percpu_ref that lives elsewhere, as one CPU's counter.</summary>
/// <remarks>
/// Counts are cumulative, so reports may be lost, repeated or reordered. A part of whoever counts, not to be copied.
/// Concurrency: one grain turn. Source: lib/percpu-refcount.c with activations for CPUs; design.md 2.2.
/// </remarks>
public struct RefSlot
{
    private long _gets;
    private long _puts;
    private long _version;

    public RefSlotState State { get; private set; }

    /// <summary>Begins a life; a slot that joins a ref which was folded already reports from the beginning.</summary>
    public void Begin(RefSlotState state)
    {
        (_gets, _puts, _version) = (0, 0, 0);
        State = state;
    }

    /// <summary>Takes a reference unless the ref is dying.</summary>
    public bool TryGetLive()
    {
        if (State is not RefSlotState.Live)
        {
            return false;
        }

        Get(1);
        return true;
    }

    /// <summary>Takes references whatever the state.</summary>
    public void Get(long count)
    {
        _gets = checked(_gets + count);
        _version++;
    }

    /// <summary>Gives references back; they need not have been taken through this slot.</summary>
    public void Put(long count)
    {
        _puts = checked(_puts + count);
        _version++;
    }

    public void MarkDying()
    {
        if (State is RefSlotState.Live)
        {
            State = RefSlotState.Dying;
        }
    }

    /// <summary>Hands the counting over to the resource; again, it gives the newest counts.</summary>
    public SlotReport Fold(int slot, At at)
    {
        State = RefSlotState.Folded;
        return Report(slot, at);
    }

    public readonly SlotReport Report(int slot, At at) => new(slot, _version, _gets, _puts, at);
}
