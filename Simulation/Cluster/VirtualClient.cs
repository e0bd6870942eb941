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
internal sealed partial class VirtualClient
{
    private const int HoldingsMax = 256;
    private const int PagesMax = 16;
    private const int PageShift = 12;

    /// <summary>A larger request is split by the block layer.</summary>
    private const ulong RequestBytesMax = 64 * 1024;

    private readonly VirtualLoad _load;
    private readonly VirtualCluster _cluster;
    private readonly RandomChoice _random;
    private readonly List<Holding> _holdings = [];
    private readonly DeadlineAlarm _alarm;
    private readonly VirtualGenerator _generator;
    private HotCall? _call;
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

        /// <summary>A pinned page rather than memory or a request of the client's own.</summary>
        public bool IsPin;
    }

    /// <param name="index">Its place among the clients of the scenario.</param>
    /// <param name="arrivals">What is due of its share, also of a dead client before it; null in a closed loop.</param>
    public VirtualClient(VirtualLoad load, VirtualGenerator generator, int index, int number, IArrivals? arrivals)
    {
        (_load, _cluster, _generator, Index, Number) = (load, load.Cluster, generator, index, number);
        var plan = load.Cluster.Plan;
        _random = new(
            plan.Run.Seed, "client", index + (load.Generators.Count <= plan.Generators ? 0 : number * load.Clients));
        _alarm = new(this);
        Arrivals = arrivals;
    }

    public int Index { get; }

    public IArrivals? Arrivals { get; }

    /// <summary>Its object's number in the history, and its number in the ledgers.</summary>
    public int Number { get; }

    public int Session => _generator.Session;

    /// <summary>It holds nothing, waits for nothing, and will send nothing more.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Its process is gone: what it had asked is never answered, and nobody asks again.</summary>
    public void Die()
    {
        if (_call is { IsQuestion: false } call)
        {
            for (var element = 0; element < call.Count; element++)
            {
                Record(ref call.At(element));
            }
        }

        foreach (var held in _holdings)
        {
            _load.Live[held.Device]--;
        }

        (_call, _isIdle, IsDone) = (null, false, true);
        _unresolved.Clear();
    }

    /// <summary>A planted defect: uses what a dead client held.</summary>
    public void TakeOver(VirtualClient dead)
    {
        foreach (var held in dead._holdings)
        {
            _holdings.Add(held with { UntilNs = _cluster.NowNs + _load.HoldNs(_random) });
            _load.Live[held.Device]++;
        }
    }

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
            for (var element = 0; element < call.Count; element++)
            {
                ref readonly var reply = ref call.ReplyOf(element);
                ref var operation = ref call.At(element);
                operation.Err = reply.Err;
                operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
                Apply(ref operation, reply);
                Record(ref operation);
            }

            for (var element = 0; element < call.Count; element++)
            {
                Use(call.At(element), call.ReplyOf(element));
            }
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
        if (_call is not null || _generator.IsDead)
        {
            return;
        }

        if (IsUnresolved)
        {
            Ask();
        }
        else if (_load.IsDraining)
        {
            DrainOne();
        }
        else if (Arrivals is { HasNext: true })
        {
            var dueNs = _load.BeginNs + Arrivals.DueNs;
            if (dueNs > _cluster.NowNs)
            {
                WakeAt(dueNs);
                return;
            }

            _intendedNs = dueNs;
            Arrivals.Advance();
            Step();
        }
        else if (_load.IsClosed && Index < _load.ClientsActive)
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
            FreeDue(due);
            return;
        }

        switch (_load.Operations.Next(_random))
        {
            case 1 when _holdings.Count > 0:
                var place = _random.Below(_holdings.Count);
                var isWrite = _holdings[place].Tag == 0 || _random.Share() < 0.5;
                AccessSome(place, isWrite ? AccessDirection.Write : AccessDirection.Read);
                break;
            case 2 when _holdings.Count > 0:
                FreeDue(_random.Below(_holdings.Count));
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

    /// <summary>Takes what the driver of a device gives: memory, a request in flight or a pinned page.</summary>
    private void Alloc()
    {
        var device = _load.DeviceChoice.Next(_random);
        var sizeBytes = NextSize();
        var plan = _cluster.Devices[device];
        if (plan.HasPins && (!plan.HasQueue || _random.Share() < 0.5))
        {
            Pin(device);
            return;
        }

        if (plan.HasQueue)
        {
            sizeBytes = Math.Min(sizeBytes, RequestBytesMax);
        }
        else if (_load.VectorLength > 1 && !plan.HasPins)
        {
            AllocMany(device, sizeBytes);
            return;
        }

        var call = Call(BeginAlloc(device, sizeBytes), _load.KnownGens[device]);
        Send(call, _cluster.DeviceGrain(device));
    }

    /// <summary>Pins a page, any of the range: several holders may pin one.</summary>
    private void Pin(int device)
    {
        var pages = (long)(_cluster.Devices[device].Resources[0].LengthBytes >> PageShift);
        var operation = Begin(OperationKind.Alloc, device);
        operation.Map = _load.MapIds[device][0];
        operation.SizeBytes = 1 << PageShift;
        operation.PageCount = 1;
        Send(
            new(_cluster, this)
            {
                Operation = operation,
                KnownGen = _load.KnownGens[device],
                KnownMapGen = _load.KnownMapGens[device],
                Page = _random.Below((int)pages),
            },
            _cluster.MapGrain(device, 0));
    }

    private void Access(int place, AccessDirection direction)
    {
        _place = place;
        var holding = _holdings[place];
        Send(Call(BeginAccess(holding, direction), holding.Gen), AccessedAt(holding));
    }

    private void Free(int place)
    {
        _place = place;
        var holding = _holdings[place];
        var grain = holding.IsPin ? _cluster.MapGrain(holding.Device, 0) : _cluster.DeviceGrain(holding.Device);
        Send(Call(BeginFree(holding), holding.Gen), grain);
    }

    private ulong NextSize() => (ulong)_load.Sizes[_load.SizeChoice.Next(_random)];

    /// <summary>A device without a page map serves the accesses of its requests itself.</summary>
    private Grain AccessedAt(in Holding holding) => _cluster.Devices[holding.Device].HasPlainMapping
        ? _cluster.DeviceGrain(holding.Device) : _cluster.MapGrain(holding.Device, holding.Resource);

    private Operation BeginAlloc(int device, ulong sizeBytes)
    {
        var operation = Begin(OperationKind.Alloc, device);
        operation.SizeBytes = sizeBytes;
        return operation;
    }

    private Operation BeginAccess(in Holding holding, AccessDirection direction)
    {
        // Several may pin one page, so what one writes is no other's to read back: a pin is read through.
        direction = holding.IsPin ? AccessDirection.Read : direction;
        var operation = Begin(OperationKind.Access, holding.Device);
        operation.Alloc = new(_load.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.Map = _load.MapIds[holding.Device][holding.Resource];
        operation.Pfn = holding.Address >> PageShift;
        operation.PageCount = holding.PageCount;
        operation.Direction = direction;
        operation.Via = holding.IsPin && _cluster.Devices[holding.Device].HasQueue ? AccessVia.Dma : AccessVia.Cpu;
        operation.Tag = direction is AccessDirection.Write
            ? unchecked((ulong)operation.Number * 0x9e3779b97f4a7c15) | 1 : 0;
        return operation;
    }

    private Operation BeginFree(in Holding holding)
    {
        var operation = Begin(OperationKind.Free, holding.Device);
        operation.Alloc = new(_load.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.SizeBytes = holding.SizeBytes;
        if (holding.IsPin)
        {
            operation.Map = _load.MapIds[holding.Device][0];
            operation.Pfn = holding.Address >> PageShift;
            operation.PageCount = 1;
        }

        return operation;
    }

    private Operation Begin(OperationKind kind, int device) => new()
    {
        Number = _load.NextNumber(),
        Client = Number,
        Session = _generator.Session,
        Device = _load.DeviceIds[device],
        Kind = kind,
        IntendedNs = _intendedNs,
        SentNs = _cluster.NowNs,
    };

    private HotCall Call(in Operation operation, int knownGen) =>
        new(_cluster, this) { Operation = operation, KnownGen = knownGen };

    private void Send(HotCall call, Grain grain)
    {
        (_call, _asked) = (call, grain);
        _deadlineNs = _cluster.NowNs + _load.DeadlineNs;
        if (!_isAlarmSet)
        {
            _isAlarmSet = true;
            _cluster.Time.At(_deadlineNs, _alarm);
        }

        // A network that delivers it twice copies it; of what is on its way only its answer changes.
        _cluster.Send(null, grain, call);
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
        for (var element = 0; element < call.Count; element++)
        {
            Record(ref call.At(element));
        }

        Lose(call);
        _cluster.Time.After(AskAgainNs, Next);
    }

    /// <summary>What the answer adds to the record.</summary>
    private void Apply(ref Operation operation, in FrontReply reply)
    {
        var device = _asked!.Device;
        var obj = operation.Map == 0 ? operation.Device : operation.Map;
        operation.At = reply.At.Seq == 0 ? default : new(obj, reply.At.Gen, reply.At.Seq, reply.At.Life);
        if (operation.Kind is OperationKind.Access)
        {
            operation.Tag = operation.Direction is AccessDirection.Write && operation.Tag != 0
                ? operation.Tag : reply.Tag;
            return;
        }

        if (operation.Map != 0)
        {
            // A pin: its name is the page map's to give, under the device's incarnation.
            if (operation.Kind is OperationKind.Alloc)
            {
                _load.KnownMapGens[device] = Math.Max(_load.KnownMapGens[device], reply.At.Gen);
            }

            if (operation.Kind is OperationKind.Alloc && reply.Err is Errno.OK)
            {
                var pin = reply.ToPin();
                operation.Alloc = new(operation.Device, pin.Gen, pin.Number);
                operation.Pfn = pin.Pfn;
                operation.Address = pin.Pfn << PageShift;
            }

            return;
        }

        _load.KnownGens[device] = Math.Max(_load.KnownGens[device], reply.At.Gen);
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
                Forget(PlaceOf(operation));
                break;
            case OperationKind.Access when reply.Err is not Errno.OK:
                // It faulted: no further use, it is given back at the next chance.
                ref var faulted = ref At(PlaceOf(operation));
                (faulted.UntilNs, faulted.IsReadBack) = (0, true);
                break;
            case OperationKind.Access:
                ref var holding = ref At(PlaceOf(operation));
                if (operation.Direction is AccessDirection.Write)
                {
                    holding.Tag = reply.Tag;
                }
                else if (!holding.IsPin && reply.Tag != holding.Tag)
                {
                    _load.Counts.TagMismatches++;
                }

                break;
            case OperationKind.Free:
                Forget(PlaceOf(operation));
                break;
            default:
                break;
        }
    }

    private void Hold(in Operation operation, in FrontReply reply)
    {
        var device = _asked!.Device;
        var isPin = operation.Map != 0;
        _holdings.Add(new Holding
        {
            Device = device,
            Gen = isPin ? reply.ToPin().Gen : reply.At.Gen,
            Number = reply.Number,
            Resource = reply.Resource,
            Address = isPin ? reply.Address << PageShift : reply.Address,
            IsPin = isPin,
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

    /// <summary>Where it holds what an operation names.</summary>
    private int PlaceOf(in Operation operation)
    {
        if (_place < _holdings.Count && Names(operation, _holdings[_place]))
        {
            return _place;
        }

        for (var place = 0; place < _holdings.Count; place++)
        {
            if (Names(operation, _holdings[place]))
            {
                return place;
            }
        }

        throw new InvalidOperationException("A client used what it does not hold.");
    }

    private bool Names(in Operation operation, in Holding holding) =>
        operation.Alloc.Number == holding.Number && operation.Alloc.Gen == holding.Gen
        && operation.Device == _load.DeviceIds[holding.Device];

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
