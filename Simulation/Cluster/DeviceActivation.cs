using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Streams;
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
            ++cluster.LastActivation,
            new(silo.Context, grain.Key, new AgentLinks(cluster, this))
            {
                PartLost = _ => LosePart(),
            });

    public int CallerNumber { get; }

    public DeviceAgent Agent { get; }

    protected override ObjectLog Log => Agent.Log;

    public void Receive(HotCall call)
    {
        if (!Log.Serves)
        {
            ReceiveServing(call);
            return;
        }

        if (call.More is not null)
        {
            ReceiveMany(call);
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

        var pending = Execute(this, call, 0);
        if (pending.IsCompletedSuccessfully && MayLeave)
        {
            Answer(call, pending.Result);
        }
        else
        {
            AnswerSlow(call, pending);
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

    /// <summary>Somebody met a part without memory: looks whether each still has the life that was begun
    /// there.</summary>
    /// <param name="gen">Incarnation that gave what was asked for; 0 where nothing was named.</param>
    public void CheckParts(int gen)
    {
        if ((gen == 0 || Agent.Log.Gen == gen) && Agent.Report().IsBound)
        {
            _ = Agent.CheckParts();
        }
    }

    /// <summary>A life that an earlier activation left is fenced; who calls waits until it is.</summary>
    protected override async ValueTask StartAsync()
    {
        await Agent.Configure(Cluster.Plan.Run, Cluster.Devices[Grain.Device]);
        if (Agent.Log.Gen > 1 || Agent.Log.Before.Life > 0)
        {
            Cluster.Counts.Failovers++;
        }

        if (Agent.HasFenced)
        {
            Cluster.OnFenced?.Invoke(Grain.Device);
        }
    }

    private void LosePart()
    {
        Cluster.Counts.Fenced++;
        Cluster.Fence(Grain);
    }

    private bool MayLeave => Agent.Log.IsSettled || Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable;

    private static ValueTask<FrontReply> Execute(DeviceActivation at, HotCall call, int element)
    {
        ref readonly var operation = ref call.At(element);
        switch (operation.Kind)
        {
            case OperationKind.Alloc:
                var alloc = at.Agent.Alloc(new(
                    operation.Number, call.Session, operation.SizeBytes, call.Caller, call.KnownGen));
                return alloc.IsCompletedSuccessfully ? new(FrontReply.Of(alloc.Result)) : Allocated(alloc);
            case OperationKind.Free:
                var free = at.Agent.Free(new(
                    operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, operation.Address,
                    operation.SizeBytes));
                return free.IsCompletedSuccessfully ? new(FrontReply.Of(free.Result)) : Freed(free);
            default:
                return Accessed(at.Agent.Access(call.ToAccess(element)));
        }

        static async ValueTask<FrontReply> Allocated(ValueTask<AllocReply> pending) => FrontReply.Of(await pending);

        static async ValueTask<FrontReply> Freed(ValueTask<FreeReply> pending) => FrontReply.Of(await pending);

        static async ValueTask<FrontReply> Accessed(ValueTask<AccessReply> pending) => FrontReply.Of(await pending);
    }

    private async void ReceiveServing(HotCall call)
    {
        if (await MayServe())
        {
            Receive(call);
        }
        else if (!call.IsQuestion)
        {
            call.ReturnGone(this);
        }
    }

    private async void ReceiveMany(HotCall call)
    {
        if (await call.ExecuteMany(_clients, this, Execute))
        {
            await Settle();
            call.Return(this);
        }
    }

    private async void AnswerSlow(HotCall call, ValueTask<FrontReply> pending)
    {
        var reply = await pending;
        await Settle();
        Answer(call, reply);
    }

    private ValueTask Settle() =>
        Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable ? ValueTask.CompletedTask : Agent.Log.CommitAsync();

    private void Answer(HotCall call, in FrontReply reply)
    {
        _clients.Answer(call.Caller, call.Operation.Number, reply);
        call.Return(this, reply);
    }
}
