namespace Fleet.Protocol.Calls;

/// <summary>Where a call stands at the object that was asked to execute it.</summary>
public enum CallStand : byte
{
    /// <summary>Never seen: execute it now.</summary>
    New,

    /// <summary>Begun, and not answered yet.</summary>
    Running,

    /// <summary>Executed; the answer is known.</summary>
    Answered,

    /// <summary>It came too late: its caller was told that it was not executed, so it must not be.</summary>
    Refused,
}

/// <summary>What one object has executed for each caller: a call repeated or delayed runs once at most.</summary>
/// <remarks>
/// What an incarnation has executed goes with it: a caller that asks another one is told of its own calls only.
/// Concurrency: one grain turn. Source: see <see cref="CallerCalls{TReply}"/>.
/// </remarks>
public sealed class CallLedger<TReply>
{
    // One caller is the rule, and ledgers are as many as devices: a table only once there are two.
    private int _firstCaller;
    private CallerCalls<TReply>? _first;
    private Dictionary<int, CallerCalls<TReply>>? _others;

    /// <summary>Callers that are remembered.</summary>
    public int Callers => (_first is null ? 0 : 1) + (_others?.Count ?? 0);

    /// <inheritdoc cref="CallerCalls{TReply}.Begin"/>
    public CallStand Begin(int caller, long number, long knownBelow, out TReply? reply) =>
        Of(caller).Begin(number, knownBelow, out reply);

    /// <inheritdoc cref="CallerCalls{TReply}.Answer"/>
    public void Answer(int caller, long number, in TReply reply) => Known(caller)?.Answer(number, reply);

    /// <inheritdoc cref="CallerCalls{TReply}.Resolve"/>
    public CallStand Resolve(int caller, long number, out TReply? reply) => Of(caller).Resolve(number, out reply);

    private CallerCalls<TReply> Of(int caller)
    {
        if (Known(caller) is { } known)
        {
            return known;
        }

        var added = new CallerCalls<TReply>();
        if (_first is null)
        {
            (_firstCaller, _first) = (caller, added);
        }
        else
        {
            (_others ??= []).Add(caller, added);
        }

        return added;
    }

    private CallerCalls<TReply>? Known(int caller) =>
        _first is not null && _firstCaller == caller ? _first : _others?.GetValueOrDefault(caller);
}
