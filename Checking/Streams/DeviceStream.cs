using Fleet.Checking.Rules;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Checking.Streams;

internal enum FieldPhase : byte { Unseen, Set, Cleared }

/// <summary>
/// One device: its binding, devres list, pool and live allocations, and the rules that its own order decides.
/// </summary>
internal sealed class DeviceStream(CheckContext context, DeviceGroup group, int obj) : ObjectStream(context, group, obj)
{
    /// <summary>What a binding of one resource registers.</summary>
    private const int UsualNodes = 4;

    private static readonly int[] NoSlots = [];

    private Few<Mapping> _mappings;

    /// <summary>The last of them, in which most devices have all their memory.</summary>
    private Mapping? _newest;
    private RegisteredNode[]? _devres;
    private int _devresCount;
    private ModelledObjects _objects;

    /// <summary>
    /// An earlier incarnation's life that its records do not end, and no fence either: its tail is missing, or it went
    /// on while the next served. A bind of the next proves that it is none of this one's.
    /// </summary>
    private bool _leftOpen;
    private RareFacts? _rare;

    /// <summary>What most devices of a fleet never have.</summary>
    private sealed class RareFacts
    {
        public List<(ulong Start, ulong SizeBytes)>? TornDown;
        public List<UnansweredOperation>? Unanswered;
        public SoleRun? Sole;
        public Dictionary<int, HistoryEvent>? FreedOwners;
        public List<HeldAtRemoval>? HeldAtRemoval;
        public List<(int Gen, long Begin, long End)>? FailedAdds;
        public List<PossibleFree>? PossibleFrees;
        public List<FailedRegistration>? FailedRegistrations;
        public Dictionary<string, OpenShow>? Shows;
        public Operation? FirstRefusal;
        public HistoryEvent? OopsInPass;
        public long Lost;
    }

    /// <summary>
    /// An allocation that would have to be gone before a position, in a history that has room for an unrecorded free.
    /// </summary>
    internal sealed record PossibleFree(LiveAllocation Allocation, long Before, Rule Rule, Action Violate);

    /// <summary>An operation without an answer and the last position that surely precedes it.</summary>
    internal sealed class UnansweredOperation(Operation operation)
    {
        public Operation Operation => operation;

        public long After { get; set; }
    }

    /// <summary>A devres action that could not be registered: its function has to run at once instead.</summary>
    internal sealed class FailedRegistration(HistoryEvent record)
    {
        public HistoryEvent Record => record;

        /// <summary>The call that wanted it has returned, so what had to be done instead is done.</summary>
        public bool HasReturned { get; set; }

        /// <summary>The teardown that the action would have run has ended since.</summary>
        public bool WasTornDown { get; set; }
    }

    /// <summary>A read of a sysfs attribute that is under way, and how the field stood when it began.</summary>
    internal readonly record struct OpenShow(HistoryEvent Begin, FieldPhase Field, long RecordsSeen);

    public LiveAllocations? Live { get; private set; }

    /// <summary>What can be said of steps beside which nothing else ran in the pool; null where times say
    /// nothing.</summary>
    public SoleRun? Sole => _rare?.Sole;

    public IReadOnlyList<FailedRegistration> FailedRegistrations => _rare?.FailedRegistrations ?? [];

    /// <summary>Position of <c>pool_create</c> of this life; 0 when it was not seen.</summary>
    public long PoolCreatedSeq { get; private set; }

    /// <summary>Returns the read that an actor has under way; null when it has none.</summary>
    public OpenShow? ShowOf(string? actor) =>
        _rare?.Shows is { } shows && shows.TryGetValue(actor ?? "", out var show) ? show : null;

    public Few<Mapping> Mappings => _mappings;

    /// <summary>The devres list, oldest first.</summary>
    public ReadOnlySpan<RegisteredNode> Devres => _devres.AsSpan(0, _devresCount);

