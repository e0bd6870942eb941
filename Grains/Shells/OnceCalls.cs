using Fleet.Protocol.Calls;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Shells;

/// <summary>Executes a client's call once at most, and keeps its answer until the client knows it.</summary>
/// <remarks>Nothing is allocated for a call that ends in its turn.</remarks>
internal readonly struct OnceCalls(ClientLedger ledger, ObjectLog log)
{
    private static readonly TimeSpan LookPause = TimeSpan.FromMilliseconds(5);

    /// <summary>False where the call was seen before; its answer is <see cref="AgainAsync"/>.</summary>
    public bool MayExecute(int session, int client, long op, long knownBelow, out CallStand stand, out FrontReply known)
    {
        if (client == 0)
        {
            (stand, known) = (CallStand.New, default);
            return true;
        }

        stand = ledger.Begin(session, client, op, knownBelow, out known);
        return stand is CallStand.New;
    }

    public void Answer(int session, int client, long op, in FrontReply reply)
    {
        if (client != 0)
        {
            ledger.Answer(session, client, op, reply);
        }
    }

    /// <summary>The answer may leave: everything up to its position is durable.</summary>
    public bool MayLeave => log.IsSettled;

    /// <summary>Waits for what the answer needs; an incarnation that ends meanwhile has no answer.</summary>
    public async ValueTask<FrontReply> AnswerAsync(int session, int client, long op, ValueTask<FrontReply> pending)
    {
        try
        {
            var reply = await pending;
            await log.CommitAsync();
            Answer(session, client, op, reply);
            return reply;
        }
        catch (StaleIncarnationException)
        {
            // Whatever it did went with the incarnation: who asks is told that it is gone.
            Answer(session, client, op, new(Kernel.Errno.ENODEV, default, 0, 0, -1, -1, 0));
            throw;
        }
    }

    /// <summary>A call that came twice gets the first one's answer; one that came too late gets none that
    /// counts.</summary>
    public async ValueTask<FrontReply> AgainAsync(int session, int client, long op, CallStand stand, FrontReply known)
    {
        while (stand is CallStand.Running)
        {
            await Task.Delay(LookPause);
            stand = ledger.Begin(session, client, op, op, out known);
        }

        return stand is CallStand.Answered ? known : new(Kernel.Errno.ESTALE, default, 0, 0, -1, -1, 0);
    }
}
