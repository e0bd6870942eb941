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
    private readonly List<long> _open = [];
    private long _last;

    public PartCall Begin(int deviceGen)
    {
        _open.Add(++_last);
        return new(deviceGen, _last, _open[0]);
    }

    public void Answered(in PartCall call) => _open.Remove(call.Number);
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
