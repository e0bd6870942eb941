using Fleet.Kernel;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Shells;

/// <summary>Executes a client's call once at most, and keeps its answer until the client knows it.</summary>
/// <remarks>
/// An answer leaves when everything up to its position is durable: a crash would otherwise take an earlier position
/// away and leave a later one in the client's record. Nothing is allocated for a call that ends in its turn.
/// </remarks>
/// <param name="log">Stream of the object that executes.</param>
internal readonly struct OnceCalls(ClientLedger ledger, ObjectLog log)
{
    private static readonly FrontReply Gone = new(Errno.ENODEV, default, 0, 0, -1, -1, 0);
    private static readonly FrontReply TooLate = new(Errno.ESTALE, default, 0, 0, -1, -1, 0);

    public ValueTask<TReply> RunAsync<TCall, TRequest, TReply>(TCall call, in TRequest request)
        where TCall : struct, IHotCall<TRequest, TReply>
    {
        var operation = TCall.Of(request);
        var calls = CallsOf(operation);
        if (calls is not null
            && calls.Begin(operation.Number, operation.Number, out var known) is var stand and not CallStand.New)
        {
            return AgainAsync<TCall, TRequest, TReply>(calls, operation.Number, stand, known);
        }

        var pending = call.Execute(request);
        if (!pending.IsCompletedSuccessfully || !log.IsSettled)
        {
            return AnswerAsync<TCall, TRequest, TReply>(log, calls, operation.Number, pending);
        }

        var reply = pending.Result;
        calls?.Answer(operation.Number, TCall.Kept(reply));
        return new(reply);
    }

    /// <summary>As many calls of one client, in order; their answers leave together.</summary>
    public async ValueTask<TReply[]> RunManyAsync<TCall, TRequest, TReply>(TCall call, TRequest[] requests)
        where TCall : struct, IHotCall<TRequest, TReply>
    {
        var replies = new TReply[requests.Length];
        if (requests.Length == 0)
        {
            return replies;
        }

        var first = TCall.Of(requests[0]);
        var calls = CallsOf(first);
        for (var i = 0; i < requests.Length; i++)
        {
            var number = TCall.Of(requests[i]).Number;
            if (calls is not null
                && calls.Begin(number, first.Number, out var known) is var stand and not CallStand.New)
            {
                replies[i] = await AgainAsync<TCall, TRequest, TReply>(calls, number, stand, known);
                continue;
            }

            replies[i] = await call.Execute(requests[i]);
            calls?.Answer(number, TCall.Kept(replies[i]));
        }

        await log.CommitAsync();
        return replies;
    }

    private ClientCalls? CallsOf(in ClientOperation operation) =>
        operation.Client == 0 ? null : ledger.Of(operation.Session, operation.Client);

    /// <summary>Waits for what the answer needs; an incarnation that ends meanwhile has no answer.</summary>
    private static async ValueTask<TReply> AnswerAsync<TCall, TRequest, TReply>(
        ObjectLog log, ClientCalls? calls, long number, ValueTask<TReply> pending)
        where TCall : struct, IHotCall<TRequest, TReply>
    {
        try
        {
            var reply = await pending;
            await log.CommitAsync();
            calls?.Answer(number, TCall.Kept(reply));
            return reply;
        }
        catch (StaleIncarnationException)
        {
            // Whatever it did went with the incarnation: who asks is told that it is gone.
            calls?.Answer(number, Gone);
            throw;
        }
    }

    /// <summary>A call that came twice gets the first one's answer; one that came too late gets none that
    /// counts.</summary>
    private static async ValueTask<TReply> AgainAsync<TCall, TRequest, TReply>(
        ClientCalls calls, long number, CallStand stand, FrontReply known)
        where TCall : struct, IHotCall<TRequest, TReply>
    {
        if (stand is CallStand.Running)
        {
            await calls.AnsweredAsync(number);
            stand = calls.Begin(number, number, out known);
        }

        return TCall.Told(stand is CallStand.Answered ? known : TooLate);
    }
}
