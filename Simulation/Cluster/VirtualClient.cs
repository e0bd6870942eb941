using System.Runtime.InteropServices;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>One sequential client with the load mix of the scenario, as the live generator runs it.</summary>
/// <remarks>
/// Written as turns instead of an async method: it is the hot path of a simulation. Of an operation without an answer
/// it asks what became of it before it does anything else, so nothing is freed while an access to it is unresolved.
/// </remarks>
internal sealed class VirtualClient
{
    private const int HoldingsMax = 256;
    private const int PagesMax = 16;
    private const int PageShift = 12;
    private const long AskAgainNs = 50_000_000;

    private readonly VirtualLoad _load;
    private readonly VirtualCluster _cluster;
    private readonly RandomChoice _random;
    private readonly List<Holding> _holdings = [];
    private readonly DeadlineAlarm _alarm;
    private readonly IArrivals? _arrivals;
    private readonly int _index;
    private HotCall? _call;
    private HotCall? _unresolved;
    private Grain? _asked;
    private int _place;
    private long _deadlineNs;
    private bool _isAlarmSet;
    private int _wake;
    private bool _isIdle = true;
    private long _intendedNs;

    private struct Holding
    {
        public int Device;
        public int Gen;
        public long Number;
        public short Resource;
        public ulong Address;
        public ulong SizeBytes;
        public int PageCount;
        public long UntilNs;
        public ulong Tag;
        public bool IsReadBack;
    }

    public VirtualClient(VirtualLoad load, int index, int number)
    {
        (_load, _cluster, _index, Number) = (load, load.Cluster, index, number);
        _random = new(load.Cluster.Plan.Run.Seed, "client", index);
        _alarm = new(this);
        _arrivals = load.ArrivalsOf(index);
    }

    /// <summary>Its object's number in the history, and its number in the ledgers.</summary>
    public int Number { get; }

    public int Session => _load.Session;

    /// <summary>It holds nothing, waits for nothing, and will send nothing more.</summary>
    public bool IsDone { get; private set; }

    public bool IsUnresolved => _unresolved is not null;

    /// <summary>The phase changed: whoever waited for nothing else looks again.</summary>
    public void Poke()
    {
        if (_isIdle)
        {
            _intendedNs = _cluster.NowNs;
            Next();
        }
    }

    public void Answered(HotCall call)
    {
        // A late answer belongs to a call that was given up, or that was answered before.
        if (_call is not { } current || current.Operation.Number != call.Operation.Number)
        {
            return;
        }

        _call = null;
        if (call.IsQuestion)
        {
            Resolved(call);
        }
        else
        {
            ref readonly var reply = ref call.Reply;
            ref var operation = ref call.Operation;
            operation.Err = reply.Err;
            operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            Apply(ref operation, reply);
            Record(ref operation);
            Use(operation, reply);
        }

        if (_load.IsClosed)
        {
            _intendedNs = _cluster.NowNs;
        }

        Next();
    }

    private void Next()
    {
        _isIdle = false;
        if (_call is not null)
        {
            return;
        }

        if (_unresolved is not null)
        {
            Ask();
        }
        else if (_load.IsDraining)
        {
            DrainOne();
        }
        else if (_arrivals is { HasNext: true })
        {
            var dueNs = _load.BeginNs + _arrivals.DueNs;
            if (dueNs > _cluster.NowNs)
            {
                WakeAt(dueNs);
                return;
            }

            _intendedNs = dueNs;
            _arrivals.Advance();
            Step();
        }
        else if (_load.IsClosed && _index < _load.ClientsActive)
        {
            Step();
        }
        else if (_load.IsClosed && NextDue() is >= 0 and var due)
        {
            // Not active in this phase: what it still holds is freed in time all the same.
            if (_holdings[due].UntilNs <= _cluster.NowNs)
            {
                _intendedNs = _cluster.NowNs;
                Free(due);
            }
            else
            {
                WakeAt(_holdings[due].UntilNs);
            }
        }
        else
        {
            _isIdle = true;
        }
    }

    private void DrainOne()
    {
        _intendedNs = _cluster.NowNs;
        if (_holdings.Count == 0)
        {
            (IsDone, _isIdle) = (true, true);
            _load.ClientDone();
            return;
        }

        // The last look at what was written, then back with it.
        var last = _holdings.Count - 1;
        ref var holding = ref At(last);
        if (holding.Tag == 0 || holding.IsReadBack)
        {
            Free(last);
        }
        else
        {
            holding.IsReadBack = true;
            Access(last, AccessDirection.Read);
        }
    }

