using System.Collections.Concurrent;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Calls;

/// <summary>What the objects of one process have executed for each client: a call runs once at most.</summary>
/// <remarks>
/// A client is sequential: it sends a number only when it knows what became of every lower one, so the numbers in
/// flight
/// are those of one call, and memory follows clients and not operations. One ledger serves every object of a process,
/// since an operation names one object only. Concurrency: any thread.
/// Source: Lee et al., Implementing linearizability at large scale and low latency, SOSP 2015; design.md 2.2.
/// </remarks>
public sealed class ClientLedger
{
    private readonly ConcurrentDictionary<long, CallLedger<FrontReply>> _clients = new();

    /// <summary>Asks whether to execute a call; after <see cref="CallStand.New"/> it counts as begun.</summary>
    /// <param name="knownBelow">The client knows what became of every lower number.</param>
    /// <param name="reply">The answer, when it was executed before.</param>
    public CallStand Begin(int session, int client, long number, long knownBelow, out FrontReply reply)
    {
        var calls = Of(session, client);
        lock (calls)
        {
            return calls.Begin(client, number, knownBelow, out reply);
        }
    }

    /// <summary>Keeps the answer to a call that was begun, until its client knows it.</summary>
    public void Answer(int session, int client, long number, in FrontReply reply)
    {
        var calls = Of(session, client);
        lock (calls)
        {
            calls.Answer(client, number, reply);
        }
    }

    /// <summary>Says what became of a call whose answer was lost, and is a barrier.</summary>
    public CallStand Resolve(int session, int client, long number, out FrontReply reply)
    {
        var calls = Of(session, client);
        lock (calls)
        {
            return calls.Resolve(client, number, out reply);
        }
    }

    private CallLedger<FrontReply> Of(int session, int client) =>
        _clients.GetOrAdd(((long)session << 32) | (uint)client, static _ => new());
}
