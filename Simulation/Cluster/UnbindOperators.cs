using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>A bind or unbind that did not end while the run lasted.</summary>
/// <param name="WaitsFor">What it waited for and who holds it, as its device said last.</param>
public sealed record StuckSimulation(string Device, string Kind, double SinceSeconds, string WaitsFor);

/// <summary>Unbinds and rebinds devices beside the clients, and binds again what a failover left unbound.</summary>
/// <remarks>Each is a sequential client of its own while it lasts. A begin is repeated under its number.</remarks>
internal sealed class UnbindOperators(VirtualLoad load)
{
    private const int OperatorsMax = 256;
    private const int TriesMax = 8;

    private readonly VirtualCluster _cluster = load.Cluster;
    private readonly TurnContext _process = new(load.Cluster);
    private readonly bool[] _isBusy = new bool[load.Cluster.Devices.Count];
    private readonly Stack<int> _idle = [];
    private readonly Queue<int> _waiting = [];
    private readonly List<StuckSimulation> _stuck = [];
    private readonly TaskCompletionSource _givenUp = new();
    private int _operators;
    private bool _isDraining;

    private enum End : byte
    {
        Done,

        /// <summary>Its incarnation is over: whatever it had begun ended with it.</summary>
        Cut,

        Never,
    }

    public int Running { get; private set; }

    public long LastEndedNs { get; private set; }

    public IReadOnlyList<StuckSimulation> Stuck => _stuck;

    public void Ask(RandomChoice random, int? heldByAsker)
    {
        if (!_isDraining && Choose(random, heldByAsker) is { } device)
        {
            Start(device, fromUnbind: true);
        }
    }

    /// <summary>A device lost its binding in a failover, or could not be bound when the fleet was built.</summary>
    public void Revive(int device)
    {
        if (!_isDraining && !Start(device, fromUnbind: false))
        {
            _waiting.Enqueue(device);
        }
    }

    public void Drain() => _isDraining = true;

    /// <summary>Ends every wait; what is still open becomes an unknown outcome.</summary>
    public void GiveUp() => _givenUp.TrySetResult();

    private int? Choose(RandomChoice random, int? heldByAsker)
    {
        var holders = _cluster.Plan.Unbind.WithHolders;
        if (holders is HolderChoice.Prefer && heldByAsker is { } held)
        {
            return held;
        }

        var chosen = load.DeviceChoice.Next(random);
        for (var attempt = 0; attempt < TriesMax && !Suits(chosen, holders); attempt++)
        {
            chosen = load.DeviceChoice.Next(random);
        }

        return holders is HolderChoice.Avoid && !Suits(chosen, holders) ? null : chosen;
    }

    private bool Suits(int device, HolderChoice holders) => holders switch
    {
        HolderChoice.Prefer => load.Live[device] > 0,
        HolderChoice.Avoid => load.Live[device] == 0,
        _ => true,
    };

    /// <returns>False where every operator is at work.</returns>
    private bool Start(int device, bool fromUnbind)
    {
        if (_isBusy[device])
        {
            return true;
        }

        if (!_idle.TryPop(out var number))
        {
            if (_operators == OperatorsMax)
            {
                return false;
            }

            number = _cluster.Objects.Intern($"client:gen-1-operator-{++_operators}");
        }

        _isBusy[device] = true;
        Running++;
        _process.Run(
            static one => one.self.RunTurn(one.device, one.number, one.fromUnbind),
            (self: this, device, number, fromUnbind));
        return true;
    }

    private async void RunTurn(int device, int number, bool fromUnbind)
    {
        if (await RunAsync(device, number, fromUnbind))
        {
            _isBusy[device] = false;
        }

        // A device whose ticket never ended stays claimed: whatever is asked of it next would only wait behind.
        Running--;
        _idle.Push(number);
        while (!_isDraining && _idle.Count > 0 && _waiting.TryDequeue(out var next))
        {
            Start(next, fromUnbind: false);
        }
    }

    private async Task<bool> RunAsync(int device, int number, bool fromUnbind)
    {
        if (fromUnbind && !await UnbindAsync(device, number))
        {
            return false;
        }

        while (!_isDraining)
        {
            await _process.WaitAsync(
                _givenUp.Task, RandomChoice.Nanoseconds(_cluster.Plan.Unbind.RebindAfter));
            if (_isDraining)
            {
                break;
            }

            var (end, err) = await TicketAsync(TicketKind.Bind, device, number);
            if (end is End.Never)
            {
                return false;
            }

            if (end is End.Done && err is Errno.OK or Errno.EBUSY)
            {
                break;
            }

            // One of its resources was refused: the driver is unbound and tried once more.
            if (end is End.Done && !_isDraining && !await UnbindAsync(device, number))
            {
                return false;
            }
        }

        return true;
    }

