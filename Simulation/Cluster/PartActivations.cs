using Fleet.Protocol.Calls;
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

    public int Gen => Log.Gen;

    protected abstract ObjectLog Log { get; }

    protected abstract int Life { get; }

    /// <summary>A life that others know, and this incarnation does not.</summary>
    public bool HasLost(int life) => Life < life;

    public async ValueTask<At> Committed(At at)
    {
        await Log.CommitAsync();
        return at;
    }

    /// <summary>Nothing is loaded: a part begins with the life that its device gives it.</summary>
    protected override ValueTask StartAsync() => ValueTask.CompletedTask;
}

internal sealed class ResourceActivation : PartActivation
{
    public ResourceActivation(VirtualCluster cluster, Grain grain, Silo silo)
        : base(cluster, grain, silo) => Agent = new(silo.Context, grain.Key);

    public ResourceAgent Agent { get; }

    protected override ObjectLog Log => Agent.Log;

    protected override int Life => Agent.Life;

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
        : base(cluster, grain, silo) =>
        Agent = new(silo.Context, grain.Key, new AgentLinks(cluster, this).Resource);

    public MapAgent Agent { get; }

    protected override ObjectLog Log => Agent.Log;

    protected override int Life => Agent.Life;

    public void Receive(HotCall call)
    {
        if (Agent.DeviceGen != 0 && Agent.DeviceGen < call.KnownGen)
        {
            Stop();
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
        if (Agent.Life == 0)
        {
            // A handle to memory that this incarnation never had: somebody has to tell the device.
            Cluster.Send(Silo, Cluster.DeviceGrain(Grain.Device), new PartIsLost(operation.Alloc.Gen));
        }

        var reply = FrontReply.Of(Agent.Access(new(
            operation.Number, call.Session, operation.Alloc.Gen, operation.Alloc.Number, operation.Pfn,
            operation.PageCount, operation.Direction, operation.Via, operation.Tag)));
        if (Agent.Log.IsSettled || Cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable)
        {
            Answer(call, reply);
        }
        else
        {
            ReturnSettled(call, reply);
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

    private async void ReturnSettled(HotCall call, FrontReply reply)
    {
        await Agent.Log.CommitAsync();
        Answer(call, reply);
    }

    private void Answer(HotCall call, in FrontReply reply)
    {
        _clients.Answer(call.Caller, call.Operation.Number, reply);
        call.Return(this, reply);
    }

    private sealed class PartIsLost(int gen) : Letter
    {
        public override void Arrive(Activation at) => ((DeviceActivation)at).LosePart(gen);
    }
}
