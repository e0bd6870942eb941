namespace Fleet.Protocol.Calls;

/// <summary>The calls of one caller: each is executed once at most.</summary>
/// <remarks>
/// Invariant: a number is executed once at most, and after <see cref="Resolve"/> said "not seen" it never is.
/// Numbers of one caller grow; the caller says below which of them it knows every answer, and those are forgotten, so
/// memory follows the calls in flight. Concurrency: one owner at a time.
/// Source: Lee et al., Implementing linearizability at large scale and low latency, SOSP 2015; design.md 2.2.
/// </remarks>
public sealed class CallerCalls<TReply>
{
    private readonly List<Entry> _entries = new(1);
    private long _knownBelow;
    private long _highest = long.MinValue;

    private record struct Entry(long Number, CallStand Stand, TReply Reply);

    /// <summary>Asks whether to execute a call; after <see cref="CallStand.New"/> it counts as begun.</summary>
    /// <param name="knownBelow">The caller will never ask for an answer to a lower number again.</param>
    /// <param name="reply">The answer, when it was executed before.</param>
    public CallStand Begin(long number, long knownBelow, out TReply? reply)
    {
        reply = default;
        if (number < _knownBelow)
        {
            return CallStand.Refused;
        }

        if (Find(number) is >= 0 and var place)
        {
            reply = _entries[place].Reply;
            return _entries[place].Stand;
        }

        Forget(knownBelow);
        _highest = Math.Max(_highest, number);
        _entries.Add(new(number, CallStand.Running, default!));
        return CallStand.New;
    }

    /// <summary>Keeps the answer to a call that was begun, until its caller knows it.</summary>
    public void Answer(long number, in TReply reply)
    {
        if (Find(number) is >= 0 and var place)
        {
            _entries[place] = new(number, CallStand.Answered, reply);
        }
    }

    /// <summary>Says what became of a call whose answer was lost, and is a barrier.</summary>
    /// <returns><see cref="CallStand.Refused"/>: not executed, and it never will be.</returns>
    public CallStand Resolve(long number, out TReply? reply)
    {
        var stand = Begin(number, number, out reply);
        if (stand is not CallStand.New)
        {
            return stand;
        }

        _entries[Find(number)] = new(number, CallStand.Refused, default!);
        return CallStand.Refused;
    }

    /// <summary>Where a call stands that was begun; looking begins nothing.</summary>
    public CallStand Look(long number) => Find(number) is >= 0 and var place ? _entries[place].Stand
        : number < _knownBelow ? CallStand.Refused : CallStand.New;

    private void Forget(long knownBelow)
    {
        if (knownBelow <= _knownBelow)
        {
            return;
        }

        _knownBelow = knownBelow;
        if (_highest < knownBelow)
        {
            _entries.Clear();
            return;
        }

        for (var i = _entries.Count - 1; i >= 0; i--)
        {
            if (_entries[i].Number < knownBelow)
            {
                _entries.RemoveAt(i);
            }
        }
    }

    /// <summary>From the newest: that is the one that is answered next, and most numbers are new.</summary>
    private int Find(long number)
    {
        if (number > _highest)
        {
            return -1;
        }

        for (var i = _entries.Count - 1; i >= 0; i--)
        {
            if (_entries[i].Number == number)
            {
                return i;
            }
        }

        return -1;
    }
}
