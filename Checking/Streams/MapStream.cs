using System.Runtime.InteropServices;
using Fleet.Checking.Rules;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Checking.Streams;

/// <summary>One page map: whether its memory is there, what was written to its pages, and who reached them.</summary>
internal sealed class MapStream(CheckContext context, DeviceGroup group, int obj) : ObjectStream(context, group, obj)
{
    /// <summary>Pages of one access whose contents are followed; 16 MiB.</summary>
    internal const int TaggedPagesMax = 4096;

    private KnownTags _tags;
    private List<MapLife>? _lives;
    private PageFacts? _pages;
    private bool _unbindSeen;

    /// <summary>What is known of single pages; most page maps of a fleet have no pins.</summary>
    private sealed class PageFacts
    {
        public HashSet<ulong>? FinalPuts;
        public HashSet<ulong>? InitialPuts;
        public Dictionary<ulong, PagePins>? Pins;
        public Dictionary<AllocId, HistoryEvent>? Named;
        public Dictionary<ulong, HistoryEvent>? HandedOut;
        public int PinsAtTeardown;
    }

    /// <summary>One life of the mapping, for questions asked by the device's stream.</summary>
    internal struct MapLife
    {
        public int Gen;
        public long AddSeq;
        public long RemoveSeq;
        public long EraseSeq;

        /// <summary>The last access before the removal: its position and when it was sent, ns.</summary>
        public long AccessSeq;
        public long AccessSentNs;
        public bool AccessCounted;
    }

    /// <summary>Pins of one page: how many, and the get that took the first of them.</summary>
    internal readonly record struct PagePins(int Count, HistoryEvent? First);

    /// <summary>Memory was added in this incarnation and not removed since.</summary>
    public bool Present { get; private set; }

    /// <summary>The removal that no later add has undone; null while present, and before the first add.</summary>
    public HistoryEvent? Removed { get; private set; }

    public bool Fenced { get; private set; }

    /// <summary>The <c>map_store</c> of the entry that stands in the lookup table; null when none does, and
    /// online.</summary>
    public HistoryEvent? Stored { get; private set; }

    /// <summary>The <c>page_get</c> of each pin that has a name and was not put yet.</summary>
    public IReadOnlyCollection<HistoryEvent> Pins => (IReadOnlyCollection<HistoryEvent>?)_pages?.Named?.Values ?? [];

    /// <summary>Pins that were held when the teardown of this life put the initial counts.</summary>
    public int PinsAtTeardown => _pages?.PinsAtTeardown ?? 0;

    /// <summary>Writes that nobody answered; what they wrote may be read.</summary>
    public List<Operation>? UnansweredWrites { get; private set; }

    /// <summary>Accesses that nobody answered: each may have taken a position that no record claims.</summary>
    public int Unanswered { get; private set; }

    public long Lost { get; private set; }

    public void NoteUnanswered(in Operation operation)
    {
        Unanswered++;
        if (operation.Direction is AccessDirection.Write)
        {
            (UnansweredWrites ??= []).Add(operation);
        }
    }

    /// <summary>Notes the final put of a page; false when it had one in this life of the mapping.</summary>
    public bool NoteFinalPut(ulong pfn) => (Pages.FinalPuts ??= []).Add(pfn);

    /// <summary>Returns the first hand-out of a page in this life of the mapping, which tells its idle count.</summary>
    public HistoryEvent IdleCountAt(HistoryEvent handOut)
    {
        var handedOut = Pages.HandedOut ??= [];
        handedOut.TryAdd(handOut.Pfn, handOut);
        return handedOut[handOut.Pfn];
    }

    /// <summary>The teardown has dropped the count that the page was made with.</summary>
    public bool InitialPutSeen(ulong pfn) => _pages?.InitialPuts?.Contains(pfn) ?? false;

    public PagePins PinsOf(ulong pfn) => _pages?.Pins?.GetValueOrDefault(pfn) ?? default;

    /// <summary>Whether an access goes through a pin that is held; decided on this stream alone.</summary>
    public bool IsPinned(AllocId pin) => _pages?.Named is { } named && named.ContainsKey(pin);

    /// <summary>Returns what is known of a page's contents.</summary>
    public PageTag TagOf(ulong pfn) => _tags[pfn];

    /// <summary>Returns the life of the mapping at a position of this stream; default when there was none.</summary>
    public MapLife LifeAt(int gen, long seq)
    {
        var i = LifeIndex(gen, seq);
        return i >= 0 ? _lives![i] : default;
    }

    /// <summary>Counts, once for each life, that an access ran while its teardown was under way.</summary>
    /// <param name="afterSeq">The teardown surely began before every later position; -1 when no position says.</param>
    /// <param name="afterNs">The teardown began before everything sent later; <see cref="long.MaxValue"/> when no clock
    /// says.</param>
    public void CountAccessInWindow(int gen, long seq, long afterSeq, long afterNs)
    {
        var i = LifeIndex(gen, seq);
        if (i < 0)
        {
            return;
        }

        ref var life = ref CollectionsMarshal.AsSpan(_lives)[i];
        if (!life.AccessCounted && life.AccessSeq != 0
            && ((afterSeq >= 0 && life.AccessSeq > afterSeq) || life.AccessSentNs > afterNs))
        {
            life.AccessCounted = true;
            Ledger.Hit(Probe.AccessInTeardownWindow);
        }
    }

    public override void End()
    {
        CountLost();
    }

    protected override void ChangeIncarnation(int gen)
    {
        CountLost();
        (Present, Removed, Stored, _tags) = (false, null, null, default);
        if (_pages is not null)
        {
            (_pages.InitialPuts, _pages.Pins, _pages.Named, _pages.HandedOut) = (null, null, null, null);
        }
    }

