using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I30: each registered action runs or is removed exactly once.</summary>
public sealed class ExactlyOnce : Rule, IDeviceRule
{
    public override string Name => "EXACTLY-ONCE";

    public override int Number => 30;

    public override string Claim =>
        "Every devres action runs or is removed exactly once, and none is left when the unbind has ended.";

    public override string Source => "devres_release_all, devm_release_action, devm_remove_action";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.DevresRun, EventKind.UnbindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is EventKind.DevresRun)
        {
            JudgeRun(device, record);
            return;
        }

        foreach (var node in device.Devres)
        {
            if (!node.IsAction || node.AddedInPass)
            {
                continue;
            }

            if (device.HasGapBetween(node.AddedSeq, record.At.Seq))
            {
                device.Ledger.Undecided(this);
                continue;
            }

            var left = node;
            device.Ledger.Violated(this, Class, "never", device.Obj, () => new(
                $"Let N = devres node {left.Node} of {device.Name}, action {left.Fn ?? "unnamed"}, registered at seq "
                + $"{left.AddedSeq}. Then an unbind runs every action; "
                + $"however, the unbind ended at seq {record.At.Seq} and N neither ran nor was removed: a "
                + "contradiction.",
                [record]));
        }
    }

    private void JudgeRun(DeviceStream device, HistoryEvent record)
    {
        foreach (var node in device.Devres)
        {
            if (node.Node == record.Node)
            {
                device.Ledger.Ok(this);
                return;
            }
        }

        if (device.HasGapBetween(0, record.At.Seq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "not-registered", device.Obj, () => new(
            $"Let N = devres node {record.Node} of {device.Name}, action {record.Fn ?? "unnamed"}. Then N is on no "
            + "list: it was never registered, or it ran or was removed before; "
            + $"however, it ran at seq {record.At.Seq}: a contradiction.",
            [record]));
    }
}

/// <summary>I31: within one release_all, actions run in reverse order of registration.</summary>
public sealed class Lifo : Rule, IDeviceRule
{
    public override string Name => "LIFO";

    public override int Number => 31;

    public override string Claim => "Within one release_all, actions run newest first.";

    public override string Source => "release_nodes: from the newest to the oldest of the nodes present at its start";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.DevresRun];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (!device.InReleaseAll)
        {
            return;
        }

        RegisteredNode? ran = null;
        RegisteredNode? newer = null;
        foreach (var node in device.Devres)
        {
            if (node.Node == record.Node)
            {
                ran = node;
            }
            else if (ran is not null && node.IsAction && !node.AddedInPass)
            {
                newer = node;
            }
        }

        if (ran is null)
        {
            return;
        }

        if (newer is not { } skipped)
        {
            device.Ledger.Ok(this);
            return;
        }

        if (device.HasGapBetween(skipped.AddedSeq, record.At.Seq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "older-first", device.Obj, () => new(
            $"Let N = devres node {record.Node} ({record.Fn ?? "unnamed"}), O = devres node {skipped.Node} "
            + $"({skipped.Fn ?? "unnamed"}) of {device.Name}. Then O was registered after N and "
            + $"has to run before it; however, N ran at seq {record.At.Seq} while O was still on the list: a "
            + "contradiction.",
            [record]));
    }
}

/// <summary>I32: what an action is given is alive when it runs.</summary>
public sealed class NoStaleData : Rule, IDeviceRule
{
    public override string Name => "NO-STALE-DATA";

    public override int Number => 32;

    public override string Claim => "The data of a devres action is alive when the action runs.";

    public override string Source => "devm_add_action: the node keeps a raw pointer";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.DevresRun];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        // The kernel gives pci_p2pdma_release the pci_dev, which outlives the binding; records name the p2pdma object.
        if (record.Other == 0 || device.Context.Objects.NameStartsWith(record.Other, "p2pdma:"))
        {
            return;
        }

        if (!device.Objects.TryGetValue(record.Other, out var known)
            || known.FreedSeq == 0)
        {
            device.Ledger.Ok(this);
            return;
        }

        device.Ledger.Violated(this, Class, record.Fn ?? "action", device.Obj, () => new(
            $"Let D = {device.Context.Name(record.Other)}, the data of devres action {record.Fn ?? "unnamed"} of "
            + $"{device.Name}. Then D was freed at seq {known.FreedSeq}; "
            + $"however, the action ran on it at seq {record.At.Seq}: a contradiction.",
            [new HistoryEvent
            {
                Kind = EventKind.ObjFree, At = new(device.Obj, device.Gen, known.FreedSeq, known.Life),
                Other = record.Other, Text = known.Kind
            }, record]));
    }
}

/// <summary>I25: an add_resource that fails leaves nothing behind.</summary>
public sealed class ErrorNoResidue : Rule, IDeviceRule
{
    public override string Name => "ERROR-NO-RESIDUE";