    public FieldPhase Field { get; private set; }

    public HistoryEvent? FieldCleared { get; private set; }

    /// <summary>A field read by somebody who may still act on it; see NO-ALLOC-AFTER-CLEAR.</summary>
    public bool FieldReadOutsideTurn { get; private set; }

    public bool PoolExists { get; private set; }

    /// <summary>The bind that is running; null otherwise.</summary>
    public HistoryEvent? Binding { get; private set; }

    /// <summary>The unbind that is running; null otherwise.</summary>
    public HistoryEvent? Unbind { get; private set; }

    public HistoryEvent? AddResource { get; private set; }

    /// <summary>The release_all that is running, begun explicitly or by the unbind.</summary>
    public bool InReleaseAll { get; private set; }

    /// <summary>The running bind has failed: the driver core ran release_all inside it.</summary>
    public bool ReleasedInBind { get; private set; }

    /// <summary>Resources of this life that could not be added, and those that could.</summary>
    public int ResourcesFailed { get; private set; }

    public int ResourcesAdded { get; private set; }

    /// <summary>
    /// Refusals although a good resource had room, since an add_resource failed; -1 once an alloc succeeded.
    /// </summary>
    public int RefusalsWithRoom { get; set; }

    public Operation? FirstRefusal => _rare?.FirstRefusal;

    public HistoryEvent? OopsInPass => _rare?.OopsInPass;

    /// <summary>The running bind or unbind died of an oops: what is left undone is that oops's doing.</summary>
    public bool Died { get; private set; }

    /// <summary>Something of the device died half-way; what it left is the oops's, not a leak of its own.</summary>
    public bool OopsEver { get; private set; }

    /// <summary>The stuck wait was reported by a <c>hang</c> already.</summary>
    public bool HangSeen { get; private set; }

    public bool Bound { get; private set; }

    public int Life { get; private set; }

    public ModelledObjects Objects => _objects;

    private RareFacts Rare => _rare ??= new();

    private List<UnansweredOperation>? Unanswered => _rare?.Unanswered;

    public bool OwnerFreed(int owner) => FreeOfOwner(owner) is not null;

    /// <summary>Returns the <c>obj_free</c> that took an owner's memory; null when it lives.</summary>
    public HistoryEvent? FreeOfOwner(int owner) => _rare?.FreedOwners?.GetValueOrDefault(owner);

    public Mapping? MappingAt(ulong address)
    {
        if (_newest is null || _newest.Contains(address))
        {
            return _newest;
        }

        for (var i = _mappings.Count - 2; i >= 0; i--)
        {
            if (_mappings[i].Contains(address))
            {
                return _mappings[i];
            }
        }

        return null;
    }

    /// <summary>
    /// Returns the mapping whose page map or owner lives in an object's memory; null when there is none.
    /// </summary>
    public Mapping? MapIn(int id)
    {
        if (_mappings.Count == 0 || ResourceIn(id, "map:") is not { } map
            || ResourceIn(id, "ref:") is not { } owner)
        {
            return null;
        }

        foreach (var mapping in _mappings)
        {
            if ((map != 0 && mapping.Map == map) || (owner != 0 && mapping.Owner == owner))
            {
                return mapping;
            }
        }

        return null;
    }

    /// <summary>
    /// Remembers an allocation that was live when its mapping was gone, until its life has ended: a fence exempts it.
    /// </summary>
    public void Hold(HeldAtRemoval held) => (Rare.HeldAtRemoval ??= []).Add(held);

    /// <summary>The life is over, and not by a fence.</summary>
    public void EndHeld()
    {
        if (_rare?.HeldAtRemoval is not { } ended)
        {
            return;
        }

        _rare.HeldAtRemoval = null;
        foreach (var held in ended)
        {
            held.EndLife();
        }
    }