    protected override void Apply(HistoryEvent record)
    {
        foreach (var rule in RuleCatalog.OfMap(record.Kind))
        {
            rule.Judge(this, record);
        }

        switch (record.Kind)
        {
            case EventKind.MemoryAdd:
                (Present, Removed, Fenced, _unbindSeen) = (true, null, false, false);
                ForgetPages();
                if (!Context.Online)
                {
                    (_lives ??= []).Add(new() { Gen = record.At.Gen, AddSeq = record.At.Seq });
                }

                break;
            case EventKind.MemoryRemove:
                (Present, Removed, _tags) = (false, record, default);
                if (_pages is not null)
                {
                    (_pages.InitialPuts, _pages.Pins) = (null, null);
                }

                Change((ref MapLife life) => life.RemoveSeq = record.At.Seq);
                break;
            case EventKind.MapStore:
                Stored = Context.Online ? null : record;
                break;
            case EventKind.MapErase:
                Stored = null;
                Change((ref MapLife life) => life.EraseSeq = record.At.Seq);
                break;
            case EventKind.Fenced:
                Fenced = true;
                _pages?.Named?.Clear();
                break;
            case EventKind.PageGet when record.Text is "pin" or "gup" or "dma":
                ref var taken = ref CollectionsMarshal.GetValueRefOrAddDefault(Pages.Pins ??= [], record.Pfn, out _);
                taken = new(taken.Count + 1, taken.First ?? record);
                if (!record.Alloc.IsNone)
                {
                    (Pages.Named ??= [])[record.Alloc] = record;
                }

                break;
            case EventKind.PagePut when record.Text is "init":
                (Pages.InitialPuts ??= []).Add(record.Pfn);
                Pages.PinsAtTeardown = Pages.Named?.Count ?? 0;
                break;
            case EventKind.PagePut when record.Text is "pin" or "gup" or "dma":
                GivePin(record.Pfn);
                _pages?.Named?.Remove(record.Alloc);
                break;
            case EventKind.CpuAccess or EventKind.DmaAccess or EventKind.IoAccess:
                Apply(new Operation
                {
                    Kind = OperationKind.Access,
                    Outcome = record.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
                    Err = record.Err,
                    At = record.At,
                    Pfn = record.Pfn,
                    PageCount = 1,
                    Alloc = record.Alloc,
                    Map = Obj,
                    SentNs = record.TimeNs,
                    DoneNs = record.TimeNs,
                    Device = Context.Objects.DeviceOf(Obj),
                });
                break;
            default:
                break;
        }
    }

    public override void AddTo(ReachedObjects reached)
    {
        base.AddTo(reached);
        _tags.AddTo(reached);
    }

    protected override void Apply(in Operation record)
    {
        if (record.Kind is not OperationKind.Access)
        {
            return;
        }

        foreach (var rule in RuleCatalog.OfAccess)
        {
            rule.JudgeAccess(this, record);
        }

        if (!Present || record.Outcome is not OperationOutcome.Ok)
        {
            return;
        }

        if (Context.Online)
        {
            if (Group.Unbinding && !_unbindSeen)
            {
                _unbindSeen = true;
                Ledger.Hit(Probe.AccessInTeardownWindow);
            }
        }
        else
        {
            ref var life = ref CollectionsMarshal.AsSpan(_lives)[^1];
            life.AccessSeq = record.At.Seq;
            life.AccessSentNs = Math.Max(life.AccessSentNs, record.SentNs);
        }

        if (record.Direction is AccessDirection.Write && record.PageCount > TaggedPagesMax)
        {
            // Too wide to remember page by page: what these pages hold is not known any more.
            _tags.Forget(record.Pfn, (ulong)record.PageCount);
        }
        else if (record.Direction is AccessDirection.Write)
        {
            for (var page = 0; page < Math.Max(1, record.PageCount); page++)
            {
                ref var tag = ref _tags.Note(unchecked(record.Pfn + (ulong)page));
                if (tag.Alloc != record.Alloc)
                {
                    (tag.EarlierAlloc, tag.EarlierTag) = (tag.Alloc, tag.Tag);
                }

                (tag.Alloc, tag.Tag) = (record.Alloc, record.Tag);
            }
        }
    }

    private void GivePin(ulong pfn)
    {
        if (_pages?.Pins is not { } all || !all.TryGetValue(pfn, out var pins))
        {
            return;
        }

        if (pins.Count > 1)
        {
            all[pfn] = pins with { Count = pins.Count - 1 };
        }
        else
        {
            all.Remove(pfn);
        }
    }

    private PageFacts Pages => _pages ??= new();

    /// <summary>A further life of the mapping begins; pins by name, and how many there were, outlive it.</summary>
    private void ForgetPages()
    {
        if (_pages is not { } pages)
        {
            return;
        }

        if (pages.PinsAtTeardown == 0 && pages.Named is null or { Count: 0 })
        {
            _pages = null;
            return;
        }

        (pages.FinalPuts, pages.InitialPuts, pages.Pins, pages.HandedOut) = (null, null, null, null);
    }

    private delegate void LifeChange(ref MapLife life);

    private void Change(LifeChange change)
    {
        if (_lives is { Count: > 0 })
        {
            change(ref CollectionsMarshal.AsSpan(_lives)[^1]);
        }
    }

    private int LifeIndex(int gen, long seq)
    {
        var (low, high) = (0, (_lives?.Count ?? 0) - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if ((_lives![middle].Gen, _lives[middle].AddSeq).CompareTo((gen, seq)) <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low > 0 && _lives![low - 1].Gen == gen ? low - 1 : -1;
    }

    private void CountLost()
    {
        var missing = Gaps.Where(g => g.Gen == Gen).Sum(g => g.Count);
        Lost += Math.Max(0, missing - Unanswered);
    }
}
