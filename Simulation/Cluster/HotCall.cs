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
    private bool _isAnswer;

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

    public ref readonly FrontReply Reply => ref _reply;

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

    public override void Arrive(Activation at)
    {
        if (at is DeviceActivation device)
        {
            device.Receive(this);
        }
        else
        {
            ((MapActivation)at).Receive(this);
        }
    }

    public void Return(Activation at, in FrontReply reply)
    {
        (_reply, _isAnswer) = (reply, true);
        cluster.Carry(isLocal: false, this, static call => (HotCall)call.Repeat());
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
