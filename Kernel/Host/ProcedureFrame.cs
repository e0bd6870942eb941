using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace Fleet.Kernel.Host;

/// <summary>Marks awaiters at which a procedure neither leaves its thread nor its execution context.</summary>
internal interface IPointAwaiter;

/// <summary>A procedure that has suspended: what its caller awaits.</summary>
internal abstract class ProcedureFrame<TResult> : IValueTaskSource<TResult>, IValueTaskSource
{
    private ManualResetValueTaskSourceCore<TResult> _core;

    internal short Version => _core.Version;

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    TResult IValueTaskSource<TResult>.GetResult(short token) => Take(token);

    void IValueTaskSource.GetResult(short token) => Take(token);

    internal void SetResult(TResult result) => _core.SetResult(result);

    internal void SetException(Exception exception) => _core.SetException(exception);

    /// <summary>Ready for the next call of the same method.</summary>
    private protected abstract void Return();

    private protected void BeginAnew() => _core.Reset();

    private TResult Take(short token)
    {
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            Return();
        }
    }
}

/// <summary>The frame of one method; a few are kept for each thread.</summary>
internal sealed class ProcedureFrame<TStateMachine, TResult> : ProcedureFrame<TResult>
    where TStateMachine : IAsyncStateMachine
{
    /// <summary>Most that a thread keeps: as many actors as a small world has.</summary>
    private const int KeptMax = 16;

    private static readonly ContextCallback InContext = static frame =>
        ((ProcedureFrame<TStateMachine, TResult>)frame!)._stateMachine!.MoveNext();

    [ThreadStatic]
    private static ProcedureFrame<TStateMachine, TResult>? Kept;

    [NotState]
    private readonly Action _moveNext;
    private TStateMachine? _stateMachine;
    [NotState]
    private ExecutionContext? _context;
    [NotState]
    private ProcedureFrame<TStateMachine, TResult>? _next;
    [NotState]
    private int _keptBelow;

    private ProcedureFrame() => _moveNext = MoveNext;

    /// <summary>Moves a state machine into its frame, unless it is there, and gives what resumes it.</summary>
    /// <param name="frame">The builder's own field, which the copy must already contain.</param>
    internal static Action Suspend<TAwaiter>(ref TStateMachine stateMachine, ref ProcedureFrame<TResult>? frame)
    {
        var mine = (ProcedureFrame<TStateMachine, TResult>?)frame;
        if (mine is null)
        {
            mine = Rent();
            frame = mine;
            mine._stateMachine = stateMachine;
        }

        // A constant for each awaiter: the compiler leaves one of the two.
        mine._context = default(TAwaiter) is IPointAwaiter ? null : ExecutionContext.Capture();
        return mine._moveNext;
    }

    private protected override void Return()
    {
        BeginAnew();
        _stateMachine = default;
        _context = null;
        var below = Kept;
        var kept = below is null ? 0 : below._keptBelow + 1;
        if (kept < KeptMax)
        {
            _next = below;
            _keptBelow = kept;
            Kept = this;
        }
    }

    private static ProcedureFrame<TStateMachine, TResult> Rent()
    {
        if (Kept is not { } kept)
        {
            return new();
        }

        Kept = kept._next;
        kept._next = null;
        return kept;
    }

    private void MoveNext()
    {
        if (_context is { } context)
        {
            ExecutionContext.Run(context, InContext, this);
        }
        else
        {
            _stateMachine!.MoveNext();
        }
    }
}
