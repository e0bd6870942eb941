using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>
/// The records of one object, in its own order: incarnations, gaps, and what every kind of object has in common.
/// </summary>
/// <remarks>Concurrency: one thread at a time, as <see cref="IObjectStream"/> has it.</remarks>
internal abstract class ObjectStream(CheckContext context, DeviceGroup group, int obj) : IObjectStream
{
    // Offline only: the newest time at which a client sent an operation that the current incarnation answered.
    private Dictionary<int, Operation>? _sentLast;
    private Operation _newest;
    private List<Gap>? _gaps;

    /// <summary>Positions of an incarnation that no record claims.</summary>
    internal readonly record struct Gap(int Gen, long First, long Last)
    {
        public long Count => Last - First + 1;
    }

    public CheckContext Context => context;

    public Ledger Ledger => context.Ledger;

    public DeviceGroup Group => group;

    public int Obj => obj;

    public int Gen { get; private set; }

    public long LastSeq { get; private set; }

    /// <summary>Positions claimed by two records; the history contradicts itself there.</summary>
    public long Duplicates { get; private set; }

    public IReadOnlyList<Gap> Gaps => _gaps ?? [];

    public string Name => context.Name(obj);

    /// <summary>Online: the stream began inside a life, so what came before it is not known here.</summary>
    public bool Blind { get; private set; }

    public void Observe(HistoryEvent record)
    {
        if (!Advance(record.At))
        {
            return;
        }

        if (record.Kind is EventKind.Incarnation && !context.Online)
        {
            JudgeIncarnation(record);
        }
        else if (context.Online && record.Kind is EventKind.Incarnation or EventKind.BindBegin)
        {
            Blind = record.Kind is EventKind.Incarnation && record.Fn is not (null or "first");
        }

        Apply(record);
    }

    public void Observe(in Operation record)
    {
        if (!Advance(record.At))
        {
            return;
        }

        // A query has the position of what it found, which an earlier incarnation may have given.
        if (!context.Online && record.SentNs != 0 && record.Kind is not OperationKind.Query)
        {
            Remember(record);
        }

        Apply(record);
    }

    /// <summary>Everything was fed: decides what only the end decides.</summary>
    public abstract void End();

    protected abstract void Apply(HistoryEvent record);

    protected abstract void Apply(in Operation record);

    /// <summary>A later incarnation begins: what the earlier one alone held is gone.</summary>
    protected abstract void ChangeIncarnation(int gen);

    /// <summary>Whether a position between the two is claimed by no record of the current incarnation.</summary>
    public bool HasGapBetween(long after, long before)
    {
        if (_gaps is null)
        {
            return Blind;
        }

        for (var i = _gaps.Count - 1; i >= 0 && _gaps[i].Gen == Gen && _gaps[i].First > after; i--)
        {
            if (_gaps[i].Last < before)
            {
                return true;
            }
        }

        return false;
    }

    private bool Advance(Position at)
    {
        if (at.Gen != Gen)
        {
            if (at.Gen < Gen)
            {
                throw new RecordOrderException(
                    $"{Name}: a record of incarnation {at.Gen} came after one of incarnation {Gen}; records of one "
                    + "object have to come in (gen, seq) order");
            }

            if (Gen != 0)
            {
                ChangeIncarnation(at.Gen);
            }

            (Gen, LastSeq) = (at.Gen, 0);
            if (context.Online)
            {
                LastSeq = at.Seq - 1;
            }
        }

        if (at.Seq != LastSeq + 1 && !context.Online)
        {
            if (at.Seq == LastSeq)
            {
                Duplicates++;
                return false;
            }

            if (at.Seq < LastSeq)
            {
                throw new RecordOrderException(
                    $"{Name}: seq {at.Seq} came after seq {LastSeq}; records of one object have to come in (gen, "
                    + "seq) order");
            }

            if (!context.IsExcerpt)
            {
                (_gaps ??= []).Add(new(Gen, LastSeq + 1, at.Seq - 1));
            }
        }

        LastSeq = at.Seq;
        return true;
    }

    private void Remember(in Operation record)
    {
        if (context.ClockBoundNs is 0)
        {
            if (record.SentNs > _newest.SentNs || _newest.Number == 0)
            {
                _newest = record;
            }

            return;
        }

        _sentLast ??= [];
        if (_sentLast.TryGetValue(record.Client, out var known) && known.At.Gen < Gen && known.SentNs > record.DoneNs)
        {
            var (old, seen) = (known, record);
            RuleCatalog.OneIncarnation.Violated(this, old, seen, newer: null);
        }

        if (known.At.Gen != Gen || record.SentNs > known.SentNs)
        {
            _sentLast[record.Client] = record;
        }
    }

    private void JudgeIncarnation(HistoryEvent record)
    {
        var old = _newest;
        _newest = default;
        if (old.Number == 0 && old.SentNs == 0)
        {
            return;
        }

        if (old.SentNs > record.TimeNs)
        {
            RuleCatalog.OneIncarnation.Violated(this, old, default, record);
        }
        else
        {
            Ledger.Ok(RuleCatalog.OneIncarnation);
        }
    }
}