    /// <summary>An alloc that had room was refused; the first of a life is kept.</summary>
    public void NoteRefusal(in Operation alloc)
    {
        RefusalsWithRoom++;
        Rare.FirstRefusal ??= alloc;
    }

    /// <summary>
    /// An add_resource failed while another resource of the device was mapped; asked for by its refs.
    /// </summary>
    public void NoteFailedAdd(long begin, long end)
    {
        if (!Context.Online)
        {
            (Rare.FailedAdds ??= []).Add((Gen, begin, end));
        }
    }

    public (long Begin, long End)? FailedAddAt(Position cause)
    {
        foreach (var (gen, begin, end) in _rare?.FailedAdds ?? [])
        {
            if (gen == cause.Gen && begin <= cause.Seq && cause.Seq <= end)
            {
                return (begin, end);
            }
        }

        return null;
    }

    /// <summary>Whether an oops is of the running bind or unbind, and not of a client's or a callback's.</summary>
    public bool IsOfPass(HistoryEvent oops) =>
        oops.Actor is null or "unbind" or "bind" || oops.Actor == (Unbind ?? Binding)?.Actor;

    public IEnumerable<int> LiveSlots() => Live?.Slots() ?? NoSlots;

    /// <summary>An operation nobody answered, of this device; offline only.</summary>
    public void NoteUnanswered(in Operation operation) => (Rare.Unanswered ??= []).Add(new(operation));

    /// <summary>
    /// Judges that an allocation was live at a position: at once when no unrecorded free can lie before it, else when
    /// the incarnation ends and it is known which operations may fill its gaps.
    /// </summary>
    public void ViolatedUnlessFreed(Rule rule, in LiveAllocation allocation, long before, Action violate)
    {
        if (!Context.Online && HasGapBetween(allocation.Seq, before))
        {
            (Rare.PossibleFrees ??= []).Add(new(allocation, before, rule, violate));
        }
        else
        {
            violate();
        }
    }

    public override void End()
    {
        DecideGaps();
        Sole?.End(Group.Unanswered, Ledger);
        foreach (var rule in RuleCatalog.OfDeviceEnd)
        {
            rule.JudgeEnd(this);
        }
    }

    protected override void ChangeIncarnation(int gen)
    {
        DecideGaps();
        Sole?.End(Group.Unanswered, Ledger);
        if (InReleaseAll || Unbind is not null)
        {
            Ledger.Hit(Probe.IncarnationDuringTeardown);
        }

        _leftOpen = Bound || Binding is not null || Unbind is not null;
        foreach (var slot in LiveSlots())
        {
            Live!.Remove(slot);
        }

        foreach (var mapping in Mappings)
        {
            (mapping.Held, mapping.HeldAtBegin) = (0, 0);
        }
    }

