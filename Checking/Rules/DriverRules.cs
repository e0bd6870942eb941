using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I6: nothing is done to an object after its memory was freed.</summary>
public sealed class NoOpAfterFree : Rule, IDeviceRule
{
    public override string Name => "NO-OP-AFTER-FREE";

    public override int Number => 6;

    public override string Claim => "No step reads or writes an object whose memory was freed (OBJ-LIVE).";

    public override string Source => "devres frees each node's memory at its own place in the list";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } =
        [EventKind.Oops, EventKind.ObjFree, EventKind.UnbindEnd, EventKind.BindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        switch (record.Kind)
        {
            case EventKind.ObjFree when device.Objects.TryGetValue(record.Other, out var known) && known.FreedSeq != 0:
                device.Ledger.Violated(this, Class, "double-free", device.Obj, () => new(
                    $"Let O = {device.Context.Name(record.Other)}. Then O was freed at seq {known.FreedSeq}; "
                    + $"however, it was freed again at seq {record.At.Seq}: a contradiction.",
                    [record]));
                break;
            case EventKind.Oops when IsUseAfterFree(record):
                var step = record.Fn ?? "unnamed";
                device.Ledger.Violated(this, Class, step, device.Obj, () => Prove(device, record));
                break;
            case EventKind.UnbindEnd or EventKind.BindEnd when device.OopsInPass is null:
                device.Ledger.Ok(this);
                break;
            default:
                break;
        }
    }

    internal static bool IsUseAfterFree(HistoryEvent record) =>
        record.Text?.Contains("free", StringComparison.Ordinal) ?? false;

    private static Proof Prove(DeviceStream device, HistoryEvent record)
    {
        var name = record.Other == 0 ? "an object" : device.Context.Name(record.Other);
        device.Objects.TryGetValue(record.Other, out var known);
        var freed = known.FreedSeq == 0
            ? "Then its memory had been freed"
            : $"Then its memory was freed at seq {known.FreedSeq}";
        List<HistoryRecord> records = known.FreedSeq == 0
            ? [record]
            : [new HistoryEvent
            {
                Kind = EventKind.ObjFree, At = new(device.Obj, device.Gen, known.FreedSeq, known.Life),
                Other = record.Other, Text = known.Kind
            }, record];
        return new(
            $"Let O = {name} of {device.Name}. {freed}; however, at seq {record.At.Seq} "
            + $"{record.Fn ?? "a step touches it"} "
            + $"(use after free by actor {record.Actor ?? "unknown"}): a contradiction.",
            records);
    }
}

/// <summary>I26: every pointer that is followed has a live target and is not NULL.</summary>
public sealed class NoNullDeref : Rule, IDeviceRule
{
    public override string Name => "NO-NULL-DEREF";

    public override int Number => 26;

    public override string Claim => "Nothing dereferences NULL or a wild pointer.";

    public override string Source => "pci_p2pdma_release and pci_alloc_p2pmem: reads of pdev->p2pdma";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.Oops, EventKind.UnbindEnd, EventKind.BindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is not EventKind.Oops)
        {
            if (device.OopsInPass is null)
            {
                device.Ledger.Ok(this);
            }

            return;
        }

        if (record.Text is not (null or "null-deref" or "wild-deref" or "oops"))
        {
            return;
        }

        var (unbind, cleared) = (device.Unbind, device.FieldCleared);
        var step = record.Fn ?? "unnamed";
        device.Ledger.Violated(
            this, Class, unbind is not null && device.IsOfPass(record) ? "unbind" : step, device.Obj, () =>
        {
            List<HistoryRecord> records = [];
            if (unbind is not null)
            {
                records.Add(unbind);
            }

            if (cleared is not null)
            {
                records.Add(cleared);
            }

            records.Add(record);
            return new(
                $"Let D = {device.Name}{(unbind is null ? "" : $", U = its unbind (begun at seq {unbind.At.Seq})")}. "
                + "Then "
                + (cleared is null
                    ? "a step of the kernel may follow only pointers that are set"
                    : $"D's p2pdma field was cleared at seq {cleared.At.Seq}")
                + $"; however, at seq {record.At.Seq} {record.Fn ?? "a step"} ({record.Text ?? "oops"} of actor "
                + $"{record.Actor ?? "unknown"}"
                + $"{(record.Other == 0 ? "" : $", {device.Context.Name(record.Other)}")}): a contradiction.",
                records);
        });
    }
}

/// <summary>I34: when an unbind has ended, nothing of the device is left.</summary>
public sealed class UnbindQuiescent : Rule, IDeviceRule
{
    public override string Name => "UNBIND-QUIESCENT";

    public override int Number => 34;

    public override RuleNeeds Needs => RuleNeeds.AfterEdges;

