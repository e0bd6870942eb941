using Fleet.Kernel.Host;

namespace Fleet.Simulation.Exploration;

/// <summary>One thread of a small world: where it stands, and what its next step reads, writes and waits for.</summary>
/// <remarks>The actor <c>rcu</c> has no procedure: its steps are the queued callbacks.</remarks>
public sealed class Actor : KernelActor
{
    private ValueTask _procedure;
    private bool _isStarted;

    internal Actor(string name, int index)
    {
        Name = name;
        Index = index;
    }

    public string Name { get; }

    /// <summary>Number in the world's list; also its read-section slot.</summary>
    public int Index { get; }

    /// <summary>The step that it stands before.</summary>
    [field: NotState]
    public Step Step { get; private set; }

    [field: NotState]
    internal ulong Reads { get; private set; }

    [field: NotState]
    internal ulong Writes { get; private set; }

    internal IReadiness? Ready { get; private set; }

    /// <summary>Set for this actor's read section.</summary>
    [field: NotState]
    internal ulong ReaderMask { get; set; }

    internal bool IsEnabled => IsSuspended && (Ready is null || Ready.IsReady);

    internal void Arm(Step step, ulong reads, ulong writes, IReadiness? ready)
    {
        Step = step;
        Reads = reads;
        Writes = writes;
        Ready = ready;
    }

    /// <summary>Puts the actor at the first point of its procedure.</summary>
    internal void Start(ValueTask procedure)
    {
        _procedure = procedure;
        _isStarted = true;
    }

    /// <summary>Takes the result of a procedure that came to its end.</summary>
    /// <returns>False while it stands at a point, or after its kernel died under it.</returns>
    internal bool TryFinish()
    {
        if (!_isStarted || !_procedure.IsCompleted)
        {
            return false;
        }

        _isStarted = false;
        var done = _procedure;
        _procedure = default;
        Ready = null;
        done.GetAwaiter().GetResult();
        return true;
    }

    /// <summary>Forgets a procedure that will not be run on.</summary>
    internal void Abandon()
    {
        Drop();
        _isStarted = false;
        _procedure = default;
        Ready = null;
        RunsFree = false;
    }
}
