using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>What the pool of a device has to give when nothing runs beside the request.</summary>
internal static class FirstFit
{
    /// <summary>Bytes of a granule: pci_p2pdma_setup makes its pool of pages.</summary>
    public const ulong GranuleBytes = 4096;

    private const int StepsMax = 64;

    /// <summary>No memory is larger; what claims to be is not searched.</summary>
    private const ulong BytesMax = 1UL << 60;

    /// <summary>Finds the address that gen_pool_first_fit gives, in the newest chunk that has room.</summary>
    /// <returns>False when the records do not say it: a neighbour of an earlier life, or too many neighbours.</returns>
    public static bool TryFind(DeviceStream device, ulong sizeBytes, int life, out ulong address)
    {
        address = 0;
        if (sizeBytes > BytesMax)
        {
            return true;
        }

        var need = Granules(sizeBytes) * GranuleBytes;
        var steps = 0;
        for (var i = device.Mappings.Count - 1; i >= 0; i--)
        {
            var chunk = device.Mappings[i];
            if (chunk.SizeBytes > BytesMax || chunk.Start > ulong.MaxValue - chunk.SizeBytes)
            {
                return false;
            }

            var end = unchecked(chunk.Start + (chunk.SizeBytes / GranuleBytes * GranuleBytes));
            for (var start = chunk.Start; start < end && end - start >= need;)
            {
                if (++steps > StepsMax)
                {
                    return false;
                }

                var slot = device.Live?.FindOverlap(start, LiveAllocation.EndOf(start, need)) ?? -1;
                if (slot < 0)
                {
                    address = start;
                    return true;
                }

                ref var neighbour = ref device.Live![slot];
                if (neighbour.Life != life)
                {
                    return false;
                }

                if (neighbour.End < start || neighbour.End >= end)
                {
                    // It reaches beyond the chunk, or around the end of the addresses: NO-OVERLAP's to judge.
                    return false;
                }

                var next = neighbour.End - chunk.Start + GranuleBytes;
                start = unchecked(chunk.Start + (next / GranuleBytes * GranuleBytes));
            }
        }

        return true;
    }

    /// <summary>Whether everything that ever changed the pool is on record.</summary>
    public static bool IsKnown(DeviceStream device, Position at)
    {
        // Who died of an oops on the way never gave back what it had taken.
        if (device.PoolCreatedSeq == 0 || device.OopsEver || device.Sole is null || device.Mappings.Count == 0
            || device.HasGapBetween(device.PoolCreatedSeq, at.Seq))
        {
            return false;
        }

        foreach (var mapping in device.Mappings)
        {
            if (mapping.AddedSeq == 0)
            {
                return false;
            }
        }

        return true;
    }

    public static ulong Granules(ulong sizeBytes) =>
        (sizeBytes / GranuleBytes) + (sizeBytes % GranuleBytes > 0 ? 1UL : 0);
}

/// <summary>I17: beside nothing else, an alloc gets the first place of the newest chunk that has room.</summary>
/// <remarks>
/// Decided for p2pdma's pool, which is the one whose allocations are recorded: pages, first fit. The other
/// algorithms are compared with recorded vectors.
/// </remarks>
public sealed class SelectRule : Rule, IAllocRule
{
    public override string Name => "SELECT-RULE";

    public override int Number => 17;

    public override RuleNeeds Needs => RuleNeeds.Clocks;

    public override bool ConcludesFromAbsence => true;

    public override string Claim =>
        "An alloc beside which nothing else ran gets the lowest free range of the newest chunk that has one.";

    public override string Source => "gen_pool_alloc_algo_owner: list head first; gen_pool_first_fit";

