using Fleet.Kernel.Block;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Memremap;

/// <summary>What kind of device memory a page map describes; it decides what the last put of a page does.</summary>
/// <remarks>Source: kernel-model B.4.</remarks>
public enum MemoryType : byte
{
    /// <summary>Unspecified: device-dax; ordinary page counts.</summary>
    DevDax,
    Private,
    Public,
    FsDax,
    PciP2pdma,
}

/// <summary>Whose callbacks a page map carries.</summary>
public enum PagemapConsumer : byte { P2pdma, DeviceDax, PmemFsdax, Hmm, Foreign }

/// <summary>
/// One physical range given struct pages: its place in the map of page maps, its memory, its page counts.
/// </summary>
/// <remarks>
/// Invariant: pages exist exactly while <see cref="IsPresent"/>; a page's count is 1 plus its pins from
/// <see cref="InitPages"/> on, less 1 once teardown has put it. Memory: counts are kept only for pages that
/// differ from their neighbours, so 33 million idle pages of a 128 GiB BAR cost nothing.
/// Source: kernel/memremap.c @ v5.2; kernel-model B.4 to B.7.
/// </remarks>
public sealed class DevPagemap : KernelObject
{
    private Dictionary<long, int>? _pins;
    private byte _entryMask;
    private byte _pagesMask;

    /// <param name="container">The object in whose memory it lies.</param>
    /// <param name="startPfn">First page frame of the resource.</param>
    /// <param name="pageCount">Usable pages.</param>
    public DevPagemap(KernelObject container, MemoryType type, PagemapConsumer consumer, ulong startPfn, long pageCount)
        : base(KernelObjectKind.Pgmap)
    {
        Container = container;
        Type = type;
        Consumer = consumer;
        StartPfn = startPfn;
        PageCount = pageCount;
    }

    public const int PageShift = 12;
    public const ulong PageBytes = 1UL << PageShift;

    public KernelObject Container { get; }

    public MemoryType Type { get; }

    public PagemapConsumer Consumer { get; }

    /// <summary>First page frame; HMM learns it when its probe has found a free range.</summary>
    public ulong StartPfn { get; private set; }

    public long PageCount { get; }

    /// <summary>Address of the first page: page frames and addresses differ only by the page shift here.</summary>
    public ulong StartAddress => StartPfn << PageShift;

    public ulong SizeBytes => (ulong)PageCount << PageShift;

    /// <summary>The ref that the consumer handed over; null once a later kernel has reset the pointer.</summary>
    public RefObject? Ref { get; set; }

    /// <summary>The queue whose counter is <see cref="Ref"/>: killed by a freeze, cleaned up by its removal.</summary>
    public RequestQueue? Queue { get; internal set; }

    /// <summary>The range belongs to a fake resource of the nvdimm tests: no pages are made for it.</summary>
    public bool IsFakeNfit { get; init; }

    public bool HasKillCallback { get; set; } = true;

    public bool HasCleanupCallback { get; set; }

    /// <summary>An entry for this range stands in the map of page maps.</summary>
    public bool IsStored { get; internal set; }

    /// <summary>Some time since the entry was erased a grace period has ended.</summary>
    public bool ErasedForGood { get; internal set; } = true;

    /// <summary>The memory is there: struct pages, and a linear mapping unless it is private.</summary>
    public bool IsPresent { get; internal set; }

    /// <summary>Removal has begun at least once in this life.</summary>
    public bool WasRemoved { get; internal set; }

    /// <summary>Kill and cleanup callbacks that ran in this life, for CLEANUP-ONCE-AFTER-KILL.</summary>
    public int KillCalls { get; internal set; }

    public int CleanupCalls { get; internal set; }

    /// <summary>Count that an idle page has while mapped: 1, or 0 where the page protocol of v6.15 is played.</summary>
    public int IdleCount { get; set; } = 1;

    /// <summary>Set of one for the map entry; <see cref="KernelObject.Mask"/> stands for the memory.</summary>
    public ulong EntryMask
    {
        get => SetOfOne.Of(_entryMask);
        set => _entryMask = SetOfOne.Kept(value);
    }