    public override string Claim =>
        "When an unbind has ended, no mapping, map entry, unfinished ref or pool of the device is left, "
            + "and its field is clear.";

    public override string Source => "device_release_driver: remove(), devres_release_all";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.UnbindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (Residue.Of(device) is { } left)
        {
            if (device.HasGapBetween(0, record.At.Seq))
            {
                device.Ledger.Undecided(this);
                return;
            }

            var unbind = device.Unbind;
            device.Ledger.Violated(this, Class, left.Kind, device.Obj, () => new(
                $"Let D = {device.Name}, U = its unbind{(unbind is null ? "" : $" (begun at seq {unbind.At.Seq})")}. "
                + $"Then U ended at seq {record.At.Seq} and D has no driver; "
                + $"however, {left.Text}: a contradiction.",
                unbind is null ? [record] : [unbind, record]));
            return;
        }

        if (PinnedIn(device) is { } pin)
        {
            device.Ledger.Violated(this, Class, "pinned", device.Obj, () => new(
                $"Let D = {device.Name}. Then its unbind ended at seq {record.At.Seq} and D has no driver; however, "
                + $"page 0x{pin.Pfn:x} of {device.Context.Name(pin.At.Obj)}, pinned at seq {pin.At.Seq} there, was "
                + "not put: a contradiction.",
                [pin, record]));
            return;
        }

        device.Ledger.Ok(this);
        if (device.Context.Online)
        {
            return;
        }

        foreach (var at in record.After)
        {
            var position = at;
            device.Group.WhenReached(at, reached => JudgeOther(device, record, position, reached));
        }
    }

    /// <summary>A pin that is held now; asked only where one order tells what "now" is at another object.</summary>
    private static HistoryEvent? PinnedIn(DeviceStream device) =>
        device.Context.InOneOrder ? device.Group.Maps.Values.SelectMany(map => map.Pins).FirstOrDefault() : null;

    private void JudgeOther(DeviceStream device, HistoryEvent record, Position at, bool reached)
    {
        string? left = null;
        if (!reached)
        {
            device.Ledger.Undecided(this);
            return;
        }

        if (device.Group.Maps.TryGetValue(at.Obj, out var map))
        {
            var life = map.LifeAt(at.Gen, at.Seq);
            left = life.AddSeq == 0 ? null
                : life.RemoveSeq == 0 || life.RemoveSeq > at.Seq
                ? $"the memory of {map.Name} was not removed by seq {at.Seq} there"
                : life.EraseSeq == 0 || life.EraseSeq > at.Seq
                ? $"the entry of {map.Name} was not erased by seq {at.Seq} there"
                : null;
        }
        else if (device.Group.Refs.TryGetValue(at.Obj, out var @ref))
        {
            // A ref that never backed a mapping was never killed; it belongs to NO-LEAK.
            var life = @ref.LifeAt(at.Gen, at.Seq);
            left = life is { KillSeq: > 0, Fenced: false } && (life.ExitSeq == 0 || life.ExitSeq > at.Seq)
                ? $"{@ref.Name} had not exited by seq {at.Seq} there"
                : null;
        }

        if (left is null)
        {
            device.Ledger.Ok(this);
            return;
        }

        device.Ledger.Violated(this, Class, "after", device.Obj, () => new(
            $"Let D = {device.Name}. Then the unbind of D ended at seq {record.At.Seq}, after everything it waited "
            + $"for; however, {left}: a contradiction.",
            [record]));
    }
}

/// <summary>I35: a probe that failed leaves nothing either.</summary>
public sealed class ProbeFailQuiescent : Rule, IDeviceRule
{
    public override string Name => "PROBE-FAIL-QUIESCENT";

    public override int Number => 35;

    public override string Claim => "When a probe has failed, nothing of the device is left.";

    public override string Source => "really_probe, probe_failed: devres_release_all";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.BindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (!device.ReleasedInBind || device.Binding is null)
        {
            return;
        }

        if (Residue.Of(device) is not { } left)
        {
            device.Ledger.Ok(this);
        }
        else if (device.HasGapBetween(0, record.At.Seq))
        {
            device.Ledger.Undecided(this);
        }
        else
        {
            var bind = device.Binding;
            device.Ledger.Violated(this, Class, left.Kind, device.Obj, () => new(
                $"Let D = {device.Name}. Then its probe, begun at seq {bind.At.Seq}, failed with {record.Err} at seq "
                + $"{record.At.Seq}; however, {left.Text}: a contradiction.",
                [bind, record]));
        }
    }
}

