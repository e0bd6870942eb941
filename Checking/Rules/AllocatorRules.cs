using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I15: live allocations of a pool never share an address, and each lies in one chunk.</summary>
public sealed class NoOverlap : Rule, IAllocRule
{
    public override string Name => "NO-OVERLAP";

    public override int Number => 15;

    public override bool Essential => true;

    public override string Claim => "Live allocations of a pool are disjoint, and each lies inside one chunk.";

    public override string Source => "gen_pool_alloc_algo_owner: bits are set by compare-and-swap, once";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok)
        {
            return;
        }

        var mapping = device.MappingAt(op.Address);
        var end = LiveAllocation.EndOf(op.Address, op.SizeBytes);
        if (mapping is not null && !mapping.Contains(end))
        {
            Crosses(device, LiveAllocation.Of(op), mapping);
            return;
        }

        var isFree = true;
        var live = device.Live;
        for (var slot = live?.FindOverlap(op.Address, end) ?? -1; slot >= 0;
            slot = live!.FindOverlapBelow(op.Address, slot))
        {
            // An allocation of an earlier life is no neighbour: its pool is gone.
            if (live![slot].Life == op.At.Life)
            {
                isFree = false;
                Overlaps(device, live[slot], LiveAllocation.Of(op));
            }
        }

        if (isFree)
        {
            device.Ledger.Ok(this);
        }
    }

    // What captures stands in a method of its own: a closure is made where its variables begin, on every call.
    private void Crosses(DeviceStream device, LiveAllocation fresh, Mapping mapping) =>
        device.Ledger.Violated(this, Class, "across-chunks", device.Obj, () => new(
            $"Let A = {Prose.Allocation(device.Context, fresh)}. Then A starts in the chunk at 0x{mapping.Start:x}; "
            + "however, that chunk of "
            + $"{mapping.SizeBytes} bytes ends before A does: a contradiction.",
            [fresh.Record()]));

    private void Overlaps(DeviceStream device, LiveAllocation old, LiveAllocation fresh) =>
        device.ViolatedUnlessFreed(this, old, fresh.Seq, () => device.Ledger.Violated(
            this, Class, "overlap", device.Obj, () => new(
                $"Let A = {Prose.Allocation(device.Context, old)}, B = {Prose.Allocation(device.Context, fresh)}. "
                + "Then A was live when B was made; "
                + "however, A and B share addresses: a contradiction.",
                [old.Record(), fresh.Record()])));
}

/// <summary>
/// I16: the owner is the same when a chunk is added, when it is allocated from and when memory goes back.
/// </summary>
public sealed class OwnerRoundtrip : Rule, IAllocRule, IFreeRule
{
    public override string Name => "OWNER-ROUNDTRIP";

    public override int Number => 16;

    public override string Claim => "A free reports the owner that its alloc reported, and that owner is the chunk's.";

    public override string Source => "gen_pool_alloc_owner, gen_pool_free_owner: the owner of the chunk";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok || device.MappingAt(op.Address) is not { AddedSeq: > 0 } mapping)
        {
            return;
        }

        if (mapping.Owner == op.Owner)
        {
            if (op.Owner != 0)
            {
                device.Ledger.Ok(this);
            }

            return;
        }

        ViolateAlloc(device, op, mapping);
    }

    private void ViolateAlloc(DeviceStream device, Operation alloc, Mapping mapping) =>
        device.Ledger.Violated(this, Class, "alloc", device.Obj, () => new(
            $"Let A = allocation number {alloc.Alloc.Number} of {device.Name} at 0x{alloc.Address:x}. Then its chunk "
            + $"was added with owner {Named(device, mapping.Owner)}; "
            + $"however, the alloc at seq {alloc.At.Seq} reported {Named(device, alloc.Owner)}: a contradiction.",
            [alloc]));

    void IFreeRule.JudgeFree(DeviceStream device, in Operation op, int slot)
    {
        if (slot < 0)
        {
            return;
        }

        ref var allocation = ref device.Live![slot];
        if (allocation.Owner == op.Owner)
        {
            if (op.Owner != 0)
            {
                device.Ledger.Ok(this);
            }

            return;
        }

        ViolateFree(device, allocation, op);
    }

    private void ViolateFree(DeviceStream device, LiveAllocation a, Operation free) =>
        device.Ledger.Violated(this, Class, "free", device.Obj, () => new(
            $"Let A = {Prose.Allocation(device.Context, a)}. Then its alloc reported owner {Named(device, a.Owner)}; "
            + $"however, its free at seq {free.At.Seq} "
            + $"reported {Named(device, free.Owner)}: a contradiction.",
            [a.Record(), free]));

    private static string Named(DeviceStream device, int owner) => owner == 0 ? "none" : device.Context.Name(owner);
}