    public override int Number => 25;

    public override string Claim => "A failed add_resource leaves no chunk, and no devres action but the set-up's own.";

    public override string Source => "pci_p2pdma_add_resource, error exits";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.AddResourceEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Err is Errno.OK || device.AddResource is not { } begin)
        {
            return;
        }

        foreach (var node in device.Devres)
        {
            if (node.IsAction && node.AddedSeq > begin.At.Seq && !IsSetup(device, node))
            {
                var left = node;
                device.Ledger.Violated(this, Class, left.Fn ?? "action", device.Obj, () => new(
                    $"Let F = the add_resource of {device.Name} that began at seq {begin.At.Seq} and failed with "
                    + $"{record.Err}. Then F has to undo what it did; however, its devres action "
                    + $"{left.Fn ?? "unnamed"} (node {left.Node}) is still registered at seq {record.At.Seq}: a "
                    + "contradiction.",
                    [begin, record]));
                return;
            }
        }

        if (device.Mappings.FirstOrDefault(m => m.AddedSeq > begin.At.Seq
            && m.Phase is MappingPhase.Mapped) is { } chunk)
        {
            device.Ledger.Violated(this, Class, "chunk", device.Obj, () => new(
                $"Let F = the add_resource of {device.Name} that began at seq {begin.At.Seq} and failed with "
                + $"{record.Err}. Then F has to undo what it did; however, the chunk at "
                + $"0x{chunk.Start:x} that it added is still in the pool at seq {record.At.Seq}: a contradiction.",
                [begin, record]));
            return;
        }

        device.Ledger.Ok(this);
    }

    /// <summary>The device's own set-up happens inside its first add_resource and stays until the unbind.</summary>
    private static bool IsSetup(DeviceStream device, RegisteredNode node) =>
        node.Data == 0 || node.Data == device.Obj
            || device.Context.Objects.NameStartsWith(node.Data, "p2pdma:");
}

/// <summary>I33: an action that cannot be registered runs at once instead, and is on no list.</summary>
/// <remarks>
/// That it ran is seen where the action leaves records of its own: the release of a mapping. That it is on no list
/// is seen when it runs again.
/// </remarks>
public sealed class OrReset : Rule, IDeviceRule
{
    private const string MemremapRelease = "devm_memremap_pages_release";

    public override string Name => "OR-RESET";

    public override int Number => 33;

    public override string Claim =>
        "A devres action that could not be registered has run when the call returns, and never runs again.";

    public override string Source => "devm_add_action_or_reset; the error exits of devm_memremap_pages";

    public override string? Limits =>
        "that the action ran is seen for the release of a mapping only; the others leave no record of their own";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } =
        [EventKind.DevresRun, EventKind.AddResourceEnd, EventKind.UnbindEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        foreach (var failed in device.FailedRegistrations)
        {
            switch (record.Kind)
            {
                case EventKind.DevresRun when record.Node >= 0 && record.Fn == failed.Record.Fn
                    && record.Other == failed.Record.Other:
                    JudgeRun(device, failed.Record, record);
                    break;
                case EventKind.AddResourceEnd when !failed.HasReturned && failed.Record.Fn is MemremapRelease:
                    JudgeReturn(device, failed, record);
                    break;
                case EventKind.UnbindEnd:
                    device.Ledger.Ok(this);
                    break;
                default:
                    break;
            }
        }
    }

    private void JudgeRun(DeviceStream device, HistoryEvent failed, HistoryEvent record)
    {
        foreach (var node in device.Devres)
        {
            if (node.Node == record.Node && node.Fn == record.Fn)
            {
                // Another registration of the same, which succeeded.
                return;
            }
        }

        if (device.HasGapBetween(0, record.At.Seq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "kept", device.Obj, () => new(
            $"Let F = the action {record.Fn ?? "(unnamed)"} of {device.Name}. Then F could not be registered at seq "
            + $"{failed.At.Seq}, ran at once instead and is on no list; however, a release ran it at seq "
            + $"{record.At.Seq}: a contradiction.",
            [failed, record]));
    }

    private void JudgeReturn(DeviceStream device, DeviceStream.FailedRegistration failed, HistoryEvent end)
    {
        if (failed.WasTornDown)
        {
            device.Ledger.Ok(this);
            return;
        }

        if (device.HasGapBetween(failed.Record.At.Seq, end.At.Seq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "not-run", device.Obj, () => new(
            $"Let F = the action {failed.Record.Fn} of {device.Name}. Then F could not be registered at seq "
            + $"{failed.Record.At.Seq} and has to run before the call returns; however, the add_resource returned at "
            + $"seq {end.At.Seq} and its mapping was not torn down: a contradiction.",
            [failed.Record, end]));
    }
}
