using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I1: no mapping is removed while an allocation in it is referenced.</summary>
/// <remarks>
/// Decided on the device alone, by address, since early profiles have no owner: alloc before <c>teardown_begin</c>,
/// free or reap after <c>teardown_end</c>. Held back until the life has ended, because a life that ended by
/// <c>fenced</c> is exempt. Pins are decided on the page map alone, whose own order has the removal too. A history in
/// one order for all objects says more: whether the ref had reached zero, so that a removal that nobody waited for is
/// seen although nobody held anything, and a pin that counted for no reference (a kernel that loses it) is not held
/// against it.
/// </remarks>
public sealed class ReapBeforeRemove : Rule, IDeviceRule, IDeviceEndRule, IMapRule
{
    public override string Name => "REAP-BEFORE-REMOVE";

    public override int Number => 1;

    public override bool Essential => true;

    public override string Claim => "A mapping's memory is removed only after its reference count was seen at zero.";

    public override string Source =>
        "devm_memremap_pages_release: kill, put the pages, wait for zero and exit, then remove the memory";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } =
        [EventKind.TeardownEnd, EventKind.UnbindEnd, EventKind.BindEnd, EventKind.BindBegin, EventKind.Hang,
            EventKind.HangDetected];

    IReadOnlyList<EventKind> IMapRule.Kinds { get; } = [EventKind.MemoryRemove];

    void IMapRule.Judge(MapStream map, HistoryEvent record)
    {
        if (map.Fenced || (map.Context.InOneOrder && JudgeCount(map, record)))
        {
            return;
        }

        foreach (var pin in map.Pins)
        {
            map.Ledger.Violated(this, Class, "pinned-at-removal", map.Obj, () => new(
                $"Let P = the pin of page 0x{pin.Pfn:x} taken at seq {pin.At.Seq} of page map M = {map.Name}. Then P "
                + "holds a count of its page, and so a reference to M, until it is put; "
                + $"however, devm_memremap_pages_release removed M's memory at seq {record.At.Seq} while P was not "
                + "put: a contradiction.",
                [pin, record]));
        }

        for (var ended = map.PinsAtTeardown - map.Pins.Count; ended > 0; ended--)
        {
            map.Ledger.Ok(this);
        }
    }

    /// <returns>False where the ref of the page map is not in the history, or other records decide.</returns>
    private bool JudgeCount(MapStream map, HistoryEvent record)
    {
        if (map.Stored is null || map.Group.RefOf(map.Context.Objects, map.Obj) is not { } counted)
        {
            // Memory without page structs has no users that anybody counts.
            return false;
        }

        if (counted.Now.ZeroSeq > counted.Now.RevivedSeq)
        {
            map.Ledger.Ok(this);
            return true;
        }

        var isHeld = map.Pins.Count > 0
            || map.Group.Device?.Mappings.Any(mapping => mapping.Map == map.Obj && mapping.Held > 0) is true;
        if (isHeld || counted.HasGapBetween(counted.Now.InitSeq, long.MaxValue))
        {
            return false;
        }

        var kill = counted.Kill;
        map.Ledger.Violated(this, Class, "not-zero", map.Obj, () => new(
            $"Let M = page map {map.Name}, R = {counted.Name}, which counts its users. Then M's memory may go when R "
            + $"was seen at zero, and R was not at zero ({Prose.At(kill)} killed it); however, "
            + $"devm_memremap_pages_release removed M's memory at seq {record.At.Seq}: a contradiction.",
            kill is null ? [record] : [kill, record]));
        return true;
    }

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is not EventKind.TeardownEnd)
        {
            device.EndHeld();
        }
        else if (device.MappingAt(record.Start) is { Phase: MappingPhase.TearingDown } mapping)
        {
            Remove(device, mapping, record);
        }
    }

    void IDeviceEndRule.JudgeEnd(DeviceStream device) => device.EndHeld();

    private void Remove(DeviceStream device, Mapping mapping, HistoryEvent end)
    {
        var (before, held, unbind) = (mapping.HeldAtBegin, 0, device.Unbind);
        foreach (var slot in device.LiveSlots())
        {
            var allocation = device.Live![slot];
            if (!mapping.Contains(allocation.Start))
            {
                continue;
            }

            if (allocation.Seq > mapping.TeardownBegin?.At.Seq)
            {
                // Made while the teardown ran: the removal may lie on either side of it.
                device.Ledger.Undecided(this);
                continue;
            }

            held++;
            var entry = new HeldAtRemoval(() => device.Ledger.Violated(
                this, Class, "held-at-removal", device.Obj, () =>
                    Prove(device.Context, allocation, mapping, end, unbind)));
            device.Hold(entry);
            device.ViolatedUnlessFreed(this, allocation, end.At.Seq, entry.Prove);
        }

        for (; before > held; before--)
        {
            device.Ledger.Ok(this);
        }
    }

    private static Proof Prove(
        CheckContext context, LiveAllocation a, Mapping mapping, HistoryEvent end, HistoryEvent? unbind)
    {
        var begin = mapping.TeardownBegin;
        var u = unbind is null ? "the teardown" : $"the unbind (begun at seq {unbind.At.Seq})";
        List<HistoryRecord> records = [a.Record()];
        if (unbind is not null)
        {
            records.Add(unbind);
        }

        if (begin is not null)
        {
            records.Add(begin);
        }

        records.Add(end);
        return new(
            $"Let A = {Prose.Allocation(context, a)}, U = {u} of {context.Name(end.At.Obj)}, M = page map "
            + $"{(mapping.Map == 0 ? "of the range" : context.Name(mapping.Map))} (0x{mapping.Start:x}, "
            + $"{mapping.SizeBytes} bytes). "
            + $"Then A was made before U began to tear M down ({Prose.At(begin)}) and holds a reference to M until "
            + "it is freed; "
            + $"however, devm_memremap_pages_release had removed M's memory by seq {end.At.Seq} while A was not "
            + "freed: a contradiction.",
            records);
    }
}

