namespace Fleet.Protocol.Calls;

/// <summary>Which call of a device to one of its parts this is; repeated until it is answered, executed once.</summary>
/// <param name="Caller">Incarnation of the device; 0 for a call that may be executed as often as it arrives.</param>
/// <param name="Number">From 1 at each part.</param>
/// <param name="KnownBelow">Answers to all lower numbers are known.</param>
public readonly record struct PartCall(int Caller, long Number, long KnownBelow);

/// <summary>The calls of a device to one part, numbered.</summary>
/// <remarks>Concurrency: the device's turn. The way to the part may be the same object.</remarks>
public class PartCallNumbers
{
    // Without an answer, the lowest and those after it: one at a time is the rule.
    private long _lowest;
    private List<long>? _later;
    private long _last;

    public PartCall Begin(int deviceGen)
    {
        _last++;
        if (_lowest == 0)
        {
            _lowest = _last;
        }
        else
        {
            (_later ??= []).Add(_last);
        }

        return new(deviceGen, _last, _lowest);
    }

    public void Answered(in PartCall call)
    {
        if (call.Number != _lowest)
        {
            _later?.Remove(call.Number);
            return;
        }

        _lowest = 0;
        if (_later is [var next, ..])
        {
            _lowest = next;
            _later.RemoveAt(0);
        }
        else
        {
            _later = null;
        }
    }
}

/// <summary>What a part has executed for its device: a repeated call gets the answer of the first.</summary>
/// <remarks>
/// One whose number the device has done with is late: nobody waits for its answer, and it is not executed. What is kept
/// of an idle device is its last call's answer, as a value: there is one such object for each part of a fleet.
/// Concurrency: one grain turn. Source: see <see cref="CallerCalls{TReply}"/>.
/// </remarks>
public sealed class PartCalls
{
    // The newest incarnation of the device that called; calls of one after another, so that one is remembered.
    private int _caller;
    private long _knownBelow;
    private Kept _last;
    private List<Kept>? _others;
    private Dictionary<int, PartCalls>? _otherCallers;

    /// <param name="Number">0 for none.</param>
    /// <param name="Answer">The answer, or the task that will have it; null while the call is being begun.</param>
    private readonly record struct Kept(long Number, object? Answer);

    /// <summary>Calls whose answers are remembered.</summary>
    public int Remembered => (_last.Number == 0 ? 0 : 1) + (_others?.Count ?? 0)
        + (_otherCallers?.Values.Sum(other => other.Remembered) ?? 0);

    public ValueTask<T> Once<T>(in PartCall call, Func<ValueTask<T>> execute)
    {
        if (call.Caller == 0)
        {
            return execute();
        }

        if (_caller == 0)
        {
            _caller = call.Caller;
        }

        return Of(call.Caller).OnceOfCaller(call, execute);
    }

    private PartCalls Of(int caller)
    {
        if (caller == _caller)
        {
            return this;
        }

        _otherCallers ??= [];
        if (!_otherCallers.TryGetValue(caller, out var calls))
        {
            _otherCallers[caller] = calls = new() { _caller = caller };
        }

        return calls;
    }

    private ValueTask<T> OnceOfCaller<T>(in PartCall call, Func<ValueTask<T>> execute)
    {
        if (call.Number < _knownBelow)
        {
            return default;
        }

        if (Find(call.Number) is { Number: not 0 } known)
        {
            return known.Answer switch
            {
                Task<T> running => new(running),
                T answer => new(answer),
                _ => default,
            };
        }

        Forget(call.KnownBelow);
        Keep(call.Number, null);
        var pending = execute();
        if (pending.IsCompletedSuccessfully)
        {
            var answer = pending.Result;
            Keep(call.Number, answer);
            return new(answer);
        }

        var answering = AnswerAsync(call.Number, pending);
        if (!answering.IsCompletedSuccessfully)
        {
            Keep(call.Number, answering);
        }

        return new(answering);
    }

    /// <summary>Keeps the answer itself once there is one; a call that failed stays the task that says so.</summary>
    private async Task<T> AnswerAsync<T>(long number, ValueTask<T> pending)
    {
        var answer = await pending;
        if (Find(number).Number != 0)
        {
            Keep(number, answer);
        }

        return answer;
    }

    private Kept Find(long number)
    {
        if (number == _last.Number)
        {
            return _last;
        }

        return _others?.Find(kept => kept.Number == number) ?? default;
    }

    private void Keep(long number, object? answer)
    {
        var kept = new Kept(number, answer);
        if (_last.Number == 0 || _last.Number == number)
        {
            _last = kept;
            return;
        }

        _others ??= new(1);
        var place = _others.FindIndex(other => other.Number == number);
        if (place < 0)
        {
            _others.Add(kept);
        }
        else
        {
            _others[place] = kept;
        }
    }

    private void Forget(long knownBelow)
    {
        if (knownBelow <= _knownBelow)
        {
            return;
        }

        _knownBelow = knownBelow;
        _last = _last.Number < knownBelow ? default : _last;
        _others?.RemoveAll(other => other.Number < knownBelow);
        _others = _others is { Count: > 0 } ? _others : null;
    }
}
