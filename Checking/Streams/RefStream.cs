using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>One percpu_ref with its completion: the order of kill, switch, zero, wait and exit.</summary>
internal sealed class RefStream(CheckContext context, DeviceGroup group, int obj) : ObjectStream(context, group, obj)
{
    private List<RefLife>? _lives;

    /// <summary>One life of the ref: the position of each step, 0 when it has not happened.</summary>
    internal struct RefLife
    {
        public int Gen;
        public long InitSeq;
        public long KillSeq;
        public long SwitchedSeq;
        public long ZeroSeq;
        public long CompleteSeq;
        public long WaitBeginSeq;
        public long WaitEndSeq;
        public long ExitSeq;
        public long CleanupSeq;
        public int Kills;

        /// <summary>The last get that took it from zero.</summary>
        public long RevivedSeq;

        /// <summary>Where the device had seen the kill: what it did later was done knowing.</summary>
        public int FoldGen;
        public long FoldSeq;
        public bool Exists;
        public bool Fenced;
    }

    private RefLife _now;

    public ref readonly RefLife Now => ref _now;

    public HistoryEvent? Kill { get; private set; }

    /// <summary>The second kill of this life; null when there was none.</summary>
    public HistoryEvent? KillAgain { get; private set; }

    public HistoryEvent? Zero { get; private set; }

    /// <summary>It counts the users of several page maps.</summary>
    public bool IsShared { get; } = context.Objects.Name(obj).EndsWith("/shared", StringComparison.Ordinal);

    public RefLife LifeAt(int gen, long seq)
    {
        if (_now.Exists && _now.Gen == gen && _now.InitSeq <= seq)
        {
            return _now;
        }

        var (low, high) = (0, (_lives?.Count ?? 0) - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if ((_lives![middle].Gen, _lives[middle].InitSeq).CompareTo((gen, seq)) <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low > 0 && _lives![low - 1].Gen == gen ? _lives[low - 1] : default;
    }

    public long Lost { get; private set; }

    public override void End()
    {
        CountLost();
        foreach (var rule in RuleCatalog.OfRefEnd)
        {
            rule.JudgeEnd(this);
        }
    }

    protected override void ChangeIncarnation(int gen)
    {
        CountLost();
        Keep();
        _now = default;
        (Kill, KillAgain, Zero) = (null, null, null);
    }

    protected override void Apply(HistoryEvent record)
    {
        foreach (var rule in RuleCatalog.OfRef(record.Kind))
        {
            rule.Judge(this, record);
        }

        var seq = record.At.Seq;
        switch (record.Kind)
        {
            case EventKind.RefInit or EventKind.RefResurrect or EventKind.RefReinit:
                Keep();
                _now = new() { Gen = record.At.Gen, InitSeq = seq, Exists = true };
                (Kill, KillAgain, Zero) = (null, null, null);
                break;
            case EventKind.RefKill:
                _now.KillSeq = _now.KillSeq == 0 ? seq : _now.KillSeq;
                _now.Kills++;
                KillAgain ??= _now.Kills == 2 ? record : null;
                Kill ??= record;
                break;
            case EventKind.SwitchDone:
                _now.SwitchedSeq = seq;
                foreach (var fold in record.After)
                {
                    if (fold.Obj == Context.Objects.DeviceOf(Obj))
                    {
                        (_now.FoldGen, _now.FoldSeq) = (fold.Gen, fold.Seq);
                    }
                }

                AskFolds(record);
                break;
            case EventKind.RefZero:
                _now.ZeroSeq = seq;
                Zero = record;
                break;
            case EventKind.RefGet:
                _now.RevivedSeq = _now.ZeroSeq != 0 ? seq : 0;
                break;
            case EventKind.Complete: _now.CompleteSeq = seq; break;
            case EventKind.WaitBegin: _now.WaitBeginSeq = seq; break;
            case EventKind.WaitEnd: _now.WaitEndSeq = seq; break;
            case EventKind.CleanupBegin: _now.CleanupSeq = seq; break;
            case EventKind.RefExit: _now.ExitSeq = seq; break;
            case EventKind.Fenced: _now.Fenced = true; break;
            default: break;
        }
    }

    protected override void Apply(in Operation record)
    {
    }

    /// <summary>
    /// The kill was visible at a page map when it folded, so every later access there ran during the teardown.
    /// </summary>
    private void AskFolds(HistoryEvent record)
    {
        if (Context.Online)
        {
            return;
        }

        foreach (var fold in record.After)
        {
            if (Context.Objects.Kind(fold.Obj) is ObjectKind.Map)
            {
                // The accesses that matter come after the fold, so a page map that is being fed still is asked at the
                // end.
                Group.WhenFed(fold.Obj, Context.Header.SortedByObject, () =>
                {
                    if (Group.Maps.TryGetValue(fold.Obj, out var map))
                    {
                        map.CountAccessInWindow(fold.Gen, fold.Seq, fold.Seq, long.MaxValue);
                    }
                });
            }
        }
    }

    private void Keep()
    {
        if (_now.Exists && !Context.Online)
        {
            (_lives ??= []).Add(_now);
        }
    }

    private void CountLost() => Lost += Gaps.Where(g => g.Gen == Gen).Sum(g => g.Count);
}
