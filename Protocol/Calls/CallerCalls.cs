using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

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
    private Entry _newest;
    private bool _hasNewest;

    /// <summary>Those before the newest; null until a caller has several in flight: one that sends vectors.</summary>
    private List<Entry>? _older;
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

        ref var known = ref Find(number);
        if (!Unsafe.IsNullRef(ref known))
        {
            reply = known.Reply;
            return known.Stand;
        }

        Forget(knownBelow);
        if (_hasNewest)
        {
            (_older ??= []).Add(_newest);
        }

        _highest = Math.Max(_highest, number);
        (_newest.Number, _newest.Stand, _newest.Reply, _hasNewest) = (number, CallStand.Running, default!, true);
        return CallStand.New;
    }

    /// <summary>Keeps the answer to a call that was begun, until its caller knows it.</summary>
    public void Answer(long number, in TReply reply)
    {
        ref var known = ref Find(number);
        if (!Unsafe.IsNullRef(ref known))
        {
            (known.Stand, known.Reply) = (CallStand.Answered, reply);
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

        Find(number).Stand = CallStand.Refused;
        return CallStand.Refused;
    }

    /// <summary>Where a call stands that was begun; looking begins nothing.</summary>
    public CallStand Look(long number)
    {
        ref var known = ref Find(number);
        return !Unsafe.IsNullRef(ref known) ? known.Stand
            : number < _knownBelow ? CallStand.Refused : CallStand.New;
    }

    private void Forget(long knownBelow)
    {
        if (knownBelow <= _knownBelow)
        {
            return;
        }

        _knownBelow = knownBelow;
        if (_highest < knownBelow)
        {
            _hasNewest = false;
            _older?.Clear();
            return;
        }

        _hasNewest &= _newest.Number >= knownBelow;
        for (var i = (_older?.Count ?? 0) - 1; i >= 0; i--)
        {
            if (_older![i].Number < knownBelow)
            {
                _older.RemoveAt(i);
            }
        }
    }

    /// <summary>From the newest: that is the one that is answered next, and most numbers are new.</summary>
    /// <returns>No reference where the number is not known.</returns>
    private ref Entry Find(long number)
    {
        if (number > _highest)
        {
            return ref Unsafe.NullRef<Entry>();
        }

        if (_hasNewest && _newest.Number == number)
        {
            return ref _newest;
        }

        var older = CollectionsMarshal.AsSpan(_older);
        for (var i = older.Length - 1; i >= 0; i--)
        {
            if (older[i].Number == number)
            {
                return ref older[i];
            }
        }

        return ref Unsafe.NullRef<Entry>();
    }
}
