using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>A device in the memory of one process: decodes, lets the agent decide, encodes.</summary>
/// <remarks>Reentrant as the live one: what an await continues is a turn of its own.</remarks>
internal sealed class DeviceActivation : Activation, ICaller
{
    private readonly CallLedger<FrontReply> _clients = new();
    private readonly CallLedger<TicketReply> _operators = new();

    public DeviceActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo) =>
        (CallerNumber, Agent) = (
            ++cluster.LastActivation, new(silo.Context, grain.Key, new AgentLinks(cluster, this)));



    public int CallerNumber { get; }

    public DeviceAgent Agent { get; }

    public void Receive(HotCall call)
    {
        if (Agent.Log.Gen < call.KnownGen)
        {
            Stop();
            return;
        }

        if (call.Operation.Kind is OperationKind.Alloc && call.KnownGen != 0 && call.KnownGen != Agent.Log.Gen)
        {
            // Addressed to the incarnation before, which may have executed it: this one must not do so again.
            call.Return(this, new(Errno.ENODEV, new(Agent.Log.Gen, 0, 0), 0, 0, -1, -1, 0));
            return;
        }

        if (!call.MayExecute(_clients, this, out var known))
        {
            return;
        }

        if (call.IsQuestion)
        {
            call.Return(this, known);
            return;
        }

        var operation = call.Operation;
        if (operation.Kind is OperationKind.Alloc)
        {
            var pending = Agent.Alloc(new(operation.Number, call.Session, operation.SizeBytes));
            if (pending.IsCompletedSuccessfully && MayLeave)
            {
                Answer(call, FrontReply.Of(pending.Result));
            }
            else
            {
                AllocSlow(call, pending);
            }
        }
        else
        {
            var pending = Agent.Free(new(
                operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, operation.Address,
                operation.SizeBytes));
            if (pending.IsCompletedSuccessfully && MayLeave)
            {
                Answer(call, FrontReply.Of(pending.Result));
            }
            else
            {
                FreeSlow(call, pending);
            }
        }
    }

    /// <summary>Begins a bind or unbind, once for each operation number, and waits for a while.</summary>
    public async ValueTask<TicketReply> Begin(TicketKind kind, int caller, long op)
    {
        if (Cluster.Plan.Bug is PlantedBug.ExecuteTwice
            || _operators.Begin(caller, op, op, out var known) is CallStand.New)
        {
            var ticket = kind is TicketKind.Bind ? Agent.Bind(op) : Agent.Unbind(op);
            known = new(ticket.Number, false, Errno.OK, default, null);
            _operators.Answer(caller, op, known);
        }

        return known.Ticket == 0
            ? new(0, true, Errno.ENOENT, default, null)
            : await AwaitTicket(known.Ticket, RandomChoice.Nanoseconds(Cluster.Plan.Run.Patience));
    }

    /// <returns>Done with <see cref="Errno.ENOENT"/> for a ticket of another incarnation.</returns>
    public async ValueTask<TicketReply> AwaitTicket(long number, long patienceNs)
    {
        if (Agent.FindTicket(number) is not { } ticket)
        {
            return new(number, true, Errno.ENOENT, default, null);
        }

        await WaitAsync(ticket.Done, Math.Min(patienceNs, ClusterSimulation.LongPollNs));
        return Agent.Reply(ticket);
    }

    /// <summary>A part of the life that this incarnation began is gone, and with it the whole.</summary>
    public void LosePart(int gen)
    {
        if (Agent.Log.Gen == gen && Agent.Report().IsBound)
        {
            Cluster.Counts.Fenced++;
            Cluster.Fence(Grain);
        }
    }

    protected override async ValueTask StartAsync()
    {
        var name = "dev:" + Grain.Key;
        var (state, gen) = await Cluster.Database.Ask(
            () => (Cluster.Database.StateOf(Cluster.Objects.Intern(name)), Cluster.Database.GenOf(name)));
        var plan = Cluster.Devices[Grain.Device];
        if (gen == 0)
        {
            await Agent.Configure(Cluster.Plan.Run, plan);
            return;
        }

        Cluster.Counts.Failovers++;
        await Agent.Recover(Cluster.Plan.Run, plan, state);
        foreach (var part in Cluster.Below(Grain.Device))
        {
            await FenceAsync(part, Agent.Log.Life);
        }

        if (state.IsBound)
        {
            Cluster.OnFenced?.Invoke(Grain.Device);
        }
    }

    private bool MayLeave => Agent.Log.IsSettled || Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable;

    private async ValueTask FenceAsync(Grain part, int life)
    {
        if (part.Current is null && Cluster.Database.GenOf(PartName(part)) == 0)
        {
            return;
        }

        var done = new TaskCompletionSource();
        var (gen, cause) = (Agent.Log.Gen, Agent.Log.Last);
        Send();
        await done.Task;

        void Send()
        {
            Cluster.Send(Silo, part, new FenceLetter(this, done, gen, life, cause));
            After(RandomChoice.Nanoseconds(Cluster.Plan.Network.RetryAfter), () =>
            {
                if (!done.Task.IsCompleted)
                {
                    Send();
                }
            });
        }
    }

    private static string PartName(Grain part) => (part.Kind is GrainKind.Map ? "map:" : "ref:") + part.Key;

    private async void AllocSlow(HotCall call, ValueTask<AllocReply> pending)
    {
        var reply = await pending;
        await Settle();
        Answer(call, FrontReply.Of(reply));
    }

    private async void FreeSlow(HotCall call, ValueTask<FreeReply> pending)
    {
        var reply = await pending;
        await Settle();
        Answer(call, FrontReply.Of(reply));
    }

    private ValueTask Settle() =>
        Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable ? ValueTask.CompletedTask : Agent.Log.CommitAsync();

    private void Answer(HotCall call, in FrontReply reply)
    {
        _clients.Answer(call.Caller, call.Operation.Number, reply);
        call.Return(this, reply);
    }

    private sealed class FenceLetter(
        DeviceActivation device, TaskCompletionSource done, int gen, int life, At cause) : Letter
    {
        public override void Arrive(Activation at) => Execute((PartActivation)at);

        private async void Execute(PartActivation part)
        {
            await part.Fence(gen, life, cause);
            device.Cluster.Carry(ReferenceEquals(part.Silo, device.Silo), new Done(device, done), static one => one);
        }
    }

    private sealed class Done(DeviceActivation device, TaskCompletionSource done) : Occurrence
    {
        public override void Happen() => device.After(0, () => done.TrySetResult());
    }
}