    private void Step()
    {
        if (NextDue() is >= 0 and var due
            && (_holdings[due].UntilNs <= _cluster.NowNs || _holdings.Count >= HoldingsMax))
        {
            Free(due);
            return;
        }

        switch (_load.Operations.Next(_random))
        {
            case 1 when _holdings.Count > 0:
                var place = _random.Below(_holdings.Count);
                var isWrite = _holdings[place].Tag == 0 || _random.Share() < 0.5;
                Access(place, isWrite ? AccessDirection.Write : AccessDirection.Read);
                break;
            case 2 when _holdings.Count > 0:
                Free(_random.Below(_holdings.Count));
                break;
            case 3:
                _load.Operators.Ask(
                    _random, _holdings.Count > 0 ? _holdings[_random.Below(_holdings.Count)].Device : null);
                Alloc();
                break;
            default:
                Alloc();
                break;
        }
    }

    private void Alloc()
    {
        var device = _load.DeviceChoice.Next(_random);
        var call = Begin(OperationKind.Alloc, device, _load.KnownGens[device]);
        call.Operation.SizeBytes = (ulong)_load.Sizes[_load.SizeChoice.Next(_random)];
        Send(call, _cluster.DeviceGrain(device));
    }

    private void Access(int place, AccessDirection direction)
    {
        var holding = _holdings[place];
        var call = Begin(OperationKind.Access, holding.Device, holding.Gen);
        ref var operation = ref call.Operation;
        operation.Alloc = new(_load.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.Map = _load.MapIds[holding.Device][holding.Resource];
        operation.Pfn = holding.Address >> PageShift;
        operation.PageCount = holding.PageCount;
        operation.Direction = direction;
        operation.Via = AccessVia.Cpu;
        operation.Tag = direction is AccessDirection.Write
            ? unchecked((ulong)operation.Number * 0x9e3779b97f4a7c15) | 1 : 0;
        _place = place;
        Send(call, _cluster.MapGrain(holding.Device, holding.Resource));
    }

    private void Free(int place)
    {
        var holding = _holdings[place];
        var call = Begin(OperationKind.Free, holding.Device, holding.Gen);
        ref var operation = ref call.Operation;
        operation.Alloc = new(_load.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.SizeBytes = holding.SizeBytes;
        _place = place;
        Send(call, _cluster.DeviceGrain(holding.Device));
    }

    /// <summary>Asks the object that would have executed it; until that answers, nothing else is done.</summary>
    private void Ask()
    {
        var lost = _unresolved!.Operation;
        var call = new HotCall(_cluster, this) { KnownGen = _load.KnownGens[_asked!.Device] };
        _intendedNs = _cluster.NowNs;
        call.Operation = lost with
        {
            Number = _load.NextNumber(),
            Kind = OperationKind.Query,
            Of = lost.Number,
            IntendedNs = _intendedNs,
            SentNs = _cluster.NowNs,
            DoneNs = 0,
            Outcome = OperationOutcome.Unknown,
            Tag = 0,
        };
        Send(call, _asked);
    }

    private HotCall Begin(OperationKind kind, int device, int gen) => new(_cluster, this)
    {
        KnownGen = gen,
        Operation =
        {
            Number = _load.NextNumber(),
            Client = Number,
            Session = _load.Session,
            Device = _load.DeviceIds[device],
            Kind = kind,
            IntendedNs = _intendedNs,
            SentNs = _cluster.NowNs,
        },
    };

    private void Send(HotCall call, Grain grain)
    {
        (_call, _asked) = (call, grain);
        _deadlineNs = _cluster.NowNs + _load.DeadlineNs;
        if (!_isAlarmSet)
        {
            _isAlarmSet = true;
            _cluster.Time.At(_deadlineNs, _alarm);
        }

        // What is on its way is a copy: a late one must not change what was recorded meanwhile.
        _cluster.Send(null, grain, call.Repeat());
    }

    /// <summary>The alarm is set once for many calls: most are answered long before.</summary>
    private void Alarm()
    {
        _isAlarmSet = false;
        if (_call is not { } call)
        {
            return;
        }

        if (_deadlineNs > _cluster.NowNs)
        {
            _isAlarmSet = true;
            _cluster.Time.At(_deadlineNs, _alarm);
            return;
        }

        _call = null;
        Record(ref call.Operation);
        if (!call.IsQuestion)
        {
            _unresolved = call;
            _load.Counts.Unknown++;
        }

        _cluster.Time.After(AskAgainNs, Next);
    }

    private void Resolved(HotCall question)
    {
        var lost = _unresolved!.Operation;
        _unresolved = null;
        ref readonly var reply = ref question.Reply;
        ref var operation = ref question.Operation;
        if (question.Stand is CallStand.Refused)
        {
            (operation.Outcome, operation.Err) = (OperationOutcome.Fail, Errno.ENOENT);
            Record(ref operation);
            _load.Counts.ResolvedNotSeen++;
            return;
        }

        operation.Err = reply.Err;
        operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
        operation.Kind = lost.Kind;
        Apply(ref operation, reply);
        operation.Kind = OperationKind.Query;
        Record(ref operation);
        _load.Counts.ResolvedExecuted++;
        lost.Err = reply.Err;
        lost.DoneNs = operation.DoneNs;
        lost.Outcome = operation.Outcome;
        Use(lost, reply);
    }

    /// <summary>What the answer adds to the record.</summary>
    private void Apply(ref Operation operation, in FrontReply reply)
    {
        var device = _asked!.Device;
        var obj = operation.Kind is OperationKind.Access ? operation.Map : operation.Device;
        operation.At = reply.At.Seq == 0 ? default : new(obj, reply.At.Gen, reply.At.Seq, reply.At.Life);
        if (operation.Kind is not OperationKind.Access && reply.At.Gen > _load.KnownGens[device])
        {
            _load.KnownGens[device] = reply.At.Gen;
        }

        if (operation.Kind is OperationKind.Access)
        {
            operation.Tag = operation.Direction is AccessDirection.Write && operation.Tag != 0
                ? operation.Tag : reply.Tag;
            return;
        }

        operation.Owner = reply.Owner < 0 ? 0 : _load.RefIds[device][reply.Owner];
        if (operation.Kind is OperationKind.Alloc && reply.Err is Errno.OK)
        {
            operation.Alloc = new(operation.Device, reply.At.Gen, reply.Number);
            operation.Address = reply.Address;
        }
    }

    /// <summary>What the client makes of the answer.</summary>
    private void Use(in Operation operation, in FrontReply reply)
    {
        switch (operation.Kind)
        {
            case OperationKind.Alloc when reply.Err is Errno.OK:
                Hold(operation, reply);
                break;
            case OperationKind.Access when reply.Err is Errno.ENODEV or Errno.ESTALE:
                // What a fence refused is gone already.
                Forget(_place);
                break;
            case OperationKind.Access when reply.Err is not Errno.OK:
                // It faulted: no further use, it is given back at the next chance.
                ref var faulted = ref At(_place);
                (faulted.UntilNs, faulted.IsReadBack) = (0, true);
                break;
            case OperationKind.Access:
                ref var holding = ref At(_place);
                if (operation.Direction is AccessDirection.Write)
                {
                    holding.Tag = reply.Tag;
                }
                else if (reply.Tag != holding.Tag)
                {
                    _load.Counts.TagMismatches++;
                }

                break;
            case OperationKind.Free:
                Forget(_place);
                break;
            default:
                break;
        }
    }

    private void Hold(in Operation operation, in FrontReply reply)
    {
        var device = _asked!.Device;
        _holdings.Add(new Holding
        {
            Device = device,
            Gen = reply.At.Gen,
            Number = reply.Number,
            Resource = reply.Resource,
            Address = reply.Address,
            SizeBytes = operation.SizeBytes,
            PageCount = (int)Math.Min((operation.SizeBytes + (1 << PageShift) - 1) >> PageShift, PagesMax),
            UntilNs = _cluster.NowNs + _load.HoldNs(_random),
        });
        _load.Live[device]++;
    }

    private void Forget(int place)
    {
        _load.Live[_holdings[place].Device]--;
        _holdings[place] = _holdings[^1];
        _holdings.RemoveAt(_holdings.Count - 1);
    }

    private void Record(ref Operation operation)
    {
        operation.DoneNs = _cluster.NowNs;
        _load.Record(operation);
    }

    private int NextDue()
    {
        var first = -1;
        var holdings = CollectionsMarshal.AsSpan(_holdings);
        for (var place = 0; place < holdings.Length; place++)
        {
            if (first < 0 || holdings[place].UntilNs < holdings[first].UntilNs)
            {
                first = place;
            }
        }

        return first;
    }

    private ref Holding At(int place) => ref CollectionsMarshal.AsSpan(_holdings)[place];

    private void WakeAt(long atNs)
    {
        _isIdle = true;
        _cluster.Time.At(atNs, new WakeUp(this, ++_wake));
    }

    private sealed class WakeUp(VirtualClient client, int number) : Occurrence
    {
        public override void Happen()
        {
            if (client._isIdle && client._wake == number)
            {
                client._wake++;
                client._intendedNs = client._cluster.NowNs;
                client.Next();
            }
        }
    }

    private sealed class DeadlineAlarm(VirtualClient client) : Occurrence
    {
        public override void Happen() => client.Alarm();
    }
}
