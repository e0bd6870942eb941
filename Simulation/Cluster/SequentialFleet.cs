using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>One caller's operations on a virtual cluster, one after another, each until everything it caused is
/// still.</summary>
/// <remarks>For comparing the cluster with engines that know neither messages nor silos.</remarks>
public sealed class SequentialFleet
{
    /// <summary>Longer than any message, commit and turn that an operation causes when nothing strikes.</summary>
    private const long StillNs = 100_000_000;

    private readonly VirtualCluster _cluster;
    private readonly TurnContext _caller;
    private readonly TaskCompletionSource _never = new();
    private long _op;

    public SequentialFleet(RunPlan run, HostPlan host)
    {
        var plan = new SimulationPlan(
            run, [host],
            new(0, null, 1, 0, 0, 0, [(4096, 1)], new(HoldKind.Constant, default, default), [1], default),
            new(default, HolderChoice.Any, default), [], [], []);
        _cluster = new(plan, new(new ObjectTable(), isDigestOnly: true), null);
        _caller = new(_cluster);
    }

    public AllocReply Alloc(int device, ulong sizeBytes, int session) =>
        Call(device, at => at.Agent.Alloc(new(++_op, session, sizeBytes)));

    public FreeReply Free(int device, in FreeRequest request)
    {
        var copy = request;
        return Call(device, at => at.Agent.Free(copy));
    }

    public AccessReply Access(int device, int resource, in AccessRequest request)
    {
        _cluster.AdoptThread();
        var copy = request;
        var answer = new TaskCompletionSource<AccessReply>();
        _cluster.Send(null, _cluster.MapGrain(device, resource), new AccessLetter(copy, answer));
        return Await(answer.Task);
    }

    public TicketReply Begin(TicketKind kind, int device) =>
        Call(device, at => at.Begin(kind, 1, ++_op));

    /// <summary>How a ticket stands once everything is still.</summary>
    public TicketReply Look(int device, long ticket) => Call(device, at => at.AwaitTicket(ticket, 0));

    private T Call<T>(int device, Func<DeviceActivation, ValueTask<T>> ask)
        where T : struct
    {
        _cluster.AdoptThread();
        var reply = default(Task<T?>)!;
        _caller.Run(
            self => reply = Ask<T>.SendAsync(
                self._cluster, self._caller, self._cluster.DeviceGrain(device), self._never.Task, ask),
            this);
        return Await(reply)!.Value;
    }

    private T Await<T>(Task<T> answer)
    {
        while (!answer.IsCompleted && _cluster.Time.Step())
        {
        }

        _cluster.Time.RunUntil(_cluster.NowNs + StillNs);
        return answer.GetAwaiter().GetResult();
    }

    private sealed class AccessLetter(AccessRequest request, TaskCompletionSource<AccessReply> answer) : Letter
    {
        public override void Arrive(Activation at) => answer.TrySetResult(((MapActivation)at).Agent.Access(request));
    }
}
