using Fleet.Kernel;

namespace Fleet.Protocol.Refs;

/// <summary>The one count of a percpu_ref: what its slots have reported, and the initial reference.</summary>
/// <remarks>
/// Invariant: the ref is released once for each descent to zero, and never before the switch to exact counting was
/// confirmed (until then the bias keeps the count away from zero). Reports that come late, twice or in another order do
/// no harm: the newest of each slot wins, and after a fold an old one can only overstate what is held.
/// A part of its resource, not to be copied. Concurrency: one grain turn. Source: kernel-model B.3; design.md 2.2.
/// </remarks>
public struct RefCentre
{
    private List<SlotReport>? _slots;

    /// <summary>What the release callback fires; null while it has not.</summary>
    private Completion? _reaped;
    private long _initial;
    private bool _isBiased;
    private bool _isAtZero;

    /// <summary>The release callback has fired: every wait of this life passes.</summary>
    public readonly bool IsReaped => _reaped is { IsDone: true };

    /// <summary>Killed in this life.</summary>
    public bool IsDying { get; private set; }

    /// <summary>The switch to exact counting has not been confirmed since the kill.</summary>
    public readonly bool IsSwitching => IsDying && _isBiased;

    public bool IsExited { get; private set; }

    /// <summary>
    /// References as far as the slots have reported them, the initial one included; exact once confirmed.
    /// </summary>
    public readonly long Value
    {
        get
        {
            var value = _initial;
            for (var i = 0; i < _slots?.Count; i++)
            {
                value = unchecked(value + _slots[i].Held);
            }

            return value;
        }
    }

    /// <summary>Begins a life: one reference, the initial one.</summary>
    public void Init()
    {
        _slots?.Clear();
        (_initial, _isBiased, _isAtZero) = (1, true, false);
        (IsDying, IsExited, _reaped) = (false, false, null);
    }

    /// <summary>Drops the initial reference; a second kill drops one too many, as the kernel's does.</summary>
    public void Kill()
    {
        IsDying = true;
        _initial--;
    }

    /// <summary>Keeps the newest report of a slot.</summary>
    /// <returns>True if the last reference has gone with it.</returns>
    public bool Apply(in SlotReport report)
    {
        Keep(report);
        return Descend();
    }

    /// <summary>Takes the bias off: every slot has folded, and its counts are among the reports.</summary>
    /// <returns>True if no reference is left.</returns>
    public bool Confirm(ReadOnlySpan<SlotReport> folds)
    {
        foreach (var fold in folds)
        {
            Keep(fold);
        }

        _isBiased = false;
        return Descend();
    }

    /// <summary>Frees the per-CPU memory; does not wait.</summary>
    /// <returns>False when it had been done already.</returns>
    public bool Exit()
    {
        var isFirst = !IsExited;
        IsExited = true;
        return isFirst;
    }

    private void Keep(in SlotReport report)
    {
        _slots ??= [];
        for (var i = 0; i < _slots.Count; i++)
        {
            if (_slots[i].Slot == report.Slot)
            {
                if (report.Version > _slots[i].Version)
                {
                    _slots[i] = report;
                }

                return;
            }
        }

        _slots.Add(report);
    }

    private bool Descend()
    {
        var wasAtZero = _isAtZero;
        _isAtZero = !_isBiased && Value == 0;
        if (!_isAtZero || wasAtZero)
        {
            return false;
        }

        _reaped ??= new();
        _reaped.CompleteAll();
        return true;
    }
}
