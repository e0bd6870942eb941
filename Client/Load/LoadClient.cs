using Fleet.Client.Scenarios;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Storage.Spool;

namespace Fleet.Client.Load;

/// <summary>What all clients of one generator share.</summary>
/// <param name="Schedule">Null in a closed loop.</param>
public sealed record LoadContext(
    LoadOptions Options,
    IFleetPort Port,
    LoadFleet Fleet,
    LoadClock Clock,
    LoadCounters Counters,
    LatencyRecorder Latency,
    DeadlineWatch Watch,
    SpoolWriter Spool,
    WeightedSampler DeviceSampler,
    SizeSampler Sizes,
    UnbindOperators Unbinds,
    ArrivalSchedule? Schedule)
{
    /// <summary>Keeps what each client sent last, for whoever finishes the load when this process is killed.</summary>
    public required SentFile Asked { get; init; }

    /// <summary>The generator's place among those that share the clients, and how many there are.</summary>
    public (int Place, int Of) Share { get; init; } = (0, 1);

    /// <summary>Null in a closed loop.</summary>
    public ArrivalPacer? Pacer { get; init; }
}

/// <summary>One sequential logical client: allocates, writes and reads back tags, holds, frees, and asks for
/// unbinds.</summary>
/// <remarks>
/// Concurrency: one task. Every answer is in the spool before it is used. In a closed loop an operation is intended
/// when the
/// answer before it came; in an open one when the schedule says, whatever was late.
/// </remarks>
public sealed partial class LoadClient : IDisposable
{
    /// <summary>A client in process that never gives up its thread starves the fleet that it measures.</summary>
    private const int CallsPerYield = 16;

    /// <summary>Bounds a client's memory where the weights free less than they allocate and holds are long.</summary>
    private const int HoldingsMax = 256;

    /// <summary>An access names at most this many pages, from the first of its allocation.</summary>
    private const int PagesMax = 16;

    private const int PageShift = 12;

    /// <summary>What a timer comes late; a client that is behind by more misses the end of the last phase.</summary>
    private const long LateNsMax = 20_000_000;

    /// <summary>A larger request is split by the block layer.</summary>
    private const ulong RequestBytesMax = 64 * 1024;

    private readonly LoadContext _context;
    private readonly int _index;
    private readonly int _sessionNumber;
    private readonly RandomStream _random;
    private readonly OperationNumbers _numbers;
    private readonly WeightedSampler _operations;
    private readonly List<Holding> _holdings = [];
    private readonly PacedWait _arrival = new();
    private DeadlineCall<AllocReply> _alloc;
    private DeadlineCall<FreeReply> _free;
    private DeadlineCall<AccessReply> _access;
    private DeadlineCall<PinReply>? _pin;
    private DeadlineCall<UnpinReply>? _unpin;
    private CancellationToken _stop;
    private long _intendedNs;

    /// <param name="sessionNumber">Number of the session in the run, as requests carry it.</param>
    public LoadClient(LoadContext context, int index, ulong seed, OperationNumbers numbers, int sessionNumber)
    {
        _context = context;
        _index = index;
        _sessionNumber = sessionNumber;
        _random = new(seed, "client", index);
        _numbers = numbers;
        var weights = context.Options.Operations;
        _operations = new([weights.Alloc, weights.Access, weights.Free, weights.Unbind]);
        _alloc = new(context.Watch);
        _free = new(context.Watch);
        _access = new(context.Watch);
        Arrivals = context.Schedule?.CursorOf(index, context.Options.Clients);
    }

    /// <summary>Its number among the clients of the scenario, from 0.</summary>
    public int Index => _index;

    /// <summary>What is left of this client's schedule; null in a closed loop.</summary>
    public ArrivalCursor? Arrivals { get; }

    /// <summary>Operations that this client was due to send and sent, with those of a process before it.</summary>
    public long Sent { get; private set; }