/// <summary>What of a device is left when its driver is gone.</summary>
internal static class Residue
{
    public static (string Kind, string Text)? Of(DeviceStream device)
    {
        foreach (var mapping in device.Mappings)
        {
            if (mapping.Phase is not MappingPhase.Removed)
            {
                return ("mapping", $"its mapping at 0x{mapping.Start:x} ({mapping.SizeBytes} bytes) was not torn down");
            }
        }

        return device.PoolExists ? ("pool", "its pool was not destroyed")
            : device.Field is FieldPhase.Set ? ("field", "its p2pdma field is still set")
            : null;
    }
}

/// <summary>I24: the failure of one resource leaves the others as they were.</summary>
public sealed class ResIndep : Rule, IDeviceRule, IRefRule
{
    public override string Name => "RES-INDEP";

    public override int Number => 24;

    public override RuleNeeds Needs => RuleNeeds.AfterEdges;

    public override string Claim => "A failed add_resource kills no ref that another resource needs.";

    public override string Source =>
        "pci_p2pdma_add_resource's error path through devm_memunmap_pages kills the shared ref";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.AddResourceEnd];

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefKill];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Err is not Errno.OK && device.ResourcesAdded > 0 && device.AddResource is { } begin)
        {
            device.NoteFailedAdd(begin.At.Seq, record.At.Seq);
        }
    }

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        if (@ref.Context.Online || !@ref.Name.EndsWith("/shared", StringComparison.Ordinal))
        {
            return;
        }

        foreach (var at in record.After)
        {
            if (@ref.Context.Objects.Kind(at.Obj) is ObjectKind.Device)
            {
                // Only the end of add_resource says whether it failed.
                var cause = at;
                @ref.Group.WhenFed(0, sortedByObject: false, () => Decide(@ref, record, cause));
            }
        }
    }

    private void Decide(RefStream @ref, HistoryEvent record, Position cause)
    {
        if (@ref.Group.Device?.FailedAddAt(cause) is not { } add)
        {
            return;
        }

        @ref.Ledger.Violated(this, Class, "shared-ref-killed", @ref.Obj, () => new(
            $"Let R = {@ref.Name}, the one ref of all resources of {@ref.Context.Name(cause.Obj)}. Then another "
            + "resource was mapped and needs R; however, the add_resource between seq "
            + $"{add.Begin} and {add.End}, which failed, killed R (at seq {record.At.Seq} there): a contradiction.",
            [record]));
    }
}

/// <summary>I36: what was made was destroyed when the device has no driver any more.</summary>
public sealed class NoLeak : Rule, IDeviceRule, IDeviceEndRule
{
    public override string Name => "NO-LEAK";

    public override int Number => 36;

    public override FindingClass Class => FindingClass.Leak;

    public override bool ConcludesFromAbsence => true;

    public override RuleNeeds Needs => RuleNeeds.Quiescence;

    public override string Claim => "At the end, every object of a life that is over was freed.";

    public override string Source => "every exit of probe, and of release";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.ObjFree];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record) => device.Ledger.Ok(this);

    void IDeviceEndRule.JudgeEnd(DeviceStream device)
    {
        if (!device.Context.Header.Quiescent || device.OopsEver)
        {
            return;
        }

        var running = device.Bound || device.Unbind is not null || device.Binding is not null;
        foreach (var known in device.Objects.All)
        {
            if (known.FreedSeq != 0 || (running && known.Life >= device.Life))
            {
                continue;
            }

            if (!device.Context.Header.Complete || device.Gaps.Count > 0)
            {
                device.Ledger.Undecided(this);
                continue;
            }

            var (left, life) = (known.Id, known.Life);
            device.Ledger.Violated(this, Class, known.Kind ?? "object", device.Obj, () => new(
                $"Let O = {device.Context.Name(left)}, made in life {life} of {device.Name}. Then that life is over; "
                + "however, O was never freed: a contradiction.",
                []));
        }
    }
}

/// <summary>I37: an unbind ends when every holder has let go.</summary>
/// <remarks>
/// Where somebody still holds, the premise is false: nothing is broken, the holder is named by the <c>hang</c>.
/// </remarks>
public sealed class UnbindLive : Rule, IDeviceRule, IDeviceEndRule
{
    public override string Name => "UNBIND-LIVE";

    public override int Number => 37;

    public override FindingClass Class => FindingClass.Liveness;

    public override RuleNeeds Needs => RuleNeeds.Quiescence;

    public override string Claim =>
        "An unbind, or the release after a failed probe, ends once every holder has let go.";