/// <summary>I2: nothing touches a page of a mapping after its memory was removed.</summary>
/// <remarks>
/// Needs positions of the page map, whatever the clocks say; who held is asked of the device's stream and of the
/// client's own sequence. An access refused by a fence touched nothing and is no evidence.
/// </remarks>
public sealed class NoUseAfterRemove : Rule, IAccessRule, IMapRule
{
    public override string Name => "NO-USE-AFTER-REMOVE";

    public override int Number => 2;

    public override bool Essential => true;

    public override RuleNeeds Needs => RuleNeeds.ClientSequence;

    public override string Claim => "No page is touched after the memory of its page map was removed.";

    public override string Source =>
        "devm_memremap_pages_release: arch_remove_memory comes after the last reference is gone";

    IReadOnlyList<EventKind> IMapRule.Kinds { get; } =
        [EventKind.PageGet, EventKind.PagePut, EventKind.PageFinalPut, EventKind.PageBackptrRead, EventKind.Oops];

    void IAccessRule.JudgeAccess(MapStream map, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok && op.Err is not Errno.EFAULT)
        {
            return;
        }

        if (map.Removed is not { } removed)
        {
            if (map.Present)
            {
                map.Ledger.Ok(this);
            }

            return;
        }

        map.Ledger.Hit(Probe.AccessAfterRemove);
        if ((op.Client == 0 && op.Alloc.IsNone) || map.IsPinned(op.Alloc))
        {
            Violate(map, op, removed, default);
            return;
        }

