using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>An alloc, access or free of a client on its way there and back, or a question about one.</summary>
internal sealed class HotCall(VirtualCluster cluster, VirtualClient client) : Letter
{
    /// <summary>What its client records of it.</summary>
    public Operation Operation;

    private FrontReply _reply;
    private FrontReply[]? _moreReplies;
    private bool _isAnswer;

    /// <summary>The other elements of a vector call; null for a call of one operation.</summary>
    public Operation[]? More { get; set; }

    public int Count => 1 + (More?.Length ?? 0);

    /// <summary>Which page of the range a pin asks for.</summary>
    public long Page { get; init; }

    /// <summary>For a pin: the newest incarnation of the page map that the caller has heard of.</summary>
    public int KnownMapGen { get; init; }

    public int Caller => client.Number;

    /// <summary>The incarnation of the device that the caller relies on; 0 for any.</summary>
    /// <remarks>
    /// A handle names the one that gave it; an alloc and a question name the newest that their process has heard of.
    /// What one incarnation has executed another does not remember, so without it a message that comes twice around
    /// a failover would run in both.
    /// </remarks>
    public int KnownGen { get; init; }

    public int Session => client.Session;

    public bool IsQuestion => Operation.Kind is OperationKind.Query;

    /// <summary>For a question: what became of the operation.</summary>
    public CallStand Stand { get; private set; }

    public ref Operation At(int element) => ref element == 0 ? ref Operation : ref More![element - 1];

    public ref readonly FrontReply ReplyOf(int element) =>
        ref element == 0 ? ref _reply : ref _moreReplies![element - 1];

    public AccessRequest ToAccess(int element)
    {
        ref readonly var operation = ref At(element);
        return new(
            operation.Number, Session, operation.Alloc.Gen, operation.Alloc.Number, operation.Pfn, operation.PageCount,
            operation.Direction, operation.Via, operation.Tag);
    }

    /// <summary>Asks the object's ledger; a call that was executed before is answered again.</summary>
    public bool MayExecute(CallLedger<FrontReply> ledger, Activation at, out FrontReply known)
    {
        known = default;
        if (IsQuestion)
        {
            // Still running: it is asked again.
            Stand = cluster.Plan.Bug is PlantedBug.ResolveIsNoBarrier
                ? CallStand.Refused
                : ledger.Resolve(Caller, Operation.Of, out known);
            return Stand is not CallStand.Running;
        }

        if (cluster.Plan.Bug is PlantedBug.ExecuteTwice)
        {
            return true;
        }

        Stand = ledger.Begin(Caller, Operation.Number, Operation.Number, out known);
        if (Stand is CallStand.Answered)
        {
            cluster.Counts.Recalled++;
            Return(at, known);
        }

        return Stand is CallStand.New;
    }

    public override void Arrive(Activation at) =>
        (at is DeviceActivation device ? device.Clients : ((MapActivation)at).Clients).Receive(this);

    /// <summary>Executes the elements of a vector call in order, each once at most; their answers leave
    /// together.</summary>
    /// <returns>False where an element runs already, or came too late: nobody waits for this answer.</returns>
    public async ValueTask<bool> ExecuteMany(
        CallLedger<FrontReply> ledger, Func<HotCall, int, ValueTask<FrontReply>> execute)
    {
        var replies = new FrontReply[More!.Length];
        for (var element = 0; element < Count; element++)
        {
            var number = At(element).Number;
            FrontReply known = default;
            var stand = cluster.Plan.Bug is PlantedBug.ExecuteTwice ? CallStand.New
                : ledger.Begin(Caller, number, Operation.Number, out known);
            if (stand is CallStand.New)
            {
                known = await execute(this, element);
                ledger.Answer(Caller, number, known);
            }
            else if (stand is CallStand.Answered)
            {
                cluster.Counts.Recalled++;
            }
            else
            {
                return false;
            }

            if (element == 0)
            {
                _reply = known;
            }
            else
            {
                replies[element - 1] = known;
            }
        }

        _moreReplies = replies;
        return true;
    }

    public override Letter Repeat()
    {
        var again = (HotCall)base.Repeat();
        again.More = (Operation[]?)More?.Clone();
        return again;
    }

    public void Return(Activation at, in FrontReply reply)
    {
        _reply = reply;
        Return(at);
    }

    /// <summary>An incarnation that is over has nothing of what was asked for.</summary>
    public void ReturnGone(Activation at)
    {
        var gone = new FrontReply(Errno.ENODEV, default, 0, 0, -1, -1, 0);
        _moreReplies = More is null ? null : [.. Enumerable.Repeat(gone, More.Length)];
        Return(at, gone);
    }

    /// <summary>Takes every answer of a vector call back.</summary>
    public void Return(Activation at)
    {
        _isAnswer = true;
        cluster.Carry(at.Silo, null, this, static call => (HotCall)call.Repeat());
    }

    public override void Happen()
    {
        if (_isAnswer)
        {
            client.Answered(this);
        }
        else
        {
            base.Happen();
        }
    }
}