    protected override void Apply(HistoryEvent record)
    {
        if (Group.HasQuestions)
        {
            Group.Answer(Live);
        }

        if (Unanswered is not null && Context.ClockBoundNs is { } bound)
        {
            Precede(0, record.TimeNs + bound);
        }

        if (Sole is not null && record.Kind is EventKind.ChunkAdd or EventKind.Reap or EventKind.PoolDestroy)
        {
            Sole.Passes(record.TimeNs, record.TimeNs, Ledger);
        }

        if (_leftOpen && record.Kind is EventKind.BindBegin)
        {
            Fence();
        }

        foreach (var rule in RuleCatalog.OfDevice(record.Kind))
        {
            rule.Judge(this, record);
        }

        switch (record.Kind)
        {
            case EventKind.BindBegin: BeginLife(record); break;
            case EventKind.BindEnd: EndBind(record); break;
            case EventKind.UnbindBegin: BeginUnbind(record); break;
            case EventKind.UnbindEnd: EndLife(); break;
            case EventKind.Fenced: Fence(); break;
            case EventKind.DevresAdd:
                AddNode(new(
                    record.Node, record.Other, record.Fn, record.At.Seq, record.Text is null or "action",
                    InReleaseAll));
                break;
            case EventKind.DevresRun or EventKind.DevresRemove or EventKind.DevresFree: RemoveNode(record.Node); break;
            case EventKind.ReleaseAllBegin: (InReleaseAll, ReleasedInBind) = (true, Binding is not null); break;
            case EventKind.ReleaseAllEnd: InReleaseAll = Unbind is not null; break;
            case EventKind.AddResourceBegin: AddResource = record; break;
            case EventKind.AddResourceEnd: EndAddResource(record); break;
            case EventKind.PoolCreate:
                (PoolExists, PoolCreatedSeq) = (true, record.At.Seq);
                BeginSole();
                break;
            case EventKind.ActionAddFailed when !Context.Online:
                (Rare.FailedRegistrations ??= []).Add(new(record));
                break;
            case EventKind.SysfsShowBegin:
                (Rare.Shows ??= [])[record.Actor ?? ""] = new(record, Field, LastSeq);
                break;
            case EventKind.SysfsShowEnd: _rare?.Shows?.Remove(record.Actor ?? ""); break;
            case EventKind.PoolDestroy: PoolExists = false; break;
            case EventKind.ChunkAdd: AddChunk(record); break;
            case EventKind.FieldSet: (Field, FieldCleared, FieldReadOutsideTurn) = (FieldPhase.Set, null, false); break;
            case EventKind.FieldClear: (Field, FieldCleared) = (FieldPhase.Cleared, record); break;
            case EventKind.FieldRead:
                FieldReadOutsideTurn = Field is not FieldPhase.Cleared || FieldReadOutsideTurn;
                break;
            case EventKind.TeardownBegin: BeginTeardown(record); break;
            case EventKind.TeardownEnd: EndTeardown(record); break;
            case EventKind.ObjAlloc: NoteObject(record, freed: false); break;
            case EventKind.ObjFree: NoteObject(record, freed: true); break;
            case EventKind.Oops or EventKind.Bug:
                OopsEver = true;
                if (Unbind is not null || Binding is not null)
                {
                    Rare.OopsInPass = record;
                    Died |= IsOfPass(record);
                }

                break;
            case EventKind.Hang or EventKind.HangDetected: HangSeen = true; break;
            case EventKind.Reap: Free(record.Alloc, default); break;
            case EventKind.AllocEnd when record.Err is Errno.OK && record.Start != 0:
                ApplyAlloc(FromEvent(record));
                break;
            case EventKind.FreeEnd: ApplyFree(FromEvent(record)); break;
            default: break;
        }
    }

    public override void AddTo(ReachedObjects reached)
    {
        base.AddTo(reached);
        reached.Add(_newest);
        Live?.AddTo(reached);
    }

    protected override void Apply(in Operation record)
    {
        if (Group.HasQuestions)
        {
            Group.Answer(Live);
        }

        if (Unanswered is not null)
        {
            Precede(record.Client, record.DoneNs);
        }

        Sole?.Begins(record, Ledger);
        switch (record.Kind)
        {
            case OperationKind.Alloc: ApplyAlloc(record); break;
            case OperationKind.Free: ApplyFree(record); break;
            case OperationKind.Query: ApplyResolved(record); break;
            default: break;
        }
    }

    private static Operation FromEvent(HistoryEvent record) => new()
    {
        Kind = record.Kind is EventKind.AllocEnd ? OperationKind.Alloc : OperationKind.Free,
        Outcome = OperationOutcome.Ok,
        Device = record.At.Obj,
        At = record.At,
        SentNs = record.TimeNs,
        DoneNs = record.TimeNs,
        Alloc = record.Alloc.IsNone ? new(record.At.Obj, record.At.Gen, record.At.Seq) : record.Alloc,
        Address = record.Start,
        SizeBytes = record.SizeBytes,
        Owner = record.Other,
    };