        Suspect(map, op, removed);
    }

    // What captures stands in a method of its own: a closure is made where its variables begin, on every call.
    private void Suspect(MapStream map, Operation access, HistoryEvent removed) =>
        map.Group.Suspect(
            new(access, (answer, allocation, free) =>
            {
                switch (answer)
                {
                    case HeldAnswer.Held:
                        Violate(map, access, removed, allocation);
                        break;
                    case HeldAnswer.Misuse:
                        map.Ledger.Violated(
                            this, FindingClass.Client, "after-own-free", map.Obj, () =>
                                Misuse(map, access, removed, free));
                        break;
                    default:
                        map.Ledger.Undecided(this);
                        break;
                }
            }),
            map.Context.Online);

    void IMapRule.Judge(MapStream map, HistoryEvent record)
    {
        if (record.Kind is EventKind.Oops)
        {
            if (record.Text is "removed-memory")
            {
                map.Ledger.Violated(this, Class, "oops", map.Obj, () => new(
                    $"Let M = page map {map.Name}. Then its memory was removed at {Prose.At(map.Removed)}; however, "
                    + $"at seq {record.At.Seq} "
                    + $"{record.Actor ?? "somebody"} took a page fault on it in {record.Fn ?? "an unnamed step"}: a "
                    + "contradiction.",
                    map.Removed is null ? [record] : [map.Removed, record]));
            }
        }
        else if (map.Removed is { } removed)
        {
            map.Ledger.Violated(this, Class, EventKinds.WireName(record.Kind), map.Obj, () => new(
                $"Let P = page 0x{record.Pfn:x} of page map M = {map.Name}. Then M's memory was removed at seq "
                + $"{removed.At.Seq}; however, "
                + $"{EventKinds.WireName(record.Kind)} of P by {record.Actor ?? "somebody"} ran at seq "
                + $"{record.At.Seq}, after the struct page was gone: a contradiction.",
                [removed, record]));
        }
        else if (map.Present)
        {
            map.Ledger.Ok(this);
        }
    }

    private void Violate(MapStream map, Operation op, HistoryEvent removed, LiveAllocation allocation) =>
        map.Ledger.Violated(this, Class, "held", map.Obj, () =>
        {
            var context = map.Context;
            var unbind = map.Group.Device?.Unbind;
            var u = unbind is null
                ? $"the unbind of {context.Name(context.Objects.DeviceOf(map.Obj))}"
                : $"the unbind of {context.Name(unbind.At.Obj)} (begun at seq {unbind.At.Seq})";
            var a = allocation.Id.IsNone
                ? $"allocation {context.Name(op.Alloc.Device)}#{op.Alloc.Gen}#{op.Alloc.Number} of "
                + $"{context.Name(op.Client)}"
                : Prose.Allocation(context, allocation);
            List<HistoryRecord> records = allocation.Id.IsNone ? [removed, op] : [allocation.Record(), removed, op];
            return new(
                $"Let A = {a}, U = {u}, M = page map {map.Name}. Then A was made, and its client had not sent its "
                + "free; "
                + $"however, U removed the memory of M at seq {removed.At.Seq} and {Prose.Access(context, op)}, "
                + $"through A, ran at M at seq {op.At.Seq}: a contradiction. "
                + "Broken in devm_memremap_pages_release, where the memory has to be removed after the wait for A's "
                + "reference.",
                records);
        });

    private static Proof Misuse(MapStream map, Operation op, HistoryEvent removed, Operation free)
    {
        List<HistoryRecord> records = free.Kind is OperationKind.None ? [removed, op] : [free, removed, op];
        return new(
            $"Let C = {map.Context.Name(op.Client)}, M = page map {map.Name}. Then C no longer held allocation "
            + $"{map.Context.Name(op.Alloc.Device)}#{op.Alloc.Gen}#{op.Alloc.Number}; however, "
            + $"{Prose.Access(map.Context, op)} ran at M at seq {op.At.Seq}, "
            + $"after M's memory was removed at seq {removed.At.Seq}: C used what it had given back.",
            records);
    }
}

/// <summary>A holder reads back the tag that it wrote: corruption shows whatever the order of events says.</summary>
public sealed class TagMismatch : Rule, IAccessRule
{
    public override string Name => "TAG-MISMATCH";

    public override int Number => 0;

    public override RuleNeeds Needs => RuleNeeds.ClientSequence;

    public override string Claim => "A holder reads from its pages the tag that it wrote last, and never another's.";

    public override string Source => "black box: the contents of pages, beside the order of steps";

    void IAccessRule.JudgeAccess(MapStream map, in Operation op)
    {
        if (op.Direction is not AccessDirection.Read || op.Outcome is not OperationOutcome.Ok || op.Alloc.IsNone
            || !map.Present)
        {
            return;
        }

        if (!Expected(map, op, out var expected, out var own, out var known))
        {
            return;
        }

        if (expected == op.Tag)
        {
            map.Ledger.Ok(this);
            return;
        }

        Mismatch(map, op, expected, own, known);
    }

    private void Mismatch(MapStream map, Operation access, ulong expected, bool own, PageTag known)
    {
        if (map.UnansweredWrites?.Exists(w => w.Alloc == access.Alloc && w.Tag == access.Tag) is true)
        {
            // A write nobody answered turns out to have happened.
            map.Ledger.Ok(this);
            return;
        }

        if (!map.Context.Header.Complete && map.Gaps.Count > 0)
        {
            map.Ledger.Undecided(this);
            return;
        }

        map.Group.Suspect(
            new(access, (answer, allocation, _) =>
            {
                if (answer is HeldAnswer.Held)
                {
                    map.Ledger.Violated(
                        this, Class, own ? "lost-write" : "overwritten", map.Obj, () =>
                            Prove(map, access, expected, own, known, allocation));
                }
                else if (answer is HeldAnswer.Misuse)
                {
                    map.Ledger.Violated(
                        this, FindingClass.Client, "after-own-free", map.Obj, () =>
                            Prove(map, access, expected, own, known, allocation));
                }
                else
                {
                    map.Ledger.Undecided(this);
                }
            }),
            map.Context.Online);
    }

