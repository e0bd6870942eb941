using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
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
    private readonly CallLedger<FrontReply> _clients = new();

    public MapActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo)
    {
        var links = new AgentLinks(cluster, this);
        Agent = new(silo.Context, grain.Key, (_, key) => links.Resource(key));
    }

    public MapAgent Agent { get; }

    protected override ObjectLog Log => Agent.Log;

    public void Receive(HotCall call)
    {
        if (Log.IsOpen && !Log.Serves)
        {
            ReceiveServing(call);
            return;
        }

        if (Agent.Life == 0)
        {
            TellDevice(call.Operation);
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

    public async ValueTask<At> Store(MapLife life, At cause)
    {
        await Agent.Log.OpenAsync();
        return await Committed(Agent.Store(life, cause));
    }

    public ValueTask<At> Bar(int session, string name) =>
        Agent.Log.IsOpen ? Committed(Agent.Bar(session, name)) : default;

    public async ValueTask<long> Reap(int session)
    {
        var reaped = Agent.Log.IsOpen ? await Agent.Reap(session) : 0;
        await Agent.Log.CommitAsync();
        return reaped;
    }

    private bool MayLeave => Agent.Log.IsSettled || Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable;

    private static ValueTask<FrontReply> Execute(MapActivation at, HotCall call, int element)
    {
        ref readonly var operation = ref call.At(element);
        switch (operation.Kind)
        {
            case OperationKind.Alloc:
                return new(FrontReply.Of(at.Agent.Get(new(operation.Number, call.Session, call.Page, call.Caller))));
            case OperationKind.Free:
                return Unpinned(at.Agent.Put(new(
                    operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, call.Caller)));
            default:
                return new(FrontReply.Of(at.Agent.Access(call.ToAccess(element))));
        }

        static async ValueTask<FrontReply> Unpinned(ValueTask<UnpinReply> pending) => FrontReply.Of(await pending);
    }

    /// <summary>Somebody holds, or wants, what this incarnation never had: the device has to find out that the life
    /// was lost.</summary>
    private void TellDevice(in Operation operation)
    {
        if (operation.Alloc.Gen > 0 || !Agent.Log.IsOpen)
        {
            Cluster.Send(Silo, Cluster.DeviceGrain(Grain.Device), new PartIsLost(operation.Alloc.Gen));
        }
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

    private sealed class PartIsLost(int gen) : Letter
    {
        public override void Arrive(Activation at) => ((DeviceActivation)at).CheckParts(gen);
    }
}