    public override string? Limits =>
        "decided in Fleet's own histories, where clocks show that nothing ran beside the alloc: records do not name a "
        + "pool's algorithm, and p2pdma's is first fit; the others are left to fleet vectors";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok || op.SizeBytes == 0 || device.Sole is not { } sole
            || !sole.IsFirst(op) || !FirstFit.IsKnown(device, op.At)
            || !FirstFit.TryFind(device, op.SizeBytes, op.At.Life, out var address))
        {
            return;
        }

        if (address == op.Address)
        {
            device.Ledger.Ok(this);
            return;
        }

        Claims(device, sole, op, address);
    }

    private void Claims(DeviceStream device, SoleRun sole, Operation alloc, ulong expected) =>
        sole.ViolatedIfAlone(this, alloc.DoneNs, device.Ledger, () => device.Ledger.Violated(
            this, Class, "other-place", device.Obj, () => new(
                $"Let A = the alloc of {device.Context.Name(alloc.Client)} at seq {alloc.At.Seq} of {device.Name}, "
                + $"{alloc.SizeBytes} bytes. Then nothing ran beside A, and "
                + (expected == 0
                    ? "no chunk had room for it"
                    : $"the first free range of the newest chunk with room was at 0x{expected:x}")
                + $"; however, A got 0x{alloc.Address:x}: a contradiction.",
                [alloc])));
}

/// <summary>I21: beside nothing else, an alloc is refused for want of memory only when there is none.</summary>
public sealed class SpuriousNullAllowed : Rule, IAllocRule
{
    public override string Name => "SPURIOUS-NULL-ALLOWED";

    public override int Number => 21;

    public override RuleNeeds Needs => RuleNeeds.Clocks;

    public override bool ConcludesFromAbsence => true;

    public override string Claim =>
        "A pool says that it has no memory, with nothing running beside the request, only when no chunk has room.";

    public override string Source => "gen_pool_alloc_algo_owner: a chunk is left out for its avail or its bits alone";

    public override string? Limits =>
        "a refusal beside another operation is legal and not counted; a refusal by the ref or the field is judged by "
        + "NO-PERMANENT-REFUSAL";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Fail || op.Err is not Errno.ENOMEM || op.Owner != 0
            || op.SizeBytes == 0 || device.Field is not FieldPhase.Set || device.Sole is not { } sole
            || !sole.IsFirst(op) || !FirstFit.IsKnown(device, op.At)
            || !FirstFit.TryFind(device, op.SizeBytes, op.At.Life, out var address))
        {
            return;
        }

        if (address == 0)
        {
            device.Ledger.Ok(this);
            return;
        }

        Claims(device, sole, op, address);
    }

    private void Claims(DeviceStream device, SoleRun sole, Operation alloc, ulong room) =>
        sole.ViolatedIfAlone(this, alloc.DoneNs, device.Ledger, () => device.Ledger.Violated(
            this, Class, "room", device.Obj, () => new(
                $"Let A = the alloc of {device.Context.Name(alloc.Client)} at seq {alloc.At.Seq} of {device.Name}, "
                + $"{alloc.SizeBytes} bytes. Then nothing ran beside A and the range at 0x{room:x} was free; however, "
                + "A was refused with ENOMEM: a contradiction.",
                [alloc])));
}

/// <summary>I18: with nothing in flight, a pool's avail is its size less what is allocated.</summary>
/// <remarks>Decided where sysfs was read: a read of <c>available</c> beside which nothing ran.</remarks>
public sealed class AvailQuiescent : Rule, IDeviceRule
{
    public override string Name => "AVAIL-QUIESCENT";

    public override int Number => 18;

    public override RuleNeeds Needs => RuleNeeds.Clocks;

    public override bool ConcludesFromAbsence => true;

    public override string Claim =>
        "With no operation in flight, the available bytes of a pool are its size less its allocated granules.";

    public override string Source => "gen_pool_avail; available_show of p2pdma's sysfs group";

    public override string? Limits =>
        "decided where sysfs's available was read with nothing in flight; the live fleet records no such read";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.SysfsShowEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Text is not "available" || device.ShowOf(record.Actor) is not { Field: FieldPhase.Set } show
            || device.Field is not FieldPhase.Set || device.Sole is not { } sole
            || show.Begin.TimeNs >= record.TimeNs || !sole.IsFirst(show.Begin.TimeNs)
            || !FirstFit.IsKnown(device, record.At))
        {
            return;
        }

        ulong size = 0, taken = 0;
        foreach (var mapping in device.Mappings)
        {
            size = unchecked(size + mapping.SizeBytes);
        }

        foreach (var slot in device.LiveSlots())
        {
            ref var allocation = ref device.Live![slot];
            if (allocation.Life == record.At.Life)
            {
                taken = unchecked(taken + (FirstFit.Granules(allocation.SizeBytes) * FirstFit.GranuleBytes));
            }
        }

        var expected = unchecked((long)(size - taken));
        if (record.Count == expected)
        {
            device.Ledger.Ok(this);
            return;
        }

        sole.ViolatedIfAlone(this, record.TimeNs, device.Ledger, () => device.Ledger.Violated(
            this, Class, "avail", device.Obj, () => new(
                $"Let P = the pool of {device.Name}. Then P's chunks have {size} bytes, {taken} of them allocated, and "
                + $"nothing was in flight; however, the read of available that ended at seq {record.At.Seq} gave "
                + $"{record.Count}: a contradiction.",
                [show.Begin, record])));
    }
}

