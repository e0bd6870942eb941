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
/// Invariant: a number is executed once at most, and after <see cref="Resolve"/> said "not seen" it never is.
/// Numbers of one caller grow; the caller says below which of them it knows every answer, and those are forgotten, so
/// memory follows the calls in flight. What an incarnation has executed goes with it: a caller that asks another one is
/// told of its own calls only. Concurrency: one grain turn.
/// Source: Lee et al., Implementing linearizability at large scale and low latency, SOSP 2015; design.md 2.2.
/// </remarks>
public sealed class CallLedger<TReply>
{
    private readonly Dictionary<int, Caller> _callers = [];

    private sealed class Caller
    {
        public List<Entry> Entries { get; } = [];

        /// <summary>Answers to all lower numbers are known to the caller.</summary>
        public long KnownBelow { get; set; }
    }

    private record struct Entry(long Number, CallStand Stand, TReply Reply);

    /// <summary>Callers that are remembered.</summary>
    public int Callers => _callers.Count;

    /// <summary>Asks whether to execute a call; after <see cref="CallStand.New"/> it counts as begun.</summary>
    /// <param name="knownBelow">The caller will never ask for an answer to a lower number again.</param>
    /// <param name="reply">The answer, when it was executed before.</param>
    public CallStand Begin(int caller, long number, long knownBelow, out TReply? reply)
    {
        if (!_callers.TryGetValue(caller, out var known))
        {
            _callers[caller] = known = new();
        }

        reply = default;
        if (number < known.KnownBelow)
        {
            return CallStand.Refused;
        }

        if (Find(known, number) is >= 0 and var place)
        {
            reply = known.Entries[place].Reply;
            return known.Entries[place].Stand;
        }

        if (knownBelow > known.KnownBelow)
        {
            known.KnownBelow = knownBelow;
            for (var i = known.Entries.Count - 1; i >= 0; i--)
            {
                if (known.Entries[i].Number < knownBelow)
                {
                    known.Entries.RemoveAt(i);
                }
            }
        }

        known.Entries.Add(new(number, CallStand.Running, default!));
        return CallStand.New;
    }

    /// <summary>Keeps the answer to a call that was begun, until its caller knows it.</summary>
    public void Answer(int caller, long number, in TReply reply)
    {
        if (_callers.TryGetValue(caller, out var known) && Find(known, number) is >= 0 and var place)
        {
            known.Entries[place] = new(number, CallStand.Answered, reply);
        }
    }

    /// <summary>Says what became of a call whose answer was lost, and is a barrier.</summary>
    /// <returns><see cref="CallStand.Refused"/>: not executed, and it never will be.</returns>
    public CallStand Resolve(int caller, long number, out TReply? reply)
    {
        var stand = Begin(caller, number, number, out reply);
        if (stand is not CallStand.New)
        {
            return stand;
        }

        var known = _callers[caller];
        known.Entries[Find(known, number)] = new(number, CallStand.Refused, default!);
        return CallStand.Refused;
    }

    private static int Find(Caller known, long number)
    {
        for (var i = known.Entries.Count - 1; i >= 0; i--)
        {
            if (known.Entries[i].Number == number)
            {
                return i;
            }
        }

        return -1;
    }
}