    private void ApplyAlloc(in Operation op)
    {
        foreach (var rule in Context.Online ? RuleCatalog.OfAllocOnline : RuleCatalog.OfAlloc)
        {
            rule.JudgeAlloc(this, op);
        }

        if (InReleaseAll)
        {
            CountAllocProbes(op);
        }

        if (op.Outcome is not OperationOutcome.Ok)
        {
            return;
        }

        var allocation = LiveAllocation.Of(op);
        Live ??= new();
        int overlapped;
        while ((overlapped = Live.FindOverlap(allocation.Start, allocation.End)) >= 0)
        {
            Live.Displace(overlapped);
        }

        Live.Add(allocation);
        var mapping = InReleaseAll ? MappingAt(op.Address) : null;
        if (mapping is { Phase: not MappingPhase.Mapped })
        {
            mapping.Held += mapping.Phase is MappingPhase.TearingDown ? 1 : 0;
            if (!Context.Online)
            {
                (mapping.MadeInTeardown ??= []).Add(allocation);
            }

            Group.NoteAlloc(allocation, MayBecomeSuspect(mapping));
        }
        else if (Group.HasSuspicions)
        {
            Group.NoteAlloc(allocation, mayBecomeSuspect: false);
        }
    }

    private void ApplyFree(in Operation op)
    {
        if (op.Outcome is not OperationOutcome.Ok)
        {
            return;
        }

        var slot = Live?.Find(op.Alloc) ?? -1;
        if (slot < 0 && op.Client == 0 && Live is not null)
        {
            // The fine-grained forms name an address, not an allocation.
            slot = Live.FindOverlap(op.Address, op.Address);
        }

        foreach (var rule in RuleCatalog.OfFree)
        {
            rule.JudgeFree(this, op, slot);
        }

        if (Group.HasSuspicions)
        {
            Group.NoteFree(slot >= 0 ? Live![slot] : default, op);
        }

        Free(slot >= 0 ? Live![slot].Id : op.Alloc, op);
    }

    /// <summary>
    /// A query found out what an unanswered operation had done: it counts as that operation, at its position.
    /// </summary>
    private void ApplyResolved(in Operation query)
    {
        if (query.Outcome is not OperationOutcome.Ok || Unanswered is null)
        {
            return;
        }

        var number = query.Of;
        var i = Unanswered.FindIndex(u => u.Operation.Number == number);
        if (i < 0)
        {
            return;
        }

        var resolved = Unanswered[i].Operation;
        Unanswered.RemoveAt(i);
        resolved.Outcome = OperationOutcome.Ok;
        resolved.At = query.At;
        resolved.Alloc = resolved.Alloc.IsNone ? query.Alloc : resolved.Alloc;
        resolved.Address = resolved.Address == 0 ? query.Address : resolved.Address;
        resolved.SizeBytes = resolved.SizeBytes == 0 ? query.SizeBytes : resolved.SizeBytes;
        resolved.Owner = resolved.Owner == 0 ? query.Owner : resolved.Owner;
        if (resolved.Kind is OperationKind.Alloc)
        {
            ApplyAlloc(resolved);
        }
        else if (resolved.Kind is OperationKind.Free)
        {
            // The answer that is lost is the one that would have named the owner.
            var slot = Live?.Find(resolved.Alloc) ?? -1;
            resolved.Owner = resolved.Owner == 0 && slot >= 0 ? Live![slot].Owner : resolved.Owner;
            ApplyFree(resolved);
        }
    }

    private void Free(AllocId id, in Operation op)
    {
        var slot = Live?.Find(id) ?? -1;
        if (slot < 0)
        {
            return;
        }

        ref var allocation = ref Live![slot];
        if (InReleaseAll)
        {
            foreach (var mapping in Mappings)
            {
                if (mapping.Phase is MappingPhase.TearingDown && mapping.Contains(allocation.Start))
                {
                    mapping.Held--;
                    if (mapping.Held == 0)
                    {
                        Ledger.Hit(Probe.FreeEndsWait);
                    }
                }
            }
        }

        if (_rare?.PossibleFrees is { } possible)
        {
            DecideFreed(possible, allocation.Id);
        }

        Live.Remove(slot);
    }

