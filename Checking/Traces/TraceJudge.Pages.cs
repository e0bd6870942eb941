using System.Globalization;
using System.Text;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Pages: who touches them, who holds them, and when that is too late.</summary>
internal sealed partial class TraceJudge
{
    /// <summary>What a pin of get_user_pages adds to a page's count; single references prove nothing.</summary>
    private const long PinBias = 1024;

    /// <summary>Bytes of a struct page.</summary>
    private const ulong StructPageBytes = 64;

    /// <summary>The array of struct pages starts at a multiple of this, also where its address is random.</summary>
    private const ulong MemmapAlignBytes = 1UL << 30;

    /// <summary>Address of the struct page of frame 0, as x86-64 has it unless it is made random.</summary>
    private ulong _memmapStart = 0xffffea0000000000;

    /// <summary>
    /// A pointer and a frame number of one page were seen together: from then on a pointer alone is believed.
    /// </summary>
    private bool _memmapKnown;

    private ulong PfnOf(ulong page) => unchecked(page - _memmapStart) / StructPageBytes;

    /// <summary>Frame of a page, with the array's start corrected where the page's own map shows it.</summary>
    private ulong PfnOf(ulong page, TracedMap? map)
    {
        var pfn = PfnOf(page);
        if (map is null || map.Contains(pfn))
        {
            _memmapKnown |= map is not null;
            return pfn;
        }

        var start = unchecked(page - (map.FirstPfn * StructPageBytes)) & ~(MemmapAlignBytes - 1);
        var corrected = unchecked(page - start) / StructPageBytes;
        if (map.Contains(corrected))
        {
            (_memmapStart, _memmapKnown) = (start, true);
            return corrected;
        }

        return pfn;
    }

    /// <summary>A probe named the page by its pointer, and the page_ref record behind it by its frame.</summary>
    private void PairPage(ulong page, ulong pfn)
    {
        var start = unchecked(page - (pfn * StructPageBytes));
        if (start % MemmapAlignBytes == 0)
        {
            (_memmapStart, _memmapKnown) = (start, true);
        }
    }

    private void PageRef(ulong pfn, long count, ReadOnlySpan<byte> name)
    {
        if (_task.TouchedPage != 0)
        {
            PairPage(_task.TouchedPage, pfn);
            _task.TouchedPage = 0;
        }

        if (FindRange(pfn) is not { } map)
        {
            return;
        }

        if (map.Memory is MapMemory.Removed)
        {
            UseAfterRemoval(map, pfn, name, isEntry: false);
            if (map.PinnedAtRemoval is { } pinned && count < PinBias && pinned.ContainsKey(pfn)
                && !CertainlyAfter(map.RemoveBegin))
            {
                // The pin may have been gone when the removal began: its record is merely late.
                pinned.Remove(pfn);
                _ledger.Undecided(TraceRule.NoUseAfterRemove);
            }

            return;
        }

        _ledger.Ok(TraceRule.NoUseAfterRemove);
        ref var page = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(
            map.Pages, pfn, out _);
        if (count < PinBias || page.Count < PinBias)
        {
            page.Task = _task;
        }

        (page.Count, page.Line, page.TimeNs) = (count, _line, _timeNs);
        Activity(map);
        if (sink is not null)
        {
            SendPage(map, pfn, count, name);
        }
    }

    private void SendPage(TracedMap map, ulong pfn, long count, ReadOnlySpan<byte> name)
    {
        var kind = name.SequenceEqual("page_ref_mod"u8)
            || name.SequenceEqual("page_ref_mod_unless"u8) ? EventKind.PageGet : EventKind.PagePut;
        Emit(count == 0 ? EventKind.PageIdle : kind, map.Obj, map.Life, pfn: pfn, count: count);
    }

    private void PageEntry(TraceProbe probe, in TraceFields fields, ReadOnlySpan<byte> name)
    {
        var page = Need(fields, TraceField.Page, name);
        var map = _maps.GetValueOrDefault(fields[TraceField.Pgmap]);
        var pfn = PfnOf(page, map);
        if (_memmapKnown && (map is null || map.Contains(pfn)))
        {
            map = FindRange(pfn) ?? map;
        }

        if (map is null)
        {
            return;
        }

        if (map.Memory is MapMemory.Removed)
        {
            UseAfterRemoval(map, pfn, name, isEntry: true);
            return;
        }

        _ledger.Ok(TraceRule.NoUseAfterRemove);
        Activity(map);
        if (probe is TraceProbe.FolioFree or TraceProbe.PageFree)
        {
            (_task.FreeingOf, _task.FreeingPfn) = (map, pfn);
            if (map.UnmapBegin.IsSeen && !map.Zero.IsSeen && probe is TraceProbe.FolioFree)
            {
                map.FreedDuringWait++;
                Hold(map, _task);
            }
        }
    }

    private void PageReturn(TraceProbe probe, in TraceFields fields, ReadOnlySpan<byte> name)
    {
        if (probe is TraceProbe.FolioFreeRet)
        {
            (_task.FreeingOf, _task.FreeingPfn) = (null, 0);
        }

        Touch(PfnOf(Need(fields, TraceField.Page, name)), name, isEntry: false);
    }

    private void TouchPage(in TraceFields fields, ReadOnlySpan<byte> name, bool isEntry)
    {
        var page = Need(fields, TraceField.Page, name);
        _task.TouchedPage = isEntry && !_memmapKnown ? page : 0;
        Touch(PfnOf(page), name, isEntry);
    }

