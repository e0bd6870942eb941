using System.Collections.Concurrent;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Calls;

/// <summary>What the objects of one process have executed for each client: a call runs once at most.</summary>
/// <remarks>
/// A client is sequential: it sends a number only when it knows what became of every lower one, so the numbers in
/// flight are those of one call, and memory follows clients and not operations. One ledger serves every object of a
/// process, since an operation names one object only. Concurrency: any thread.
/// Source: Lee et al., Implementing linearizability at large scale and low latency, SOSP 2015; design.md 2.2.
/// </remarks>
public sealed class ClientLedger
{
    private readonly ConcurrentDictionary<long, ClientCalls> _clients = new();

    /// <summary>The calls of one client; the same object as long as the ledger lives.</summary>
    public ClientCalls Of(int session, int client) =>
        _clients.GetOrAdd(((long)session << 32) | (uint)client, static _ => new());
}

/// <summary>What the objects of one process have executed for one client.</summary>
/// <remarks>
/// Concurrency: any thread; a client is sequential, so hardly ever two at once, and each for a few nanoseconds. Nothing
/// is allocated for a call that nobody waits for.
/// </remarks>
public sealed class ClientCalls
{
    private readonly CallerCalls<FrontReply> _calls = new();

    // Not to be read-only: entering changes it.
    private SpinLock _gate = new(enableThreadOwnerTracking: false);
    private TaskCompletionSource? _answered;

    /// <inheritdoc cref="CallerCalls{TReply}.Begin"/>
    public CallStand Begin(long number, long knownBelow, out FrontReply reply)
    {
        using var hold = new Hold(ref _gate);
        return _calls.Begin(number, knownBelow, out reply);
    }

    /// <inheritdoc cref="CallerCalls{TReply}.Answer"/>
    public void Answer(long number, in FrontReply reply)
    {
        TaskCompletionSource? answered;
        using (new Hold(ref _gate))
        {
            _calls.Answer(number, reply);
            (answered, _answered) = (_answered, null);
        }

        answered?.SetResult();
    }

    /// <inheritdoc cref="CallerCalls{TReply}.Resolve"/>
    public CallStand Resolve(long number, out FrontReply reply)
    {
        using var hold = new Hold(ref _gate);
        return _calls.Resolve(number, out reply);
    }

    /// <summary>Waits until a call that was begun is not running any more.</summary>
    public async ValueTask AnsweredAsync(long number)
    {
        while (Next(number) is { } next)
        {
            await next;
        }
    }

    /// <returns>Completes at the client's next answer; null where the call is not running.</returns>
    private Task? Next(long number)
    {
        using var hold = new Hold(ref _gate);
        return _calls.Look(number) is CallStand.Running
            ? (_answered ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task : null;
    }

    /// <summary>Has the gate until it goes.</summary>
    private readonly ref struct Hold
    {
        private readonly ref SpinLock _gate;

        public Hold(ref SpinLock gate)
        {
            _gate = ref gate;
            var isTaken = false;
            _gate.Enter(ref isTaken);
        }

        public void Dispose() => _gate.Exit(useMemoryBarrier: false);
    }
}