    /// <summary>Operations that became due while their client still waited for the answer to the one before.</summary>
    public long DueWhileBusy { get; private set; }

    /// <summary>Goes on after what an earlier process of the same share sent.</summary>
    /// <param name="steps">Operations of the schedule that it had begun.</param>
    public void Continue(long steps)
    {
        Sent = steps;
        Arrivals?.Skip(steps);
        Sending(new() { Client = _numbers.Client, Session = _numbers.Session });
    }

    /// <summary>Runs until the clock drains and nothing is held any more.</summary>
    /// <param name="stop">Ends it at once; what it holds is left to its session.</param>
    public async Task RunAsync(CancellationToken stop)
    {
        _stop = stop;
        try
        {
            await RunUntilDrainedAsync(stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return;
        }
    }

    public void Dispose()
    {
        _alloc.Dispose();
        _free.Dispose();
        _access.Dispose();
        _pin?.Dispose();
        _unpin?.Dispose();
        _resolve?.Dispose();
        DisposeVectors();
        _numbers.Dispose();
    }

    private async Task RunUntilDrainedAsync(CancellationToken stop)
    {
        _intendedNs = MonotonicNs.Now;
        var calls = 0;
        while (!stop.IsCancellationRequested)
        {
            var phase = _context.Clock.Current;
            if (phase.IsDraining && IsLastDue(phase))
            {
                Sent++;
                await StepAsync();
            }
            else if (phase.IsDraining)
            {
                if (_holdings.Count == 0)
                    return;

                // The last look at what was written, then back with it.
                _intendedNs = MonotonicNs.Now;
                var last = _holdings[^1];
                if (last.Tag == 0 || await AccessAsync(_holdings.Count - 1, AccessDirection.Read))
                {
                    _intendedNs = MonotonicNs.Now;
                    await FreeAsync(_holdings.Count - 1);
                }
            }
            else if (await IsDueAsync(phase, stop))
            {
                Sent++;
                await StepAsync();
                if (_context.Schedule is null)
                    _intendedNs = MonotonicNs.Now;
            }
            else
            {
                continue;
            }

            if (++calls % CallsPerYield == 0)
                await Task.Yield();
        }
    }

    /// <summary>Whether an operation was due just before the last phase ended, and its turn came just after.</summary>
    private bool IsLastDue(LoadClock.State phase)
    {
        if (Arrivals is not { HasNext: true } arrivals || arrivals.DueNs >= phase.SendsUntilNs
            || arrivals.DueNs < phase.SendsUntilNs - LateNsMax)
            return false;

        _intendedNs = phase.WallOf(arrivals.DueNs);
        arrivals.Advance();
        return true;
    }

    /// <summary>Waits for this client's turn; false when the phase changed meanwhile.</summary>
    private async ValueTask<bool> IsDueAsync(LoadClock.State phase, CancellationToken stop)
    {
        await _context.Spool.WaitForRoomAsync(stop);
        if (Arrivals is { } arrivals)
        {
            if (!arrivals.HasNext || phase.IsPaused)
            {
                await phase.Ended.WaitAsync(stop);
                return false;
            }

            _intendedNs = phase.WallOf(arrivals.DueNs);
            if (_intendedNs <= MonotonicNs.Now)
                DueWhileBusy++;
            while (_intendedNs > MonotonicNs.Now)
            {
                await _context.Pacer!.WaitAsync(_arrival, _intendedNs, phase);
                if (!ReferenceEquals(phase, _context.Clock.Current) || stop.IsCancellationRequested)
                    return false;
            }

            arrivals.Advance();
            return true;
        }

        if (_index < phase.ClientsActive && !phase.IsPaused)
            return true;

        if (NextDue() is { } due)
        {
            // Not active in this phase: what it still holds is freed in time all the same.
            if (_holdings[due].UntilNs <= MonotonicNs.Now)
            {
                _intendedNs = MonotonicNs.Now;
                await FreeAsync(due);
            }
            else
            {
                var wait = TimeSpan.FromMilliseconds(
                    Math.Max(1, (_holdings[due].UntilNs - MonotonicNs.Now) / 1_000_000));
                await Task.WhenAny(phase.Ended, Task.Delay(wait, stop));
            }

            return false;
        }

        await phase.Ended.WaitAsync(stop);
        _intendedNs = MonotonicNs.Now;
        return false;
    }

    private async ValueTask StepAsync()
    {
        if (NextDue() is { } due && (_holdings[due].UntilNs <= MonotonicNs.Now || _holdings.Count >= HoldingsMax))
        {
            await FreeDueAsync(due);
            return;
        }

        switch (_operations.Next(_random))
        {
            case 1 when _holdings.Count > 0:
                var place = _random.NextIndex(_holdings.Count);
                var isWrite = _holdings[place].Tag == 0 || _random.NextShare() < 0.5;
                await AccessSomeAsync(place, isWrite ? AccessDirection.Write : AccessDirection.Read);
                break;
            case 2 when _holdings.Count > 0:
                await FreeDueAsync(_random.NextIndex(_holdings.Count));
                break;
            case 3:
                _context.Unbinds.Ask(
                    _random, _holdings.Count > 0 ? _holdings[_random.NextIndex(_holdings.Count)].Device : null);
                await AllocAsync();
                break;
            default:
                await AllocAsync();
                break;
        }
    }

    private int? NextDue()
    {
        int? first = null;
        for (var place = 0; place < _holdings.Count; place++)
        {
            if (first is null || _holdings[place].UntilNs < _holdings[first.Value].UntilNs)
                first = place;
        }

        return first;
    }

    private async ValueTask AllocAsync()
    {
        var device = _context.DeviceSampler.Next(_random);
        var sizeBytes = (ulong)_context.Sizes.NextBytes(_random);
        var hold = _context.Fleet.Holds[device];
        if (hold is not HolderKind.Memory)
        {
            if (hold is HolderKind.Pin || (hold is HolderKind.PinOrRequest && _random.NextShare() < 0.5))
            {
                await PinAsync(device);
                return;
            }

            sizeBytes = Math.Min(sizeBytes, RequestBytesMax);
        }
        else if (_context.Options.VectorLength > 1)
        {
            await AllocManyAsync(device, sizeBytes);
            return;
        }

        var operation = Begin(OperationKind.Alloc, device);
        operation.SizeBytes = sizeBytes;
        Sending(operation);
        var answer = await _alloc.StartAsync(
            _context.Port.AllocAsync(device, ToAlloc(operation, device)), _context.Options.Deadline);
        Allocated(ref operation, device, answer);
        if (_alloc.IsSpent)
            _alloc = new(_context.Watch);
        if (operation.Outcome is OperationOutcome.Unknown)
            await AllocLostAsync(operation, device);
    }

    private AllocRequest ToAlloc(in Operation operation, int device) => new(
        operation.Number, _sessionNumber, operation.SizeBytes, _numbers.Client, _context.Fleet.KnownGen(device));

    private async ValueTask AllocLostAsync(Operation operation, int device)
    {
        if (await ResolveAsync(operation, device, resource: -1) is { Err: Errno.OK } reply)
            Hold(operation, device, reply.ToAlloc());
    }

    private void Allocated(ref Operation operation, int device, in CallAnswer<AllocReply> answer)
    {
        var reply = answer.Value;
        if (answer.IsKnown)
        {
            operation.Err = reply.Err;
            operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = PositionAt(_context.Fleet.DeviceIds[device], reply.At);
            operation.Owner = reply.Owner < 0 ? 0 : _context.Fleet.RefIds[device][reply.Owner];
            if (reply.Err is Errno.OK)
            {
                operation.Alloc = new(_context.Fleet.DeviceIds[device], reply.At.Gen, reply.Number);
                operation.Address = reply.Address;
            }

            Learn(device, reply.At);
        }

        End(ref operation, answer.Failure);
        if (operation.Outcome is OperationOutcome.Ok)
            Hold(operation, device, reply);
    }

    private void Hold(in Operation operation, int device, in AllocReply reply)
    {
        var pages = (int)Math.Min((operation.SizeBytes + (1 << PageShift) - 1) >> PageShift, PagesMax);
        _holdings.Add(new Holding
        {
            Device = device,
            Gen = reply.At.Gen,
            Number = reply.Number,
            Resource = reply.Resource,
            Address = reply.Address,
            SizeBytes = operation.SizeBytes,
            PageCount = pages,
            UntilNs = MonotonicNs.Now + (_context.Options.Hold.Next(_random).Ticks * 100),
        });
        _context.Fleet.Allocated(device);
        _context.Counters.Holding(+1);
    }

    /// <summary>An answer of a later incarnation than any before: its device lost what was bound, and is bound
    /// again.</summary>
    private void Learn(int device, At at)
    {
        if (at.Gen > _context.Fleet.KnownGen(device) && _context.Fleet.Learn(device, at.Gen))
            _context.Unbinds.Revive(device);
    }

    /// <summary>Pins a page, any of the range: several holders may pin one.</summary>
    private async ValueTask PinAsync(int device)
    {
        var pages = (long)(_context.Fleet.Devices[device].Resources[0].LengthBytes >> PageShift);
        var operation = Begin(OperationKind.Alloc, device);
        operation.Map = _context.Fleet.MapIds[device][0];
        operation.SizeBytes = 1 << PageShift;
        operation.PageCount = 1;
        _pin ??= new(_context.Watch);
        Sending(operation);
        var answer = await _pin.StartAsync(
            _context.Port.PinAsync(device, new(
                operation.Number, _sessionNumber, _random.NextIndex((int)pages), _numbers.Client,
                _context.Fleet.KnownMapGen(device))),
            _context.Options.Deadline);
        var reply = answer.Value;
        if (answer.IsKnown)
        {
            operation.Err = reply.Err;
            operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = PositionAt(operation.Map, reply.At);
            operation.Pfn = reply.Pfn;
            operation.Address = reply.Pfn << PageShift;
            if (reply.Err is Errno.OK)
                operation.Alloc = new(_context.Fleet.DeviceIds[device], reply.Gen, reply.Number);
            _context.Fleet.LearnMap(device, reply.At.Gen);
            Learn(device, new(reply.Gen, 0, 0));
        }

        End(ref operation, answer.Failure);
        if (_pin.IsSpent)
            _pin = null;
        if (operation.Outcome is OperationOutcome.Ok)
            HoldPin(operation, device, reply);
        else if (operation.Outcome is OperationOutcome.Unknown
            && await ResolveAsync(operation, device, resource: 0) is { Err: Errno.OK } resolved)
            HoldPin(operation, device, resolved.ToPin());
    }

    private void HoldPin(in Operation operation, int device, in PinReply reply)
    {
        _holdings.Add(new Holding
        {
            Device = device,
            Gen = reply.Gen,
            Number = reply.Number,
            Resource = 0,
            Address = reply.Pfn << PageShift,
            SizeBytes = operation.SizeBytes,
            PageCount = 1,
            IsPin = true,
            UntilNs = MonotonicNs.Now + (_context.Options.Hold.Next(_random).Ticks * 100),
        });
        _context.Fleet.Allocated(device);
        _context.Counters.Holding(+1);
    }

    private async ValueTask UnpinAsync(int place)
    {
        var holding = _holdings[place];
        var operation = Begin(OperationKind.Free, holding.Device);
        operation.Alloc = new(_context.Fleet.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Map = _context.Fleet.MapIds[holding.Device][0];
        operation.Address = holding.Address;
        operation.Pfn = holding.Address >> PageShift;
        operation.SizeBytes = holding.SizeBytes;
        operation.PageCount = 1;
        _unpin ??= new(_context.Watch);
        Sending(operation);
        var answer = await _unpin.StartAsync(
            _context.Port.UnpinAsync(
                holding.Device, new(
                operation.Number, _sessionNumber, holding.Gen, holding.Number, _numbers.Client)),
            _context.Options.Deadline);
        if (answer.IsKnown)
        {
            operation.Err = answer.Value.Err;
            operation.Outcome = answer.Value.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = PositionAt(operation.Map, answer.Value.At);
        }

        End(ref operation, answer.Failure);
        if (_unpin.IsSpent)
            _unpin = null;
        await FreedAsync(operation, holding, resource: 0);
    }

    /// <summary>What was not given back after all is given back later.</summary>
    private async ValueTask FreedAsync(Operation operation, Holding holding, int resource)
    {
        if (operation.Outcome is not OperationOutcome.Unknown
            || await ResolveAsync(operation, holding.Device, resource) is not null)
            Forget(_holdings.IndexOf(holding));
    }

    /// <returns>Whether the allocation is still held.</returns>
    private async ValueTask<bool> AccessAsync(int place, AccessDirection direction)
    {
        var holding = _holdings[place];
        var operation = BeginAccess(holding, direction);
        Sending(operation);
        var answer = await _access.StartAsync(
            _context.Port.AccessAsync(holding.Device, holding.Resource, ToAccess(operation, holding)),
            _context.Options.Deadline);
        Accessed(ref operation, answer);
        if (_access.IsSpent)
            _access = new(_context.Watch);
        return await KeepsAsync(holding, operation);
    }

    private Operation BeginAccess(Holding holding, AccessDirection direction)
    {
        // Several may pin one page, so what one writes is no other's to read back: a pin is read through.
        direction = holding.IsPin ? AccessDirection.Read : direction;
        var operation = Begin(OperationKind.Access, holding.Device);
        operation.Alloc = new(_context.Fleet.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.Map = _context.Fleet.MapIds[holding.Device][holding.Resource];
        operation.Pfn = holding.Address >> PageShift;
        operation.PageCount = holding.PageCount;
        operation.Direction = direction;
        operation.Via = holding.IsPin && _context.Fleet.Holds[holding.Device] is HolderKind.PinOrRequest
            ? AccessVia.Dma : AccessVia.Cpu;
        operation.Tag = direction is AccessDirection.Write
            ? unchecked((ulong)operation.Number * 0x9e3779b97f4a7c15) | 1 : 0;
        return operation;
    }

    private AccessRequest ToAccess(in Operation operation, Holding holding) => new(
        operation.Number, _sessionNumber, holding.Gen, holding.Number, operation.Pfn, operation.PageCount,
        operation.Direction, operation.Via, operation.Tag, _numbers.Client);

    private void Accessed(ref Operation operation, in CallAnswer<AccessReply> answer)
    {
        if (answer.IsKnown)
        {
            operation.Err = answer.Value.Err;
            operation.Outcome = answer.Value.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = PositionAt(operation.Map, answer.Value.At);
            operation.Tag = operation.Direction is AccessDirection.Write ? operation.Tag : answer.Value.Tag;
        }

        End(ref operation, answer.Failure);
    }

    /// <returns>Whether what was accessed is still held.</returns>
    private async ValueTask<bool> KeepsAsync(Holding holding, Operation operation)
    {
        // Never freed while an access to it is unresolved.
        if (operation.Outcome is OperationOutcome.Unknown)
        {
            if (await ResolveAsync(operation, holding.Device, holding.Resource) is not { } reply)
                return true;

            operation.Err = reply.Err;
            operation.Tag = operation.Direction is AccessDirection.Write ? operation.Tag : reply.Tag;
        }

        // What a fence refused is gone already.
        if (operation.Err is Errno.ENODEV or Errno.ESTALE)
        {
            Forget(_holdings.IndexOf(holding));
            return false;
        }

        if (operation.Err is not Errno.OK)
        {
            _intendedNs = MonotonicNs.Now;
            await FreeAsync(_holdings.IndexOf(holding));
            return false;
        }

        if (operation.Direction is AccessDirection.Write)
            holding.Tag = operation.Tag;
        else if (!holding.IsPin && operation.Tag != holding.Tag)
            _context.Counters.TagMismatch();
        return true;
    }

    private async ValueTask FreeAsync(int place)
    {
        var holding = _holdings[place];
        if (holding.IsPin)
        {
            await UnpinAsync(place);
            return;
        }

        var operation = BeginFree(holding);
        Sending(operation);
        var answer = await _free.StartAsync(
            _context.Port.FreeAsync(holding.Device, ToFree(operation, holding)), _context.Options.Deadline);
        Freed(ref operation, holding, answer);
        if (_free.IsSpent)
            _free = new(_context.Watch);
        await FreedAsync(operation, holding, resource: -1);
    }

    private Operation BeginFree(Holding holding)
    {
        var operation = Begin(OperationKind.Free, holding.Device);
        operation.Alloc = new(_context.Fleet.DeviceIds[holding.Device], holding.Gen, holding.Number);
        operation.Address = holding.Address;
        operation.SizeBytes = holding.SizeBytes;
        return operation;
    }

    private FreeRequest ToFree(in Operation operation, Holding holding) => new(
        operation.Number, _sessionNumber, holding.Gen, holding.Number, holding.Address, holding.SizeBytes,
        _numbers.Client);

    private void Freed(ref Operation operation, Holding holding, in CallAnswer<FreeReply> answer)
    {
        if (answer.IsKnown)
        {
            operation.Err = answer.Value.Err;
            operation.Outcome = answer.Value.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = PositionAt(_context.Fleet.DeviceIds[holding.Device], answer.Value.At);
            operation.Owner = answer.Value.Owner < 0 ? 0 : _context.Fleet.RefIds[holding.Device][answer.Value.Owner];
        }

        End(ref operation, answer.Failure);
    }

    private void Forget(int place)
    {
        var holding = _holdings[place];
        _holdings[place] = _holdings[^1];
        _holdings.RemoveAt(_holdings.Count - 1);
        _context.Fleet.Released(holding.Device);
        _context.Counters.Holding(-1);
    }

    private Operation Begin(OperationKind kind, int device) => new()
    {
        Number = _numbers.Next(),
        Client = _numbers.Client,
        Session = _numbers.Session,
        Device = _context.Fleet.DeviceIds[device],
        Kind = kind,
        IntendedNs = _intendedNs,
        SentNs = MonotonicNs.Now,
    };

    private void Sending(in Operation operation) =>
        _context.Asked.Sending(_index / _context.Share.Of, Sent, operation);

    private void End(ref Operation operation, Exception? failure)
    {
        operation.DoneNs = MonotonicNs.Now;
        _context.Spool.Append(operation);
        _context.Counters.Count(operation);
        _context.Latency.Record(operation);
        if (failure is not null)
            _context.Counters.Failed(failure);
    }

    internal static Position PositionAt(int obj, At at) => at.Seq == 0 ? default : new(obj, at.Gen, at.Seq, at.Life);

    private sealed class Holding
    {
        public required int Device { get; init; }

        public required int Gen { get; init; }

        public required long Number { get; init; }

        public required short Resource { get; init; }

        public required ulong Address { get; init; }

        public required ulong SizeBytes { get; init; }

        public required int PageCount { get; init; }

        public required long UntilNs { get; init; }

        /// <summary>A pinned page rather than memory or a request of the client's own.</summary>
        public bool IsPin { get; init; }

        /// <summary>What its pages hold; 0 while nothing was written.</summary>
        public ulong Tag { get; set; }
    }
}