/// <summary>I20: what is freed was allocated, with that address and size, and was not freed before.</summary>
public sealed class FreeMatchesAlloc : Rule, IFreeRule, IDeviceRule
{
    public override string Name => "FREE-MATCHES-ALLOC";

    public override int Number => 20;

    public override string Claim => "Every free gives back one live allocation whole; the allocator never BUGs.";

    public override string Source => "gen_pool_free_owner: BUG when a bit to clear is clear";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.Bug];

    void IFreeRule.JudgeFree(DeviceStream device, in Operation op, int slot)
    {
        if (op.Alloc.Gen != device.Gen || op.Client == 0)
        {
            return;
        }

        if (slot < 0)
        {
            // The alloc, or the free that came first, may be a record that is missing.
            if (device.HasGapBetween(0, op.At.Seq))
            {
                device.Ledger.Undecided(this);
                return;
            }

            NotLive(device, op);
            return;
        }

        ref var allocation = ref device.Live![slot];
        if ((op.Address == 0 || op.Address == allocation.Start)
            && (op.SizeBytes == 0 || op.SizeBytes == allocation.SizeBytes))
        {
            device.Ledger.Ok(this);
            return;
        }

        OtherRange(device, allocation, op);
    }

    private void NotLive(DeviceStream device, Operation free) =>
        device.Ledger.Violated(this, Class, "not-live", device.Obj, () => new(
            $"Let A = allocation {device.Context.Name(free.Alloc.Device)}#{free.Alloc.Gen}#{free.Alloc.Number}. Then "
            + $"A is not live before seq {free.At.Seq}, "
            + "and every position before it is known; however, a free of A succeeded there: a contradiction.",
            [free]));

    private void OtherRange(DeviceStream device, LiveAllocation a, Operation free) =>
        device.Ledger.Violated(this, Class, "other-range", device.Obj, () => new(
            $"Let A = {Prose.Allocation(device.Context, a)}. Then only A's own range can be given back for it; "
            + $"however, the free at seq {free.At.Seq} gave back "
            + $"0x{free.Address:x}, {free.SizeBytes} bytes: a contradiction.",
            [a.Record(), free]));

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (DestroyEmpty.IsPoolDestroy(record))
        {
            return;
        }

        device.Ledger.Violated(this, Class, "bug", device.Obj, () => new(
            $"Let D = {device.Name}. Then no step of a correct client lets the kernel find a broken structure; "
            + "however, it hit BUG "
            + $"({record.Text ?? "no class"}) in {record.Fn ?? "an unnamed step"} at seq {record.At.Seq}: a "
            + "contradiction.",
            [record]));
    }
}

/// <summary>I19: the pool is destroyed only when nothing of it is allocated.</summary>
public sealed class DestroyEmpty : Rule, IDeviceRule
{
    public override string Name => "DESTROY-EMPTY";

    public override int Number => 19;

    public override string Claim => "A pool is destroyed with no live allocation in it.";