    private void CountAllocProbes(in Operation op)
    {
        var tearing = false;
        var mapped = false;
        foreach (var mapping in Mappings)
        {
            tearing |= mapping.Phase is MappingPhase.TearingDown;
            mapped |= mapping.Phase is MappingPhase.Mapped;
        }

        if (tearing)
        {
            Ledger.Hit(Probe.AllocBetweenKillAndWaitEnd);
            if (mapped && op.Outcome is OperationOutcome.Fail)
            {
                Ledger.Hit(Probe.RefusedWhileOtherLives);
            }
        }
    }

    private void BeginLife(HistoryEvent record)
    {
        Binding = record;
        Life = record.At.Life;
        (ResourcesFailed, ResourcesAdded, RefusalsWithRoom) = (0, 0, 0);
        (HangSeen, AddResource, ReleasedInBind, Died) = (false, null, false, false);
        if (_rare is not null)
        {
            (_rare.FirstRefusal, _rare.OopsInPass) = (null, null);
        }

        _objects.ForgetFreed();
    }

    private void EndBind(HistoryEvent record)
    {
        Binding = null;
        if (ReleasedInBind)
        {
            EndLife();
        }
        else
        {
            // A driver whose add_resource failed may stay bound with what it got.
            Bound = true;
        }
    }

    private void BeginUnbind(HistoryEvent record)
    {
        Unbind = record;
        InReleaseAll = true;
        (HangSeen, Died) = (false, false);
        if (_rare is not null)
        {
            _rare.OopsInPass = null;
        }

        Group.Unbinding = true;
        if (Live is { Count: > 0 })
        {
            Ledger.Hit(Probe.UnbindWithLiveHolder);
        }
    }

    private void EndLife()
    {
        (Group.Unbinding, _leftOpen) = (false, false);
        (Unbind, Binding, AddResource, Bound, InReleaseAll) = (null, null, null, false, false);
        if (_rare is not null)
        {
            (_rare.HeldAtRemoval, _rare.FailedRegistrations) = (null, null);
        }

        if (Live is { Count: 0 })
        {
            Live = null; // Its tables are as large as the most that ever lived in it.
        }

        foreach (var mapping in _mappings)
        {
            KeepRange(mapping.Start, mapping.SizeBytes);
        }

        _mappings.Clear();
        (_newest, _devresCount) = (null, 0);
        (Field, FieldCleared, FieldReadOutsideTurn, PoolExists) = (FieldPhase.Unseen, null, false, false);
        PoolCreatedSeq = 0;
        Sole?.End(Group.Unanswered, Ledger);
        if (_rare is not null)
        {
            _rare.Sole = null;
        }
    }

    /// <summary>
    /// The life ended without reaping: nothing of it is judged, and nobody holds anything of it any more.
    /// </summary>
    private void Fence()
    {
        EndLife();
        _objects = default;
        _rare?.FreedOwners?.Clear();
        Live = null;
    }

    private void KeepRange(ulong start, ulong sizeBytes)
    {
        const int RangesMax = 8;
        var tornDown = Rare.TornDown ??= [];
        if (!tornDown.Contains((start, sizeBytes)))
        {
            if (tornDown.Count == RangesMax)
            {
                tornDown.RemoveAt(0);
            }

            tornDown.Add((start, sizeBytes));
        }
    }

    private void AddNode(in RegisteredNode node)
    {
        if (_devres is null || _devresCount == _devres.Length)
        {
            Array.Resize(ref _devres, _devresCount < UsualNodes ? UsualNodes : 2 * _devresCount);
        }

        _devres[_devresCount++] = node;
    }

