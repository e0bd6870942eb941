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
    private readonly CallLedger<TicketReply> _operators = new();

    public DeviceActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo)
    {
        CallerNumber = ++cluster.LastActivation;
        Agent = new(silo.Context, grain.Key, new AgentLinks(cluster, this));
        Clients = new(cluster, this, Agent.Log, Execute);
    }

    public int CallerNumber { get; }

    public DeviceAgent Agent { get; }

    public ClientCalls Clients { get; }

    protected override ObjectLog Log => Agent.Log;

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

    internal void LosePart()
    {
        Cluster.Counts.Fenced++;
        Cluster.Fence(Grain);
    }

    private ValueTask<FrontReply> Execute(HotCall call, int element)
    {
        ref readonly var operation = ref call.At(element);
        switch (operation.Kind)
        {
            case OperationKind.Alloc:
                var alloc = Agent.Alloc(new(
                    operation.Number, call.Session, operation.SizeBytes, call.Caller, call.KnownGen));
                return alloc.IsCompletedSuccessfully ? new(FrontReply.Of(alloc.Result)) : Allocated(alloc);
            case OperationKind.Free:
                var free = Agent.Free(new(
                    operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, operation.Address,
                    operation.SizeBytes));
                return free.IsCompletedSuccessfully ? new(FrontReply.Of(free.Result)) : Freed(free);
            default:
                return Accessed(Agent.Access(call.ToAccess(element)));
        }

        static async ValueTask<FrontReply> Allocated(ValueTask<AllocReply> pending) => FrontReply.Of(await pending);

        static async ValueTask<FrontReply> Freed(ValueTask<FreeReply> pending) => FrontReply.Of(await pending);

        static async ValueTask<FrontReply> Accessed(ValueTask<AccessReply> pending) => FrontReply.Of(await pending);
    }
}