/// <summary>I23: an alloc holds the ref of the resource that its memory is of.</summary>
/// <remarks>
/// The reference itself is taken inline and not recorded. What is: the ref reached zero, and its teardown went on,
/// while an allocation of its resource was held across both. Only profiles that name owners are judged.
/// </remarks>
public sealed class AllocPinsItsResource : Rule, IDeviceRule
{
    public override string Name => "ALLOC-PINS-ITS-RESOURCE";

    public override int Number => 23;

    public override RuleNeeds Needs => RuleNeeds.AfterEdges;

    public override string Claim => "A ref does not reach zero while an allocation of its resource is held.";

    public override string Source => "pci_alloc_p2pmem: percpu_ref_tryget_live on the owner before it returns";

    public override string? Limits =>
        "the get is inline: decided by whether the ref reached zero while the allocation was held";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.TeardownEnd];

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (device.Context.Online
            || device.MappingAt(record.Start) is not { Phase: MappingPhase.TearingDown, Owner: not 0 } mapping)
        {
            return;
        }

        var at = record.After.FirstOrDefault(a => a.Obj == mapping.Owner);
        if (at.IsNone)
        {
            return;
        }

        var held = 0;
        foreach (var slot in device.LiveSlots())
        {
            var allocation = device.Live![slot];
            if (!mapping.Contains(allocation.Start) || allocation.Owner != mapping.Owner
                || allocation.Seq > mapping.TeardownBegin?.At.Seq)
            {
                continue;
            }

            held++;
            Hold(device, mapping, record, at, allocation);
        }

        var let = mapping.HeldAtBegin - held;
        if (let > 0)
        {
            device.Group.WhenReached(at, reached =>
            {
                for (var i = 0; reached && ZeroBy(device, at) != 0 && i < let; i++)
                {
                    device.Ledger.Ok(this);
                }
            });
        }
    }

    private static long ZeroBy(DeviceStream device, Position at) =>
        device.Group.Refs.TryGetValue(at.Obj, out var @ref)
        && @ref.LifeAt(at.Gen, at.Seq) is { ZeroSeq: > 0, Fenced: false } life && life.ZeroSeq <= at.Seq
            ? life.ZeroSeq
            : 0;

    private void Hold(
        DeviceStream device, Mapping mapping, HistoryEvent end, Position at, LiveAllocation allocation)
    {
        if (device.HasGapBetween(allocation.Seq, end.At.Seq))
        {
            // Its free may be what is missing.
            device.Ledger.Undecided(this);
            return;
        }

        var entry = new HeldAtRemoval(() => device.Ledger.Violated(
            this, Class, "zero-while-held", device.Obj, () => Prove(device, mapping, end, at, allocation)));
        device.Hold(entry);
        device.Group.WhenReached(at, reached =>
        {
            if (reached && ZeroBy(device, at) != 0)
            {
                entry.Prove();
            }
        });
    }

    private static Proof Prove(
        DeviceStream device, Mapping mapping, HistoryEvent end, Position at, LiveAllocation allocation)
    {
        List<HistoryRecord> records = [allocation.Record()];
        if (mapping.TeardownBegin is { } begin)
        {
            records.Add(begin);
        }

        records.Add(end);
        return new(
            $"Let A = {Prose.Allocation(device.Context, allocation)}, R = {device.Context.Name(at.Obj)}, the ref of "
            + $"A's resource. Then A holds a reference on R until it is freed; however, R reached zero at seq "
            + $"{ZeroBy(device, at)} and the teardown that waited for it ended at seq {end.At.Seq} with A held: a "
            + "contradiction. A's alloc took no reference, or somebody dropped one that was not theirs.",
            records);
    }
}