    public override string Source =>
        "devres_release_all waits for a ref whose remaining count a later step of the same thread owes";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.UnbindEnd, EventKind.Hang, EventKind.HangDetected];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is EventKind.UnbindEnd)
        {
            device.Ledger.Ok(this);
        }
        else if (!device.HangSeen && !ErrorPathTerminates.IsInAddResource(device)
            && (device.Unbind is not null || device.Binding is not null))
        {
            Decide(device, record);
        }
    }

    void IDeviceEndRule.JudgeEnd(DeviceStream device)
    {
        if (device.Context.Header.Quiescent && device.Unbind is not null && !device.HangSeen)
        {
            Decide(device, null);
        }
    }

    internal static bool MayJudge(DeviceStream device, HistoryEvent? hang, Rule rule)
    {
        if (device.Died)
        {
            // The actor died on the way; that is the finding.
            return false;
        }

        var deadlock = hang?.Text?.Contains("deadlock", StringComparison.Ordinal) ?? false;
        if (!deadlock && HolderOf(device, hang) >= 0)
        {
            return false;
        }

        if (!deadlock && !device.Context.Online
            && (!device.Context.Header.Quiescent || !device.Context.Header.Complete
                || device.HasGapBetween(0, device.LastSeq)))
        {
            device.Ledger.Undecided(rule);
            return false;
        }

        return true;
    }

    internal static string Waits(DeviceStream device, HistoryEvent? hang) =>
        hang is null ? "it never ended"
        : $"it is still waiting{(hang.Other == 0 ? "" : $" for {device.Context.Name(hang.Other)}")}"
        + $"{(hang.Fn is null ? "" : $" ({hang.Fn})")}";

    private static int HolderOf(DeviceStream device, HistoryEvent? hang)
    {
        foreach (var slot in device.LiveSlots())
        {
            var owner = device.Live![slot].Owner;
            if (hang is null || hang.Other == 0 || owner == 0 || owner == hang.Other
                || device.Context.Objects.Kind(hang.Other) is not ObjectKind.Ref)
            {
                return slot;
            }
        }

        return -1;
    }

    private void Decide(DeviceStream device, HistoryEvent? hang)
    {
        if (!MayJudge(device, hang, this))
        {
            return;
        }

        var begin = device.Unbind ?? device.Binding;
        var what = device.Unbind is null ? "the failed probe" : "the unbind";
        device.Ledger.Violated(this, Class, device.Unbind is null ? "probe" : "unbind", device.Obj, () =>
        {
            List<HistoryRecord> records = begin is null ? [] : [begin];
            var teardown = device.Mappings.FirstOrDefault(m => m.Phase is MappingPhase.TearingDown)?.TeardownBegin;
            if (teardown is not null)
            {
                records.Add(teardown);
            }

            if (hang is not null)
            {
                records.Add(hang);
            }

            var owed = device.Mappings.Where(m => m.Phase is MappingPhase.Mapped)
                .Select(m => $"0x{m.Start:x}").ToList();
            var later = owed.Count == 0
                ? ""
                : $" What it waits for counts the pages of the mapping at {string.Join(", ", owed)}, "
                + "which only a later step of the same unbind gives back.";
            return new(
                $"Let D = {device.Name}, U = {what} of D{(begin is null ? "" : $" (begun at seq {begin.At.Seq})")}"
                + $"{(teardown is null ? "" : $", M = page map {device.Context.Name(teardown.Other)}")}. Then every "
                + "holder has let go, so U has to end; however, "
                + $"{Waits(device, hang)}: a contradiction.{later}",
                records);
        });
    }
}

/// <summary>I40: the error exits of add_resource and memremap end when nobody else holds.</summary>
public sealed class ErrorPathTerminates : Rule, IDeviceRule
{
    public override string Name => "ERROR-PATH-TERMINATES";

    public override int Number => 40;

    public override FindingClass Class => FindingClass.Liveness;

    public override RuleNeeds Needs => RuleNeeds.Quiescence;

    public override string Claim => "An add_resource that fails returns when nobody else holds that resource's ref.";

    public override string Source => "devm_memremap_pages, pci_p2pdma_add_resource: error exits that wait";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } =
        [EventKind.Hang, EventKind.HangDetected, EventKind.AddResourceEnd];

    internal static bool IsInAddResource(DeviceStream device) => device.AddResource is not null;

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is EventKind.AddResourceEnd)
        {
            if (record.Err is not Errno.OK)
            {
                device.Ledger.Ok(this);
            }

            return;
        }

        if (device.HangSeen || !IsInAddResource(device) || !UnbindLive.MayJudge(device, record, this))
        {
            return;
        }

        var begin = device.AddResource!;
        device.Ledger.Violated(this, Class, "add-resource", device.Obj, () => new(
            $"Let F = the add_resource of {device.Name} (begun at seq {begin.At.Seq}). Then nobody else holds what F "
            + $"waits for, so F has to return; however, {UnbindLive.Waits(device, record)}: a contradiction.",
            [begin, record]));
    }
}