    private void Touch(ulong pfn, ReadOnlySpan<byte> name, bool isEntry)
    {
        if (!_memmapKnown || FindRange(pfn) is not { } map)
        {
            // The array of struct pages may be at a random address: a pointer alone is then no page of this map.
            return;
        }

        if (map.Memory is MapMemory.Removed)
        {
            UseAfterRemoval(map, pfn, name, isEntry);
            return;
        }

        _ledger.Ok(TraceRule.NoUseAfterRemove);
        Activity(map);
    }

    private void Activity(TracedMap map) => map.LastActivity = new(_line, _timeNs, _task, 0, EventKind.None, "");

    private static void Hold(TracedMap map, TracedTask task)
    {
        if (map.Holders.Count < 64)
        {
            map.Holders.Add(task.Label);
        }
    }

    /// <summary>
    /// Whether the effect of the present record, which was recorded after it, lies behind a moment for sure.
    /// </summary>
    private bool CertainlyAfter(Moment moment) =>
        EffectAfterLine >= moment.Line
            || _timeNs - moment.TimeNs > (_preemptible ? LatePreemptedMax : LateInterruptedMax).Ticks * 100;

    private void UseAfterRemoval(TracedMap map, ulong pfn, ReadOnlySpan<byte> name, bool isEntry)
    {
        if (!isEntry && !CertainlyAfter(map.RemoveBegin))
        {
            _ledger.Undecided(TraceRule.NoUseAfterRemove);
            return;
        }

        if (IsIncomplete && !map.RemoveEnd.IsSeen)
        {
            _ledger.Undecided(TraceRule.NoUseAfterRemove);
            return;
        }

        map.UsesAfterRemoval++;
        _probe = Encoding.ASCII.GetString(name);
        var now = Emit(isEntry ? EventKind.PageBackptrRead : EventKind.PagePut, map.Obj, map.Life, pfn: pfn);
        var later = TimeSpan.FromTicks((_timeNs - map.RemoveBegin.TimeNs) / 100);
        var which = isEntry ? "was entered" : "had its effect";
        _ledger.Violated(
            TraceRule.NoUseAfterRemove, "used-after-removal", map.Name, _line,
            $"Let M = {map}, whose removal began at {Say(map.RemoveBegin)}{Unbinding(map)}. Then no page of M is "
            + $"touched from there on; however, {_probe} on page 0x{pfn:x} "
            + $"{which} at {Say(now)}, {Milliseconds(later)} later, and no memory had been added there again: a "
            + "contradiction.",
            [RemovalRecord(map), Record(map.Name, map.Life, now, ("pfn", $"0x{pfn:x}"))]);
    }

    private static string Unbinding(TracedMap map) =>
        map.UnmapBegin.IsSeen ? $" in the unbind of {map.Device.Shown}" : "";

    private static string Milliseconds(TimeSpan time) =>
        time.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture) + " ms";

    private static int CountPinned(TracedMap map)
    {
        var count = 0;
        foreach (var page in map.Pages.Values)
        {
            if (page.Count >= PinBias)
            {
                count++;
                if (page.Task is { } task)
                {
                    Hold(map, task);
                }
            }
        }

        return count;
    }

    /// <summary>
    /// Nothing more can change what was found about a map: its range has a new owner, or the trace ended.
    /// </summary>
    private void Close(TracedMap map)
    {
        if (map.PinnedAtRemoval is not { Count: > 0 } pinned)
        {
            return;
        }

        map.PinnedAtRemoval = null;
        if (IsIncomplete || _timeNs - map.RemoveBegin.TimeNs <= LatePreemptedMax.Ticks * 100)
        {
            _ledger.Undecided(TraceRule.NoUseAfterRemove);
            return;
        }

        var holders = string.Join(
            ", ", pinned.Values.Select(page => page.Task?.Label).Where(label => label is not null).Distinct().Take(8));
        var first = pinned.First();
        List<string> evidence = [RemovalRecord(map)];
        evidence.AddRange(pinned.Take(64).Select(page => Record(
            map.Name, map.Life, new(
                page.Value.Line, page.Value.TimeNs, page.Value.Task, 0, EventKind.PageGet, "page_ref"),
            ("pfn", $"0x{page.Key:x}"), ("count", page.Value.Count))));
        _ledger.Violated(
            TraceRule.NoUseAfterRemove, "pinned-at-removal", map.Name, map.RemoveBegin.Line,
            $"Let M = {map}, P = {Pages(pinned)}, pinned by {holders}. Then a pinned page holds its memory until it "
            + "is let go; however, the removal of M began at "
            + $"{Say(map.RemoveBegin)}{Unbinding(map)} while {pinned.Count} page(s) of M were still pinned, the first "
            + $"with count {first.Value.Count} since line {first.Value.Line}: a contradiction.",
            evidence);
    }

    /// <summary>Pages with their counts, neighbours of one count as a range.</summary>
    private static string Pages(SortedDictionary<ulong, TracedPage> pinned)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{pinned.Count} page(s): ");
        var (parts, first, last, count) = (0, 0UL, 0UL, -1L);
        foreach (var (pfn, page) in pinned)
        {
            if (count == page.Count && pfn == last + 1)
            {
                last = pfn;
                continue;
            }

            Append();
            (first, last, count) = (pfn, pfn, page.Count);
        }

        Append();
        return text.ToString();

        void Append()
        {
            if (count < 0 || parts > 16)
            {
                return;
            }

            text.Append(parts++ == 0 ? "" : ", ");
            text.Append(
                CultureInfo.InvariantCulture, $"0x{first:x}{(last > first ? $"..0x{last:x}" : "")} at count {count}");
        }
    }
}