    private void BeginSole()
    {
        if (SoleRun.Of(Context) is { } sole)
        {
            Rare.Sole = sole;
        }
        else if (_rare is not null)
        {
            _rare.Sole = null;
        }
    }

    private void RemoveNode(int node)
    {
        // From the newest: that is where the next one to run is.
        for (var i = _devresCount - 1; i >= 0; i--)
        {
            if (_devres![i].Node == node)
            {
                _devresCount--;
                _devres.AsSpan((i + 1)..(_devresCount + 1)).CopyTo(_devres.AsSpan(i));
                return;
            }
        }
    }

    private void EndAddResource(HistoryEvent record)
    {
        AddResource = null;
        foreach (var failed in FailedRegistrations)
        {
            failed.HasReturned = true;
        }

        if (record.Err is Errno.OK)
        {
            ResourcesAdded++;
        }
        else
        {
            ResourcesFailed++;
            Ledger.Hit(Probe.AddResourceFails);
        }
    }

    private void AddChunk(HistoryEvent record)
    {
        if (_rare?.TornDown is { } tornDown && tornDown.Exists(
            t => unchecked(record.Start - t.Start) < t.SizeBytes
                || unchecked(t.Start - record.Start) < record.SizeBytes))
        {
            Ledger.Hit(Probe.RebindReusesRange);
        }

        Know(new()
        {
            Start = record.Start,
            SizeBytes = record.SizeBytes,
            Owner = record.Other,
            AddedSeq = record.At.Seq,
        });
    }

    private void Know(Mapping mapping)
    {
        _mappings.Add(mapping);
        _newest = mapping;
    }

    private void BeginTeardown(HistoryEvent record)
    {
        var mapping = MappingAt(record.Start);
        if (mapping is null)
        {
            mapping = new() { Start = record.Start, SizeBytes = record.SizeBytes };
            Know(mapping);
        }

        mapping.Map = record.Other;
        mapping.Phase = MappingPhase.TearingDown;
        mapping.TeardownBegin = record;
        mapping.HeldAtBegin = 0;
        var suspects = MayBecomeSuspect(mapping);
        foreach (var slot in LiveSlots())
        {
            ref var allocation = ref Live![slot];
            if (mapping.Contains(allocation.Start))
            {
                mapping.HeldAtBegin++;
                if (suspects)
                {
                    Group.NoteAlloc(allocation, mayBecomeSuspect: true);
                }
            }
        }

        mapping.Held = mapping.HeldAtBegin;
    }

    private void EndTeardown(HistoryEvent record)
    {
        var mapping = MappingAt(record.Start);
        if (mapping is null)
        {
            NoteTornDown(record.Other);
            return;
        }

        mapping.Phase = MappingPhase.Removed;
        mapping.TeardownEnd = record;
        NoteTornDown(record.Other);
        foreach (var slot in LiveSlots())
        {
            ref var allocation = ref Live![slot];
            if (!mapping.Contains(allocation.Start) && MappingAt(allocation.Start) is { } other
                && other.AddedSeq < mapping.AddedSeq)
            {
                Ledger.Hit(Probe.HolderOnOlderResource);
            }
        }
    }

    private void NoteTornDown(int map)
    {
        foreach (var failed in FailedRegistrations)
        {
            var container = ResourceIn(failed.Record.Other, "map:");
            failed.WasTornDown |= container is null || container == map;
        }
    }

    /// <summary>Whether accesses to the mapping may still be fed, so that its holders have to be remembered.</summary>
    private bool MayBecomeSuspect(Mapping mapping) =>
        !Context.Online && !(Context.Header.SortedByObject && Group.Maps.ContainsKey(mapping.Map));

    private void NoteObject(HistoryEvent record, bool freed)
    {
        _objects.Note(new(record.Other, record.Text, record.At.Life, freed ? record.At.Seq : 0));
        if (OwnerIn(record.Other) is var owner and not 0)
        {
            if (freed)
            {
                (Rare.FreedOwners ??= [])[owner] = record;
            }
            else
            {
                _rare?.FreedOwners?.Remove(owner);
            }
        }
    }