    /// <summary>Set of one for the page counts.</summary>
    public ulong PagesMask
    {
        get => SetOfOne.Of(_pagesMask);
        set => _pagesMask = SetOfOne.Kept(value);
    }

    /// <summary>Pages still holding the count that initialisation gave them.</summary>
    internal bool HoldsInitialCounts { get; set; }

    /// <summary>Pages somebody pins, apart from the initial count.</summary>
    internal int PinnedPages => _pins?.Count(pin => pin.Value > 0) ?? 0;

    /// <summary>Pages whose count is not the one that they have while nobody holds them.</summary>
    internal int CountedApart => _pins?.Count ?? 0;

    /// <summary>Pages whose count is above zero, each of which holds one reference of the map's ref.</summary>
    internal long CountedPages => HoldsInitialCounts ? PageCount : PinnedPages;

    internal void MoveTo(ulong startPfn) => StartPfn = startPfn;

    internal void InitPages()
    {
        _pins?.Clear();
        HoldsInitialCounts = true;
    }

    internal int CountOf(ulong pfn) =>
        (HoldsInitialCounts ? IdleCount : 0) + (_pins?.GetValueOrDefault(checked((long)(pfn - StartPfn))) ?? 0);

    /// <summary>
    /// Adds <paramref name="delta"/> to a page's count and returns the new one; may fall below zero, which is judged
    /// elsewhere.
    /// </summary>
    internal int AddToCount(ulong pfn, int delta)
    {
        _pins ??= [];
        var page = checked((long)(pfn - StartPfn));
        var pins = _pins.GetValueOrDefault(page) + delta;
        if (pins == 0)
        {
            _pins.Remove(page);
        }
        else
        {
            _pins[page] = pins;
        }

        return CountOf(pfn);
    }

    /// <summary>Sections that the range touches, aligned outwards.</summary>
    internal (ulong FirstPfn, ulong EndPfn) Aligned(ulong sectionPages)
    {
        var first = StartPfn / sectionPages * sectionPages;
        var end = (StartPfn + (ulong)PageCount + sectionPages - 1) / sectionPages * sectionPages;
        return (first, end);
    }

    internal bool Covers(ulong pfn) => pfn >= StartPfn && pfn < StartPfn + (ulong)PageCount;

    public override int PartCount => 3;

    public override ulong PartMask(int part) => part switch { 0 => Mask, 1 => EntryMask, _ => PagesMask };

    public override void HashPart(int part, ref ulong hash)
    {
        switch (part)
        {
            case 0:
                StateHash.Mix(ref hash, (IsPresent ? 1UL : 0) | (WasRemoved ? 2UL : 0));
                break;
            case 1:
                StateHash.Mix(ref hash, IsStored ? Ref is null ? 3UL : 1UL : 0UL);
                break;
            default:
                StateHash.Mix(ref hash, HoldsInitialCounts ? 1UL : 0);
                HashPins(ref hash);
                break;
        }
    }

    public override void Reset()
    {
        base.Reset();
        _pins?.Clear();
        HoldsInitialCounts = false;
        IsStored = false;
        ErasedForGood = true;
        IsPresent = false;
        WasRemoved = false;
        KillCalls = 0;
        CleanupCalls = 0;
        Ref = null;
    }

    public override void HashInto(ref ulong hash)
    {
        StateHash.Mix(
            ref hash,
            (IsStored ? 1UL : 0) | (ErasedForGood ? 2UL : 0) | (IsPresent ? 4UL : 0) | (WasRemoved ? 8UL : 0)
            | (HoldsInitialCounts ? 16UL : 0) | (Ref is null ? 32UL : 0) | ((ulong)KillCalls << 8)
            | ((ulong)CleanupCalls << 16));
        HashPins(ref hash);
    }

    private void HashPins(ref ulong hash)
    {
        var pages = 0UL;
        if (_pins is not null)
        {
            foreach (var (page, pins) in _pins)
            {
                var one = StateHash.Seed;
                StateHash.Mix(ref one, page);
                StateHash.Mix(ref one, pins);
                pages = unchecked(pages + one);
            }
        }

        StateHash.Mix(ref hash, pages);
    }
}
