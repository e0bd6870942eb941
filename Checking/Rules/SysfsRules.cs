using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I28: a sysfs read touches only a p2pdma object and a pool that live.</summary>
public sealed class SysfsSafe : Rule, IDeviceRule
{
    public override string Name => "SYSFS-SAFE";

    public override int Number => 28;

    public override string Claim => "No read of a p2pdma sysfs attribute dies of what it touches.";

    public override string Source => "size_show, available_show, published_show against pci_p2pdma_release";

    public override string? Limits =>
        "decided where reads of sysfs are recorded: schedules, simulations, histories from outside; not the live fleet";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.SysfsShowEnd, EventKind.Oops, EventKind.Bug];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (device.ShowOf(record.Actor) is not { } show)
        {
            return;
        }

        if (record.Kind is EventKind.SysfsShowEnd)
        {
            device.Ledger.Ok(this);
            return;
        }

        if (record.Actor is null)
        {
            // Nobody says whose oops it is.
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, show.Begin.Text ?? "show", device.Obj, () => new(
            $"Let D = {device.Name}, S = the read of its attribute {show.Begin.Text ?? "(unnamed)"} by "
            + $"{record.Actor}, begun at seq {show.Begin.At.Seq}. Then S may touch only what lives; however, S died at "
            + $"seq {record.At.Seq} in {record.Fn ?? "an unnamed step"} ({record.Text ?? "oops"}): a contradiction.",
            [show.Begin, record]));
    }
}

/// <summary>I29: memory is published only while the device has a p2pdma object.</summary>
public sealed class PublishedImpliesSetup : Rule, IDeviceRule
{
    public override string Name => "PUBLISHED-IMPLIES-SETUP";

    public override int Number => 29;

    public override string Claim => "A device says that it has published memory only while its p2pdma field is set.";

    public override string Source => "pci_has_p2pmem, published_show: pdev->p2pdma && p2pmem_published";

    public override string? Limits =>
        "pci_has_p2pmem itself leaves no record: decided by reads of sysfs's published";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.SysfsShowEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Text is not "published" || record.Count == 0 || device.ShowOf(record.Actor) is not { } show)
        {
            return;
        }

        if (show.Field is FieldPhase.Set || device.Field is FieldPhase.Set)
        {
            device.Ledger.Ok(this);
            return;
        }

        if (show.Field is FieldPhase.Unseen || device.FieldCleared is not { } cleared
            || device.HasGapBetween(cleared.At.Seq, record.At.Seq) || cleared.At.Seq > show.Begin.At.Seq)
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "after-clear", device.Obj, () => new(
            $"Let D = {device.Name}. Then D's p2pdma field was clear from seq {cleared.At.Seq} on, so D has no memory "
            + $"to publish; however, the read of published between seq {show.Begin.At.Seq} and {record.At.Seq} said "
            + "that it has: a contradiction.",
            [cleared, show.Begin, record]));
    }
}
