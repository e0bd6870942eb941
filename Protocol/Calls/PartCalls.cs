namespace Fleet.Protocol.Calls;

/// <summary>Which call of a device to one of its parts this is; repeated until it is answered, executed once.</summary>
/// <param name="Caller">Incarnation of the device; 0 for a call that may be executed as often as it arrives.</param>
/// <param name="Number">From 1 at each part.</param>
/// <param name="KnownBelow">Answers to all lower numbers are known.</param>
public readonly record struct PartCall(int Caller, long Number, long KnownBelow);

/// <summary>The calls of a device to one part, numbered.</summary>
/// <remarks>Concurrency: the device's turn.</remarks>
public sealed class PartCallNumbers
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
/// One whose number the device has done with is late: nobody waits for its answer, and it is not executed.
/// Concurrency: one grain turn.
/// </remarks>
public sealed class PartCalls
{
    private readonly CallLedger<object> _ledger = new();

    public ValueTask<T> Once<T>(in PartCall call, Func<ValueTask<T>> execute)
    {
        if (call.Caller == 0)
        {
            return execute();
        }

        switch (_ledger.Begin(call.Caller, call.Number, call.KnownBelow, out var known))
        {
            case CallStand.New:
                var running = execute().AsTask();
                _ledger.Answer(call.Caller, call.Number, running);
                return new(running);
            case CallStand.Answered:
                return new((Task<T>)known!);
            default:
                return default;
        }
    }
}