    public override string Source => "gen_pool_destroy: BUG when a bit is set";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.PoolDestroy, EventKind.Bug];

    internal static bool IsPoolDestroy(HistoryEvent record) =>
        (record.Text?.Contains("destroy", StringComparison.Ordinal) ?? false)
        || (record.Fn?.Contains("destroy", StringComparison.Ordinal) ?? false);

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (record.Kind is EventKind.Bug && !IsPoolDestroy(record))
        {
            return;
        }

        var held = record.Kind is EventKind.Bug ? -1 : HeldSlot(device);
        if (record.Kind is EventKind.PoolDestroy && record.Count == 0 && held < 0)
        {
            device.Ledger.Ok(this);
            return;
        }

        if (record.Kind is EventKind.PoolDestroy && record.Count == 0)
        {
            // The pool says it is empty: the free of what the records hold live is missing, or the pool is wrong.
            var a = device.Live![held];
            device.ViolatedUnlessFreed(this, a, record.At.Seq, () => Violate(device, record, a));
            return;
        }

        Violate(device, record, held >= 0 ? device.Live![held] : default);
    }

    private static int HeldSlot(DeviceStream device)
    {
        foreach (var slot in device.LiveSlots())
        {
            if (device.MappingAt(device.Live![slot].Start) is { AddedSeq: var added } && added < device.Live[slot].Seq)
            {
                return slot;
            }
        }

        return -1;
    }

    private void Violate(DeviceStream device, HistoryEvent record, LiveAllocation a) =>
        device.Ledger.Violated(
            this, Class, device.OopsEver ? "after-oops" : record.Kind is EventKind.Bug ? "bug" : "live",
            device.Obj, () => new(
                "Let P = the pool of "
                + $"{device.Name}{(a.Id.IsNone ? "" : $", A = {Prose.Allocation(device.Context, a)}")}. "
                + "Then P may be destroyed only when it is empty; "
                + $"however, it was destroyed at seq {record.At.Seq} "
                + (!a.Id.IsNone ? "with A live"
                    : record.Kind is EventKind.Bug ? "with bits set"
                    : $"with {record.Count} live allocations")
                + ": a contradiction."
                + (device.OopsEver
                    ? " An actor that died of an oops on this device never gave back what it had taken."
                    : ""),
                a.Id.IsNone ? [record] : [a.Record(), record]));
}

/// <summary>I22: once the device's p2pdma field is clear, no alloc succeeds.</summary>
/// <remarks>
/// An alloc whose first read of the field may lie before the clear (<c>field_read</c> outside one turn) is undecided.
/// </remarks>
public sealed class NoAllocAfterClear : Rule, IAllocRule
{
    public override string Name => "NO-ALLOC-AFTER-CLEAR";

    public override int Number => 22;

    public override string Claim => "No alloc succeeds that first read the p2pdma field after it was cleared.";

    public override string Source => "pci_p2pdma_release clears pdev->p2pdma; pci_alloc_p2pmem reads it first";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok)
        {
            return;
        }

        if (device.Field is not FieldPhase.Cleared)
        {
            if (device.Field is FieldPhase.Set)
            {
                device.Ledger.Ok(this);
            }

            return;
        }

        if (device.FieldReadOutsideTurn || device.HasGapBetween(device.FieldCleared!.At.Seq, op.At.Seq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        Violate(device, op, device.FieldCleared!);
    }

    private void Violate(DeviceStream device, Operation alloc, HistoryEvent cleared) =>
        device.Ledger.Violated(this, Class, "after-clear", device.Obj, () => new(
            $"Let D = {device.Name}. Then pci_p2pdma_release cleared D's p2pdma field at seq {cleared.At.Seq}, so "
            + "that pci_alloc_p2pmem finds nothing; "
            + $"however, the alloc of {device.Context.Name(alloc.Client)} at seq {alloc.At.Seq} got "
            + $"0x{alloc.Address:x}: a contradiction.",
            [cleared, alloc]));
}