    private async Task<bool> UnbindAsync(int device, int number)
    {
        load.Counts.UnbindsWithHolders += load.Live[device] > 0 ? 1 : 0;
        return (await TicketAsync(TicketKind.Unbind, device, number)).End is not End.Never;
    }

    private async Task<(End End, Errno Err)> TicketAsync(TicketKind kind, int device, int number)
    {
        var operation = new Operation
        {
            Number = load.NextNumber(),
            Client = number,
            Session = load.Session,
            Device = load.DeviceIds[device],
            Kind = kind is TicketKind.Bind ? OperationKind.Bind : OperationKind.Unbind,
            IntendedNs = _cluster.NowNs,
            SentNs = _cluster.NowNs,
        };
        var last = await FollowAsync(kind, device, number, operation.Number);
        var end = last is not { IsDone: true } done ? End.Never : done.Err is Errno.ENOENT ? End.Cut : End.Done;
        if (end is End.Done)
        {
            operation.Err = last!.Value.Err;
            operation.Outcome = operation.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            var at = last.Value.At;
            operation.At = at.Seq == 0 ? default : new(load.DeviceIds[device], at.Gen, at.Seq, at.Life);
            LastEndedNs = _cluster.NowNs;
        }
        else if (end is End.Never)
        {
            _stuck.Add(new(
                _cluster.Devices[device].Key, kind is TicketKind.Bind ? "bind" : "unbind",
                (_cluster.NowNs - operation.SentNs) / 1e9, last?.WaitsFor ?? "no answer"));
        }

        operation.DoneNs = _cluster.NowNs;
        load.Record(operation);
        return (end, operation.Err);
    }

    /// <returns>The last that the device said; null when it never answered.</returns>
    private async Task<TicketReply?> FollowAsync(TicketKind kind, int device, int caller, long op)
    {
        TicketReply? last = null;
        var grain = _cluster.DeviceGrain(device);
        while (!_givenUp.Task.IsCompleted)
        {
            var ticket = last?.Ticket;
            var reply = await Ask<TicketReply>.SendAsync(
                _cluster, _process, grain, _givenUp.Task,
                at => ticket is { } open
                    ? at.AwaitTicket(open, ClusterSimulation.LongPollNs)
                    : at.Begin(kind, caller, op));
            last = reply ?? last;
            if (last is { IsDone: true })
            {
                return last;
            }
        }

        return last;
    }
}

/// <summary>A call to a device from the clients' process, with a deadline and an answer of any kind.</summary>
internal sealed class Ask<T>(TurnContext asker, VirtualCluster cluster, Func<DeviceActivation, ValueTask<T>> ask)
    : Letter
    where T : struct
{
    /// <summary>Longer than any long poll.</summary>
    private const long DeadlineNs = 5_000_000_000;

    private readonly TaskCompletionSource<T> _answer = new();

    /// <returns>Null when no answer came in time.</returns>
    public static async Task<T?> SendAsync(
        VirtualCluster cluster, TurnContext asker, Grain grain, Task givenUp,
        Func<DeviceActivation, ValueTask<T>> ask)
    {
        var letter = new Ask<T>(asker, cluster, ask);
        cluster.Send(null, grain, letter);
        var over = new TaskCompletionSource();
        Follow(letter._answer.Task, over);
        Follow(givenUp, over);
        await asker.WaitAsync(over.Task, DeadlineNs);
        return letter._answer.Task is { IsCompleted: true } answered ? await answered : null;
    }

    public override void Arrive(Activation at) => Execute((DeviceActivation)at);

    private static async void Follow(Task work, TaskCompletionSource over)
    {
        await work;
        over.TrySetResult();
    }

    private async void Execute(DeviceActivation at)
    {
        if (!await at.MayServe())
        {
            return;
        }

        var result = await ask(at);
        cluster.Carry(at.Silo, null, new Reply(asker, _answer, result), static one => one);
    }

    private sealed class Reply(TurnContext asker, TaskCompletionSource<T> answer, T result) : Occurrence
    {
        public override void Happen() => asker.After(0, () => answer.TrySetResult(result));
    }
}