    /// <summary>Returns the ref that lives in an object's memory, by the names of both; 0 when there is none.</summary>
    private int OwnerIn(int id) =>
        Context.Objects.NameStartsWith(id, "p2p_pgmap:") ? ResourceIn(id, "ref:") ?? 0 : 0;

    /// <summary>
    /// Returns what has the same resource as an object named <c>p2p_pgmap:DEV/barN.LIFE</c> or <c>pgmap:…</c>.
    /// </summary>
    /// <param name="prefix">Of the name that is looked for: <c>map:</c> or <c>ref:</c>.</param>
    /// <returns>0 where there is none of that name; null where the object has another kind of name.</returns>
    public int? ResourceIn(int id, string prefix)
    {
        var name = Context.Objects.Name(id, stackalloc char[ObjectTable.UsualLength]);
        var colon = name.IndexOf(':');
        if (colon < 0 || name[..colon] is not ("p2p_pgmap" or "pgmap"))
        {
            return null;
        }

        var dot = name.LastIndexOf('.');
        var resource = name[(colon + 1)..(dot > name.LastIndexOf('/') ? dot : name.Length)];
        return Context.Objects.Find($"{prefix}{resource}");
    }

    /// <summary>Moves the bound of unanswered operations that were sent after a record was done.</summary>
    private void Precede(int client, long doneNs)
    {
        var bound = Context.ClockBoundNs;
        foreach (var unanswered in Unanswered!)
        {
            var sent = unanswered.Operation.SentNs;
            if ((client != 0 && client == unanswered.Operation.Client && doneNs <= sent)
                || (bound is { } b && doneNs + b <= sent))
            {
                unanswered.After = LastSeq;
            }
        }
    }

    /// <summary>The allocation was freed at a known position, so no unrecorded free lies before it.</summary>
    private static void DecideFreed(List<PossibleFree> possible, AllocId id)
    {
        for (var i = possible.Count - 1; i >= 0; i--)
        {
            if (possible[i].Allocation.Id == id)
            {
                possible[i].Violate();
                possible.RemoveAt(i);
            }
        }
    }

    /// <summary>
    /// Decides what depends on which unanswered operations fill the gaps of the incarnation that ends here.
    /// </summary>
    private void DecideGaps()
    {
        var possibleFrees = _rare?.PossibleFrees;
        if (possibleFrees is null && Gaps.Count == 0 && Unanswered is null)
        {
            return;
        }

        var gaps = Gaps.Where(g => g.Gen == Gen).ToList();
        // A free of what a later incarnation hands out was not sent yet.
        var sent = (Unanswered ?? []).FindAll(
            u => u.Operation.Kind is not OperationKind.Free || u.Operation.Alloc.Gen <= Gen);
        var used = new HashSet<UnansweredOperation>();
        GapFilling.Decide(
            gaps, sent, possibleFrees ?? [], Context.Header.Complete, used, out var lost,
            out var unexplained);
        Rare.Lost += lost;
        foreach (var possible in possibleFrees ?? [])
        {
            if (unexplained.Contains(possible))
            {
                possible.Violate();
            }
            else
            {
                Ledger.Undecided(possible.Rule);
            }
        }

        Rare.PossibleFrees = null;
        Unanswered?.RemoveAll(
            u => used.Contains(u) || (u.Operation.Kind is OperationKind.Free && u.Operation.Alloc.Gen <= Gen));
        foreach (var unanswered in Unanswered ?? [])
        {
            unanswered.After = 0; // Positions count from 1 again.
        }
    }

    /// <summary>Positions that no record and no unanswered operation can account for.</summary>
    public long Lost => _rare?.Lost ?? 0;
}
