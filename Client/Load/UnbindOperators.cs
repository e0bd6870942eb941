using System.Collections.Concurrent;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Storage.Spool;

namespace Fleet.Client.Load;

/// <summary>A bind or unbind that did not end while the run lasted.</summary>
/// <param name="WaitsFor">What it waited for and who holds it, as its device said last.</param>
public sealed record StuckTicket(string Device, OperationKind Kind, TimeSpan Since, string WaitsFor);

/// <summary>A bind or unbind that is under way.</summary>
/// <param name="WaitsFor">What it waits for and who holds it, as its device said last; empty until it said so.</param>
public sealed record OpenTicket(string Device, OperationKind Kind, long BeganNs, string WaitsFor);

/// <summary>Unbinds and rebinds devices beside the clients: each is a sequential client of its own while it
/// lasts.</summary>
/// <remarks>
/// A client that held memory at the device and waited for its unbind itself would wait for ever. Concurrency: any
/// thread may ask.
/// Limits: <see cref="OperatorsMax"/> at a time, stuck ones included; an unbind that is asked beyond is passed over, a
/// device that lost its binding waits for its turn.
/// </remarks>
public sealed class UnbindOperators(
    UnbindOptions options,
    IFleetPort port,
    LoadFleet fleet,
    LoadCounters counters,
    LatencyRecorder latency,
    SpoolWriter spool,
    WeightedSampler devices,
    SentFile asked,
    int firstSlot,
    Func<int, OperationNumbers> openOperator)
{
    public const int OperatorsMax = 256;

    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Longer than a silo's long poll: the answer may be lost, and who gives the next one is asked.</summary>
    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(2.5);

    /// <summary>Without any answer: it is lost.</summary>
    private static readonly TimeSpan PollDeadline = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _noMore = new();
    private readonly CancellationTokenSource _giveUp = new();
    private readonly ConcurrentBag<Operator> _idle = [];
    private readonly ConcurrentQueue<int> _waiting = new();
    private readonly ConcurrentDictionary<long, Task> _running = new();
    private readonly ConcurrentQueue<StuckTicket> _stuck = new();
    private readonly ConcurrentDictionary<int, OpenTicket> _open = new();
    private readonly ConcurrentBag<Task> _abandoned = [];
    private int _operators;

    /// <param name="Slot">Where it says what it sends.</param>
    private sealed record Operator(OperationNumbers Numbers, int Slot);
    private long _lastEndedNs;

    private enum End : byte
    {
        Done,

        /// <summary>Its incarnation is over: whatever it had begun ended with it.</summary>
        Cut,

        Never,
    }

    /// <summary>Tickets that are open, or wait to be rebound.</summary>
    public int Running => _running.Count;

    /// <summary>When a bind or unbind ended last; 0 for never.</summary>
    public long LastEndedNs => Interlocked.Read(ref _lastEndedNs);

    public IReadOnlyCollection<StuckTicket> Stuck => _stuck;

    /// <summary>What is under way, the longest first.</summary>
    public IEnumerable<OpenTicket> Open => _open.Values.OrderBy(ticket => ticket.BeganNs);

    /// <summary>Starts an unbind of one device, chosen as the scenario prefers.</summary>
    /// <param name="heldByAsker">A device on which the asking client holds memory; null if none.</param>
    public void Ask(RandomStream random, int? heldByAsker)
    {
        if (_noMore.IsCancellationRequested || Choose(random, heldByAsker) is not { } device || !fleet.TryClaim(device))
            return;

        Start(device);
    }

    /// <summary>Unbinds a device whose bind failed when the fleet was built, and tries again.</summary>
    public void TryAgain(int device)
    {
        if (fleet.TryClaim(device))
            Start(device);
    }

    /// <summary>Binds a device that lost its binding in a failover, or was pulled out.</summary>
    public void Revive(int device)
    {
        if (!_noMore.IsCancellationRequested && fleet.TryClaim(device))
            Start(device, isBound: false);
    }

    /// <summary>Nothing new from here on: what is open is awaited, what is unbound stays so.</summary>
    public void Drain() => _noMore.Cancel();

    /// <summary>Ends every wait; what is still open becomes an unknown outcome and a <see
    /// cref="StuckTicket"/>.</summary>
    /// <param name="lastAnswers">How long the polls that are out may take to come back.</param>
    public async Task GiveUpAsync(TimeSpan lastAnswers)
    {
        await _noMore.CancelAsync();
        await _giveUp.CancelAsync();
        await Task.WhenAll(_running.Values);
        await Task.WhenAny(Task.WhenAll(_abandoned), Task.Delay(lastAnswers));
        foreach (var one in _idle)
            one.Numbers.Dispose();
    }

    private int? Choose(RandomStream random, int? heldByAsker)
    {
        const int tries = 8;
        if (options.WithHolders is HolderPreference.Prefer && heldByAsker is { } held)
            return held;

        var chosen = devices.Next(random);
        for (var attempt = 0; attempt < tries && !Suits(chosen); attempt++)
            chosen = devices.Next(random);
        return options.WithHolders is HolderPreference.Avoid && !Suits(chosen) ? null : chosen;
    }

    private bool Suits(int device) => options.WithHolders switch
    {
        HolderPreference.Prefer => fleet.LiveAllocations(device) > 0,
        HolderPreference.Avoid => fleet.LiveAllocations(device) == 0,
        _ => true,
    };

    private void Start(int device, bool isBound = true)
    {
        if (!_idle.TryTake(out var one))
        {
            var index = Interlocked.Increment(ref _operators);
            if (index > OperatorsMax)
            {
                Interlocked.Decrement(ref _operators);
                if (isBound)
                {
                    fleet.Unclaim(device);
                    return;
                }

                // A silo that dies leaves more devices unbound than there are operators: nobody else asks for them.
                _waiting.Enqueue(device);
                StartWaiting();
                return;
            }

            one = new(openOperator(index), firstSlot + index - 1);
        }

        Begin(one, device, isBound);
    }

    /// <summary>Gives an idle operator a device that waits for one.</summary>
    private void StartWaiting()
    {
        while (!_noMore.IsCancellationRequested && !_waiting.IsEmpty && _idle.TryTake(out var one))
        {
            if (_waiting.TryDequeue(out var device))
            {
                Begin(one, device, isBound: false);
                return;
            }

            _idle.Add(one);
        }
    }

    private void Begin(Operator one, int device, bool isBound)
    {
        // Registered before it runs, so that whoever waits for all of them misses none.
        var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var task = RunAsync(begin.Task, device, one, isBound);
        _running[one.Numbers.Client] = task;
        begin.SetResult();
    }

    /// <summary>Unbinds, and binds again; a driver one of whose resources was refused is unbound and tried once
    /// more.</summary>
    private async Task RunAsync(Task begin, int device, Operator one, bool isBound)
    {
        await begin;
        var end = End.Done;
        do
        {
            if (isBound)
            {
                counters.UnbindStarted(fleet.LiveAllocations(device) > 0);
                (end, _) = await TicketAsync(OperationKind.Unbind, device, one);
                counters.UnbindEnded();
            }

            if (end is End.Never || _noMore.IsCancellationRequested || !await PauseAsync(options.RebindAfter))
                break;

            (end, var bound) = await TicketAsync(OperationKind.Bind, device, one);
            if (end is End.Done && bound is not Errno.OK)
                counters.BindErrors.AddOrUpdate(bound, 1, (_, count) => count + 1);

            // Of an incarnation that is over nothing is bound: it is tried again.
            isBound = end is End.Done && bound is not (Errno.OK or Errno.EBUSY);
        }
        while ((end is End.Cut || isBound) && !_noMore.IsCancellationRequested
            && await PauseAsync(options.RebindAfter));

        // A device whose ticket never ended stays claimed: whatever is asked of it next would only wait behind.
        if (end is not End.Never)
            fleet.Unclaim(device);
        _running.TryRemove(one.Numbers.Client, out _);
        _idle.Add(one);
        StartWaiting();
    }

    private async Task<(End End, Errno Err)> TicketAsync(OperationKind kind, int device, Operator one)
    {
        var began = MonotonicNs.Now;
        var operation = new Operation
        {
            Number = one.Numbers.Next(),
            Client = one.Numbers.Client,
            Session = one.Numbers.Session,
            Device = fleet.DeviceIds[device],
            Kind = kind,
            IntendedNs = began,
            SentNs = began,
        };
        asked.Sending(one.Slot, 0, operation);
        _open[device] = new(fleet.Devices[device].Key, kind, began, "");
        var reply = await FollowAsync(kind, device, operation.Number);
        _open.TryRemove(device, out _);
        var end = reply is not { IsDone: true } ? End.Never : reply.Value.Err is Errno.ENOENT ? End.Cut : End.Done;
        if (reply is { } done && end is End.Done)
        {
            operation.Err = done.Err;
            operation.Outcome = done.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            operation.At = LoadClient.PositionAt(fleet.DeviceIds[device], done.At);
            Interlocked.Exchange(ref _lastEndedNs, MonotonicNs.Now);
        }
        else if (end is End.Never)
        {
            _stuck.Enqueue(new(
                fleet.Devices[device].Key,
                kind,
                TimeSpan.FromMicroseconds((MonotonicNs.Now - began) / 1000),
                reply?.WaitsFor ?? "no answer"));
        }

        operation.DoneNs = MonotonicNs.Now;
        spool.Append(operation);
        counters.Count(operation);
        latency.Record(operation);
        return (end, operation.Err);
    }

    /// <returns>The last that the device said; null when it never answered.</returns>
    private async Task<TicketReply?> FollowAsync(OperationKind kind, int device, long number)
    {
        TicketReply? last = null;
        Task<TicketReply>? pending = null;
        var answered = TimeProvider.System.GetTimestamp();
        while (!_giveUp.IsCancellationRequested)
        {
            try
            {
                var call = last is { } open ? port.AwaitTicketAsync(device, open.Ticket)
                    : kind is OperationKind.Unbind ? port.UnbindAsync(device, number)
                    : port.BindAsync(device, number);
                pending = call.AsTask();
                last = await pending.WaitAsync(CallPatience, _giveUp.Token);
                answered = TimeProvider.System.GetTimestamp();
                if (last.Value.IsDone)
                    return last;

                if (_open.TryGetValue(device, out var shown))
                    _open[device] = shown with { WaitsFor = last.Value.WaitsFor ?? "" };
            }
            catch (OperationCanceledException) when (_giveUp.IsCancellationRequested)
            {
                if (pending is not null)
                    _abandoned.Add(pending);
                return last;
            }
            catch (TimeoutException) when (pending is { IsCompleted: false }
                && TimeProvider.System.GetElapsedTime(answered) < PollDeadline)
            {
                // Whoever had the question may be gone; asked again under its number it is the same one.
                _abandoned.Add(pending);
            }
            catch (Exception e) when (LostCall.Is(e, _giveUp.Token))
            {
                counters.Failed(e);
                answered = TimeProvider.System.GetTimestamp();

                // A begin that went unanswered may have begun: under its number it is the same one.
                if (!await PauseAsync(RetryPause))
                    return last;
            }
        }

        return last;
    }

    private async Task<bool> PauseAsync(TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, _giveUp.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
