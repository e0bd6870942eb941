using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>One percpu_ref with its completion: the order of kill, switch, zero, wait and exit.</summary>
internal sealed class RefStream(CheckContext context, DeviceGroup group, int obj) : ObjectStream(context, group, obj)
{
    private List<RefLife>? _lives;
    private RefSteps? _steps;
    private long _initSeq;
    private bool _exists;

    /// <summary>A life in which more happened than that it began, with the records that prove it.</summary>
    private sealed class RefSteps(in RefLife life)
    {
        public RefLife Life = life;
        public HistoryEvent? Kill;
        public HistoryEvent? KillAgain;
        public HistoryEvent? Zero;
    }

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

    // Most refs of a fleet live and nothing happens to them: no table of steps is kept for those.
    public RefLife Now => _steps?.Life
        ?? (_exists ? new() { Gen = Gen, InitSeq = _initSeq, Exists = true } : default);

    public HistoryEvent? Kill => _steps?.Kill;

    /// <summary>The second kill of this life; null when there was none.</summary>
    public HistoryEvent? KillAgain => _steps?.KillAgain;

    public HistoryEvent? Zero => _steps?.Zero;

    /// <summary>It counts the users of several page maps.</summary>
    public bool IsShared { get; } = context.Objects.NameEndsWith(obj, "/shared");

    public RefLife LifeAt(int gen, long seq)
    {
        var now = Now;
        if (now.Exists && now.Gen == gen && now.InitSeq <= seq)
        {
            return now;
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
        (_steps, _initSeq, _exists) = (null, 0, false);
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
                (_steps, _initSeq, _exists) = (null, seq, true);
                break;
            case EventKind.RefKill:
                NoteKill(record);
                break;
            case EventKind.SwitchDone:
                NoteSwitch(record);
                AskFolds(record);
                break;
            case EventKind.RefZero:
                Steps.Life.ZeroSeq = seq;
                Steps.Zero = record;
                break;
            case EventKind.RefGet:
                if (Now.ZeroSeq != 0)
                {
                    Steps.Life.RevivedSeq = seq;
                }

                break;
            case EventKind.Complete: Steps.Life.CompleteSeq = seq; break;
            case EventKind.WaitBegin: Steps.Life.WaitBeginSeq = seq; break;
            case EventKind.WaitEnd: Steps.Life.WaitEndSeq = seq; break;
            case EventKind.CleanupBegin: Steps.Life.CleanupSeq = seq; break;
            case EventKind.RefExit: Steps.Life.ExitSeq = seq; break;
            case EventKind.Fenced: Steps.Life.Fenced = true; break;
            default: break;
        }
    }

    protected override void Apply(in Operation record)
    {
    }

    private RefSteps Steps => _steps ??= new(Now);

    private void NoteKill(HistoryEvent record)
    {
        var steps = Steps;
        steps.Life.KillSeq = steps.Life.KillSeq == 0 ? record.At.Seq : steps.Life.KillSeq;
        steps.Life.Kills++;
        steps.KillAgain ??= steps.Life.Kills == 2 ? record : null;
        steps.Kill ??= record;
    }

    private void NoteSwitch(HistoryEvent record)
    {
        ref var life = ref Steps.Life;
        life.SwitchedSeq = record.At.Seq;
        foreach (var fold in record.After)
        {
            if (fold.Obj == Context.Objects.DeviceOf(Obj))
            {
                (life.FoldGen, life.FoldSeq) = (fold.Gen, fold.Seq);
            }
        }
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
        if (!Context.Online && Now is { Exists: true } life)
        {
            (_lives ??= []).Add(life);
        }
    }

    private void CountLost() => Lost += Gaps.Where(g => g.Gen == Gen).Sum(g => g.Count);
}