    /// <summary>
    /// What the holder wrote to the pages that it reads; false when it did not write one tag to all of them.
    /// </summary>
    private static bool Expected(
        MapStream map, in Operation op, out ulong expected, out bool own, out PageTag known)
    {
        (expected, own, known) = (0, true, default);
        if (op.PageCount > MapStream.TaggedPagesMax)
        {
            return false;
        }

        for (var page = 0; page < Math.Max(1, op.PageCount); page++)
        {
            var now = map.TagOf(unchecked(op.Pfn + (ulong)page));
            var isOwn = now.Alloc == op.Alloc;
            if (!isOwn && now.EarlierAlloc != op.Alloc)
            {
                return false;
            }

            var tag = isOwn ? now.Tag : now.EarlierTag;
            if (page > 0 && tag != expected)
            {
                return false;
            }

            (expected, known) = (tag, own ? now : known);
            own &= isOwn;
        }

        return true;
    }

    private static Proof Prove(
        MapStream map, Operation op, ulong expected, bool own, PageTag known, LiveAllocation allocation)
    {
        var context = map.Context;
        var a = allocation.Id.IsNone
            ? $"allocation {context.Name(op.Alloc.Device)}#{op.Alloc.Gen}#{op.Alloc.Number}"
            : Prose.Allocation(context, allocation);
        var other = own ? "" : $" Allocation {context.Name(known.Alloc.Device)}#{known.Alloc.Gen}#{known.Alloc.Number} "
            + $"wrote 0x{known.Tag:x} there in between.";
        List<HistoryRecord> records = allocation.Id.IsNone ? [op] : [allocation.Record(), op];
        return new(
            $"Let A = {a}, P = page 0x{op.Pfn:x} of page map {map.Name}. Then the last tag written to P through A is "
            + $"0x{expected:x}; "
            + $"however, {Prose.Access(context, op)} through A returned 0x{op.Tag:x} at seq {op.At.Seq}: a "
            + $"contradiction.{other}",
            records);
    }
}

/// <summary>I11: a lookup finds only a page map whose memory is there.</summary>
public sealed class LookupSafe : Rule, IMapRule
{
    public override string Name => "LOOKUP-SAFE";

    public override int Number => 11;

    public override string Claim => "get_dev_pagemap succeeds only while the page map's memory is there.";

    public override string Source => "get_dev_pagemap: load the entry, tryget_live its ref";

    IReadOnlyList<EventKind> IMapRule.Kinds { get; } = [EventKind.MapLookup];

    void IMapRule.Judge(MapStream map, HistoryEvent record)
    {
        if (map.Removed is not { } removed || record.Err is not Errno.OK)
        {
            map.Ledger.Ok(this);
            return;
        }

        map.Ledger.Violated(this, Class, "removed", map.Obj, () => new(
            $"Let M = page map {map.Name}. Then M's memory was removed at seq {removed.At.Seq}; however, a lookup of "
            + $"page 0x{record.Pfn:x} by "
            + $"{record.Actor ?? "somebody"} found M at seq {record.At.Seq}: a contradiction.",
            [removed, record]));
    }
}

/// <summary>I13: page counts stay at or above zero, and a page has one final put in a life of its mapping.</summary>
public sealed class PageCountNonneg : Rule, IMapRule
{
    public override string Name => "PAGE-COUNT-NONNEG";

    public override int Number => 13;

    public override string Claim =>
        "No page count falls below zero, and a page's final put happens once in a life of its mapping.";

    public override string Source => "put_page, __put_devmap_managed_page";

    IReadOnlyList<EventKind> IMapRule.Kinds { get; } = [EventKind.PageGet, EventKind.PagePut, EventKind.PageFinalPut];

    void IMapRule.Judge(MapStream map, HistoryEvent record)
    {
        var again = record.Kind is EventKind.PageFinalPut && !map.NoteFinalPut(record.Pfn);
        if (record is { Kind: EventKind.PageGet, Text: "hand-out" } && map.IdleCountAt(record) is var idle
            && record.Count > idle.Count)
        {
            map.Ledger.Violated(this, Class, "handed-out-twice", map.Obj, () => new(
                $"Let P = page 0x{record.Pfn:x} of page map {map.Name}. Then P is idle at a count of {idle.Count}, as "
                + $"when it was handed out at seq {idle.At.Seq}; however, it was handed out again at seq "
                + $"{record.At.Seq} with a count of {record.Count}: a contradiction.",
                [idle, record]));
            return;
        }

        if (!again && record.Count >= 0)
        {
            map.Ledger.Ok(this);
            return;
        }

        map.Ledger.Violated(this, Class, again ? "again" : "negative", map.Obj, () => new(
            $"Let P = page 0x{record.Pfn:x} of page map {map.Name}. Then P's count goes down to zero once; however, "
            + $"{(again ? "its final put ran again" : $"its count became {record.Count}")} at seq {record.At.Seq}: a "
            + "contradiction.",
            [record]));
    }
}