/// <summary>I27: the owner of a chunk that alloc takes memory from is alive.</summary>
public sealed class OwnerAlive : Rule, IAllocRule
{
    public override string Name => "OWNER-ALIVE";

    public override int Number => 27;

    public override string Claim =>
        "When alloc reads the owner of the chunk it took, that owner's memory is not freed.";

    public override string Source =>
        "pci_alloc_p2pmem: tryget_live on the chunk's owner; devres frees p2p_pgmap before the pool";

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Owner == 0)
        {
            return;
        }

        if (!device.OwnerFreed(op.Owner))
        {
            device.Ledger.Ok(this);
            return;
        }

        Violate(device, op, device.FreeOfOwner(op.Owner));
    }

    private void Violate(DeviceStream device, Operation alloc, HistoryEvent? free) =>
        device.Ledger.Violated(this, Class, "owner-freed", device.Obj, () => new(
            $"Let D = {device.Name}, R = {device.Context.Name(alloc.Owner)}, the owner of a chunk of D's pool. Then "
            + "devres freed the memory that holds R"
            + $"{(free is null ? "" : $" at seq {free.At.Seq}")}, in the unbind of D; however, pci_alloc_p2pmem of "
            + $"{device.Context.Name(alloc.Client)} took that chunk at seq {alloc.At.Seq} "
            + "and went on to percpu_ref_tryget_live(R): a contradiction.",
            free is null ? [alloc] : [free, alloc]));
}

/// <summary>I41: a failed add_resource does not stop allocations from the other resources for ever.</summary>
public sealed class NoPermanentRefusal : Rule, IAllocRule, IDeviceRule, IDeviceEndRule
{
    public override string Name => "NO-PERMANENT-REFUSAL";

    public override int Number => 41;

    public override string Claim =>
        "After a failed add_resource, an alloc from a live resource with room succeeds in the end.";

    public override string Source => "pci_p2pdma_add_resource's error path, and the ref that pci_alloc_p2pmem takes";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.UnbindBegin];

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (!device.Bound || device.ResourcesFailed == 0 || device.ResourcesAdded == 0 || device.InReleaseAll
            || device.RefusalsWithRoom < 0)
        {
            return;
        }

        if (op.Outcome is OperationOutcome.Ok)
        {
            device.RefusalsWithRoom = -1;
            device.Ledger.Ok(this);
        }
        else if (op.Err is Errno.ENOMEM or Errno.ENODEV or Errno.OK && device.Live is null or { Count: 0 })
        {
            // With nothing allocated, whatever fits the largest chunk has room.
            if (op.SizeBytes > 0 && HasRoom(device, op.SizeBytes))
            {
                device.NoteRefusal(op);
            }
        }
    }

    private static bool HasRoom(DeviceStream device, ulong size) =>
        device.Mappings.Any(m => m.Phase is MappingPhase.Mapped && m.SizeBytes >= size);

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record) => Decide(device);

    void IDeviceEndRule.JudgeEnd(DeviceStream device)
    {
        if (device.Context.Header.Quiescent && device.Unbind is null)
        {
            Decide(device);
        }
    }

    private void Decide(DeviceStream device)
    {
        if (device.RefusalsWithRoom <= 0 || device.FirstRefusal is not { } first)
        {
            return;
        }

        var count = device.RefusalsWithRoom;
        device.RefusalsWithRoom = 0;
        if (device.HasGapBetween(0, device.LastSeq))
        {
            device.Ledger.Undecided(this);
            return;
        }

        device.Ledger.Violated(this, Class, "refused", device.Obj, () => new(
            $"Let D = {device.Name}. Then one add_resource of D failed and another succeeded, whose chunk was empty; "
            + $"however, each of the {count} allocs "
            + $"that fitted it was refused, from seq {first.At.Seq} on until the unbind: a contradiction.",
            [first]));
    }
}
