using Fleet.Protocol.Calls;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>The clients' calls to one activation: each is executed once, and its answer leaves when what it rests on
/// is durable.</summary>
/// <param name="execute">Lets the agent decide on one element of a call.</param>
internal sealed class ClientCalls(
    VirtualCluster cluster, Activation at, ObjectLog log, Func<HotCall, int, ValueTask<FrontReply>> execute)
{
    private readonly CallLedger<FrontReply> _executed = new();

    /// <summary>Told of each call that reaches an activation which serves.</summary>
    public Action<HotCall>? Heard { get; init; }

    private bool LeavesEarly => cluster.Plan.Bug is PlantedBug.AnswerBeforeDurable;

    public void Receive(HotCall call)
    {
        if (log is { IsOpen: true, Serves: false })
        {
            ReceiveServing(call);
            return;
        }

        Heard?.Invoke(call);
        if (call.More is not null)
        {
            ReceiveMany(call);
            return;
        }

        if (!call.MayExecute(_executed, at, out var known))
        {
            return;
        }

        if (call.IsQuestion)
        {
            call.Return(at, known);
            return;
        }

        var pending = execute(call, 0);
        if (pending.IsCompletedSuccessfully && (log.IsSettled || LeavesEarly))
        {
            Answer(call, pending.Result);
        }
        else
        {
            AnswerSlow(call, pending);
        }
    }

    private async void ReceiveServing(HotCall call)
    {
        if (await at.MayServe())
        {
            Receive(call);
        }
        else if (!call.IsQuestion)
        {
            call.ReturnGone(at);
        }
    }

    private async void ReceiveMany(HotCall call)
    {
        if (await call.ExecuteMany(_executed, execute))
        {
            await Settle();
            call.Return(at);
        }
    }

    private async void AnswerSlow(HotCall call, ValueTask<FrontReply> pending)
    {
        var reply = await pending;
        await Settle();
        Answer(call, reply);
    }

    private ValueTask Settle() => LeavesEarly ? ValueTask.CompletedTask : log.CommitAsync();

    private void Answer(HotCall call, in FrontReply reply)
    {
        _executed.Answer(call.Caller, call.Operation.Number, reply);
        call.Return(at, reply);
    }
}
