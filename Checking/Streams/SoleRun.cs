using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>Which steps of a device's pool ran alone, so that what they gave is exactly what the model says.</summary>
/// <remarks>
/// genalloc takes no lock: beside another operation an alloc may be refused, or take a later place, for a moment's
/// reason. A step is alone when everything before it was done before it was sent, and everything after it was sent
/// after it was done, by clocks that compare. The second half shows only later, so a claim waits for the end of the
/// pool's life, and each operation that began sooner refutes it.
/// Limits: at most <see cref="ClaimsMax"/> claims wait; more are undecided.
/// </remarks>
internal sealed class SoleRun(long boundNs)
{
    private const int ClaimsMax = 64;

    private readonly List<Claim> _claims = [];
    private long _doneNs = long.MinValue;
    private long _before = long.MinValue;

    private sealed record Claim(Rule Rule, long DoneNs, Action Violate);

    /// <summary>
    /// Returns null where clocks do not compare, where the checker gets no times, and where records are not all of
    /// Fleet's making: which algorithm a pool has is not recorded, and only Fleet's own are known to be first fit.
    /// </summary>
    public static SoleRun? Of(CheckContext context) =>
        context.Online || context.IsExcerpt || !context.Header.Complete || context.ClockBoundNs is not { } bound
            || context.Header.Source is not ("live" or "simulation")
            ? null
            : new(bound);

    /// <summary>An operation of the pool is next.</summary>
    public void Begins(in Operation record, Ledger ledger)
    {
        // Without an interval, what ran beside it is not known.
        _before = record.SentNs < record.DoneNs ? _doneNs : long.MaxValue;
        Passes(record.SentNs, record.DoneNs, ledger);
    }

    /// <summary>Something of the pool happened between two moments.</summary>
    public void Passes(long fromNs, long toNs, Ledger ledger)
    {
        _doneNs = Math.Max(_doneNs, toNs);
        for (var i = _claims.Count - 1; i >= 0; i--)
        {
            if (fromNs - boundNs < _claims[i].DoneNs)
            {
                ledger.Undecided(_claims[i].Rule);
                _claims.RemoveAt(i);
            }
        }
    }

    /// <summary>Whether all that came before the operation that was begun last was done before it was sent.</summary>
    public bool IsFirst(in Operation record) =>
        _before == long.MinValue || (_before != long.MaxValue && _before + boundNs <= record.SentNs);

    /// <summary>Whether all that came before a moment was done by then.</summary>
    public bool IsFirst(long fromNs) => _doneNs == long.MinValue || _doneNs + boundNs <= fromNs;

    /// <summary>It is broken unless something turns out to have run beside it.</summary>
    public void ViolatedIfAlone(Rule rule, long doneNs, Ledger ledger, Action violate)
    {
        if (_claims.Count == ClaimsMax)
        {
            ledger.Undecided(rule);
            return;
        }

        _claims.Add(new(rule, doneNs, violate));
    }

    /// <summary>The pool is gone: nothing can run beside what it did any more but what nobody answered.</summary>
    public void End(IReadOnlyList<Operation> unanswered, Ledger ledger)
    {
        foreach (var operation in unanswered)
        {
            if (operation.Kind is OperationKind.Alloc or OperationKind.Free)
            {
                Passes(operation.SentNs, operation.SentNs, ledger);
            }
        }

        foreach (var claim in _claims)
        {
            claim.Violate();
        }

        _claims.Clear();
    }
}
