using Fleet.Checking.Rules;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Checking.Streams;

/// <summary>
/// The records of one object, in its own order: incarnations, gaps, and what every kind of object has in common.
/// </summary>
/// <remarks>Concurrency: one thread at a time, as <see cref="IObjectStream"/> has it.</remarks>
internal abstract class ObjectStream(CheckContext context, DeviceGroup group, int obj) : IObjectStream
{
    private OfflineFacts? _offline;

    /// <summary>What only a history that is read afterwards gives; online, a device has three streams without
    /// it.</summary>
    private sealed class OfflineFacts
    {
        /// <summary>The newest that each client sent and that the current incarnation answered.</summary>
        public Dictionary<int, Operation>? SentLast;

        public Operation Newest;
        public List<Gap>? Gaps;
        public long Duplicates;
    }

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
    public long Duplicates => _offline?.Duplicates ?? 0;

    public IReadOnlyList<Gap> Gaps => _offline?.Gaps ?? [];

    public string Name => context.Name(obj);

    private OfflineFacts Offline => _offline ??= new();

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

    public virtual void AddTo(ReachedObjects reached)
    {
        reached.Add(this);
        reached.Add(group);
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
        if (_offline?.Gaps is not { } gaps)
        {
            return Blind;
        }

        for (var i = gaps.Count - 1; i >= 0 && gaps[i].Gen == Gen && gaps[i].First > after; i--)
        {
            if (gaps[i].Last < before)
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
                Offline.Duplicates++;
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
                (Offline.Gaps ??= []).Add(new(Gen, LastSeq + 1, at.Seq - 1));
            }
        }

        LastSeq = at.Seq;
        return true;
    }

    private void Remember(in Operation record)
    {
        var offline = Offline;
        if (context.ClockBoundNs is 0)
        {
            if (record.SentNs > offline.Newest.SentNs || offline.Newest.Number == 0)
            {
                offline.Newest = record;
            }

            return;
        }

        var sentLast = offline.SentLast ??= [];
        if (sentLast.TryGetValue(record.Client, out var known) && known.At.Gen < Gen && known.SentNs > record.DoneNs)
        {
            var (old, seen) = (known, record);
            RuleCatalog.OneIncarnation.Violated(this, old, seen, newer: null);
        }

        if (known.At.Gen != Gen || record.SentNs > known.SentNs)
        {
            sentLast[record.Client] = record;
        }
    }

    private void JudgeIncarnation(HistoryEvent record)
    {
        if (_offline is null)
        {
            return;
        }

        var old = _offline.Newest;
        _offline.Newest = default;
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
