using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;

namespace Fleet.Simulation.Cluster;

/// <summary>Operations whose answer was lost: the object that would have executed them is asked.</summary>
internal sealed partial class VirtualClient
{
    private const long AskAgainNs = 50_000_000;

    private readonly Queue<Operation> _unresolved = [];

    public bool IsUnresolved => _unresolved.Count > 0;

    /// <summary>No answer came in time: of each operation of the call it has to be asked.</summary>
    private void Lose(HotCall call)
    {
        if (call.IsQuestion)
        {
            return;
        }

        for (var element = 0; element < call.Count; element++)
        {
            _unresolved.Enqueue(call.At(element));
            _load.Counts.Unknown++;
        }
    }

    /// <summary>Asks the object that would have executed the first of them; until that answers, nothing else is
    /// done.</summary>
    private void Ask()
    {
        var lost = _unresolved.Peek();
        _intendedNs = _cluster.NowNs;
        Send(
            Call(
                lost with
                {
                    Number = _load.NextNumber(),
                    Kind = OperationKind.Query,
                    Of = lost.Number,
                    IntendedNs = _intendedNs,
                    SentNs = _cluster.NowNs,
                    DoneNs = 0,
                    Outcome = OperationOutcome.Unknown,
                    Tag = 0,
                },
                _load.KnownGens[_asked!.Device]),
            _asked);
    }

    private void Resolved(HotCall question)
    {
        var lost = _unresolved.Dequeue();
        ref readonly var reply = ref question.ReplyOf(0);
        ref var operation = ref question.Operation;
        if (question.Stand is CallStand.Refused)
        {
            (operation.Outcome, operation.Err) = (OperationOutcome.Fail, Errno.ENOENT);
            Record(ref operation);
            _load.Counts.ResolvedNotSeen++;
            return;
        }

        operation.Err = reply.Err;
        operation.Outcome = reply.Err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
        operation.Kind = lost.Kind;
        Apply(ref operation, reply);
        operation.Kind = OperationKind.Query;
        Record(ref operation);
        _load.Counts.ResolvedExecuted++;
        lost.Err = reply.Err;
        lost.DoneNs = operation.DoneNs;
        lost.Outcome = operation.Outcome;
        Use(lost, reply);
    }
}