/// <summary>I12: a page map's memory is freed only after its entry is out of the lookup table.</summary>
public sealed class MapErasedBeforeFree : Rule, IDeviceRule
{
    public override string Name => "MAP-ERASED-BEFORE-FREE";

    public override int Number => 12;

    public override RuleNeeds Needs => RuleNeeds.AfterEdges;

    public override string Claim => "A page map's object is freed only after its teardown has ended, its entry erased.";

    public override string Source =>
        "devm_memremap_pages_release, then the devres free of the pgmap: erase, grace period, free";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.ObjFree];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (device.MapIn(record.Other) is not { } mapping)
        {
            JudgeEntry(device, record);
            return;
        }

        if (mapping.Phase is MappingPhase.Removed)
        {
            device.Ledger.Ok(this);
        }
        else
        {
            device.Ledger.Violated(this, Class, mapping.Phase.ToString(), device.Obj, () => new(
                $"Let M = page map {device.Context.Name(mapping.Map)} of {device.Name}. Then its entry stands in the "
                + "lookup table until its teardown has ended; "
                + $"however, its object {device.Context.Name(record.Other)} was freed at seq {record.At.Seq}, before "
                + "that: a contradiction.",
                mapping.TeardownBegin is { } begin ? [begin, record] : [record]));
        }
    }

    /// <summary>A mapping that never got its chunk is known by its entry; one order tells which was first.</summary>
    private void JudgeEntry(DeviceStream device, HistoryEvent record)
    {
        if (!device.Context.InOneOrder || device.ResourceIn(record.Other, "map:") is not { } named
            || !device.Group.Maps.TryGetValue(named, out var map))
        {
            return;
        }

        if (map.Stored is not { } stored)
        {
            device.Ledger.Ok(this);
            return;
        }

        device.Ledger.Violated(this, Class, "entry", device.Obj, () => new(
            $"Let M = page map {map.Name}. Then its entry stands in the lookup table since seq {stored.At.Seq} there; "
            + $"however, its object {device.Context.Name(record.Other)} was freed at seq {record.At.Seq} before the "
            + "entry was erased: a contradiction.",
            [stored, record]));
    }
}

/// <summary>I14: a page is called idle only when nobody pins it.</summary>
/// <remarks>
/// Left out is what the kernel is known to do: the put of a teardown takes a page that is pinned once from 2 to 1, so
/// that page_free runs with the pin still there (kernel-model B.4). From that put on nothing is judged for the page.
/// </remarks>
public sealed class PageFreeOnlyIdle : Rule, IMapRule
{
    public override string Name => "PAGE-FREE-ONLY-IDLE";

    public override int Number => 14;

    public override string Claim =>
        "page_free runs for a page, before its mapping is torn down, only when no pin is left.";

    public override string Source => "__put_devmap_managed_page: a count of 1 means idle";

    public override string? Limits =>
        "after the teardown's own put the kernel calls a pinned page idle; that known quirk is not judged";

    IReadOnlyList<EventKind> IMapRule.Kinds { get; } = [EventKind.PageIdle];

    void IMapRule.Judge(MapStream map, HistoryEvent record)
    {
        if (!map.Present || map.InitialPutSeen(record.Pfn))
        {
            return;
        }

        var pins = map.PinsOf(record.Pfn);
        if (pins.Count == 0)
        {
            map.Ledger.Ok(this);
            return;
        }

        // A put that is missing would have taken the pin.
        if (map.HasGapBetween(pins.First!.At.Seq, record.At.Seq))
        {
            map.Ledger.Undecided(this);
            return;
        }

        var first = pins.First;
        map.Ledger.Violated(this, Class, "pinned", map.Obj, () => new(
            $"Let P = page 0x{record.Pfn:x} of page map {map.Name}. Then P was pinned at seq {first.At.Seq} "
            + $"({first.Actor ?? "by somebody"}) and not given back; however, page_free ran for P at seq "
            + $"{record.At.Seq}: a contradiction.",
            [first, record]));
    }
}
