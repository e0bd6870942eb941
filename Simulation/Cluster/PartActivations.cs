using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>A page map or a resource in the memory of one process: decodes, lets the agent decide, commits.</summary>
internal abstract class PartActivation(VirtualCluster cluster, Grain grain, Silo silo)
    : Activation(cluster, grain, silo), ICaller
{
    public int CallerNumber { get; } = ++cluster.LastActivation;

    /// <summary>What was executed for each caller.</summary>
    public CallLedger<object> Calls { get; } = new();

    /// <summary>A later incarnation is known here.</summary>
    public bool IsReplaced => Log is { IsOver: true };

    public async ValueTask<At> Committed(At at)
    {
        await Log!.CommitAsync();
        return at;
    }

    /// <summary>Nothing is loaded: a part begins with the life that its device gives it.</summary>
    protected override ValueTask StartAsync() => ValueTask.CompletedTask;
}

/// <summary>One machine's map of page maps in the memory of one process; it goes with that.</summary>
internal sealed class PgmapArrayActivation(VirtualCluster cluster, Grain grain, Silo silo)
    : PartActivation(cluster, grain, silo)
{
    public PgmapArrayAgent Agent { get; } = new();

    protected override ObjectLog? Log => null;
}

internal sealed class ResourceActivation : PartActivation
{
    public ResourceActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo) => Agent = new(silo.Context, grain.Key);

    public ResourceAgent Agent { get; }

    protected override ObjectLog Log => Agent.Log;

    public async ValueTask<At> Init(int life, At cause)
    {
        await Agent.Log.OpenAsync();
        return await Committed(Agent.Init(life, cause));
    }

    public async ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause)
    {
        if (step is WaitStep.Poll)
        {
            await WaitAsync(Agent.Reaped, ClusterSimulation.LongPollNs);
        }

        var reply = Agent.WaitZero(life, step, cause);
        await Agent.Log.CommitAsync();
        return reply;
    }
}

internal sealed class MapActivation : PartActivation
{
    public MapActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo)
    {
        var links = new AgentLinks(cluster, this);
        Agent = new(silo.Context, grain.Key, (_, key) => links.Resource(key));
        Clients = new(cluster, this, Agent.Log, Execute)
        {
            Heard = TellDevice,
        };
    }

    public MapAgent Agent { get; }

    public ClientCalls Clients { get; }

    protected override ObjectLog Log => Agent.Log;

    public async ValueTask<At> Store(MapLife life, At cause)
    {
        await Agent.Log.OpenAsync();
        return await Committed(Agent.Store(life, cause));
    }

    public async ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause)
    {
        await Agent.Log.OpenAsync();
        return await Committed(await Agent.SetUp(life, slot, cause));
    }

    public ValueTask<At> Bar(int session, string name) =>
        Agent.Log.IsOpen ? Committed(Agent.Bar(session, name)) : default;

    public async ValueTask<long> Reap(int session)
    {
        var reaped = Agent.Log.IsOpen ? await Agent.Reap(session) : 0;
        await Agent.Log.CommitAsync();
        return reaped;
    }

    private ValueTask<FrontReply> Execute(HotCall call, int element)
    {
        ref readonly var operation = ref call.At(element);
        switch (operation.Kind)
        {
            case OperationKind.Alloc:
                return new(FrontReply.Of(Agent.Get(new(
                    operation.Number, call.Session, call.Page, call.Caller, call.KnownMapGen))));
            case OperationKind.Free:
                return Unpinned(Agent.Put(new(
                    operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, call.Caller)));
            default:
                return new(FrontReply.Of(Agent.Access(call.ToAccess(element))));
        }

        static async ValueTask<FrontReply> Unpinned(ValueTask<UnpinReply> pending) => FrontReply.Of(await pending);
    }

    /// <summary>Somebody holds, or wants, what this incarnation never had: the device has to find out that the life
    /// was lost.</summary>
    private void TellDevice(HotCall call)
    {
        var gen = call.Operation.Alloc.Gen;
        if (Agent.Life == 0 && (gen > 0 || !Agent.Log.IsOpen))
        {
            Cluster.Send(Silo, Cluster.DeviceGrain(Grain.Device), new PartIsLost(gen));
        }
    }

    private sealed class PartIsLost(int gen) : Letter
    {
        public override void Arrive(Activation at) => ((DeviceActivation)at).CheckParts(gen);
    }
}
