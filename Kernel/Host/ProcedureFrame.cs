using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;

namespace Fleet.Kernel.Host;

/// <summary>Marks awaiters at which a procedure neither leaves its thread nor its execution context.</summary>
internal interface IPointAwaiter;

/// <summary>A suspended procedure, whatever it gives.</summary>
internal abstract class ProcedureFrame
{
    /// <summary>Stands at a point, or waits for one that does: one thread runs it and everybody who waits for it.
    /// </summary>
    [NotState]
    private protected bool _isScheduled;

    /// <summary>Whose procedure waits for this one, where that is a frame of a scheduled world too.</summary>
    [NotState]
    private protected ProcedureFrame? _caller;

    /// <summary>Gives back the frames of a procedure that will not be run on, from the innermost outwards.</summary>
    internal void Recycle()
    {
        for (ProcedureFrame? frame = this, caller; frame is { _isScheduled: true }; frame = caller)
        {
            caller = frame._caller;
            frame.Return();
        }
    }

    internal abstract void MoveNext();

    internal void BeScheduled() => _isScheduled = true;

    /// <summary>Ready for the next call of the same method.</summary>
    private protected abstract void Return();
}

/// <summary>A procedure that has suspended: what its caller awaits.</summary>
/// <remarks>
/// The library's core decides where continuations run, but for frames of scheduled worlds: there everything is one
/// thread's, and the caller is run on at once.
/// </remarks>
internal abstract class ProcedureFrame<TResult> : ProcedureFrame, IValueTaskSource<TResult>, IValueTaskSource
{
    private ManualResetValueTaskSourceCore<TResult> _core;

    [NotState]
    private Action<object?>? _continuation;

    [NotState]
    private object? _state;

    [NotState]
    private TResult? _result;

    [NotState]
    private ExceptionDispatchInfo? _failure;

    [NotState]
    private bool _isDone;

    internal short Version => _core.Version;

    public ValueTaskSourceStatus GetStatus(short token) =>
        !_isScheduled ? _core.GetStatus(token)
        : !_isDone ? ValueTaskSourceStatus.Pending
        : _failure is null ? ValueTaskSourceStatus.Succeeded
        : ValueTaskSourceStatus.Faulted;

    public void OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        if (!_isScheduled)
        {
            _core.OnCompleted(continuation, state, token, flags);
        }
        else if (state is Action { Target: ProcedureFrame caller })
        {
            caller.BeScheduled();
            _caller = caller;
        }
        else
        {
            (_continuation, _state) = (continuation, state);
        }
    }

    TResult IValueTaskSource<TResult>.GetResult(short token) => Take(token);

    void IValueTaskSource.GetResult(short token) => Take(token);

    internal void SetResult(TResult result)
    {
        if (!_isScheduled)
        {
            _core.SetResult(result);
            return;
        }

        _result = result;
        Complete();
    }

    internal void SetException(Exception exception)
    {
        if (!_isScheduled)
        {
            _core.SetException(exception);
            return;
        }

        _failure = ExceptionDispatchInfo.Capture(exception);
        Complete();
    }

    private protected void BeginAnew()
    {
        _core.Reset();
        _caller = null;
        _isDone = false;
        _isScheduled = false;
        _result = default;
        if (_continuation is not null || _failure is not null)
        {
            (_continuation, _state, _failure) = (null, null, null);
        }
    }

    private void Complete()
    {
        _isDone = true;
        if (_caller is { } caller)
        {
            caller.MoveNext();
        }
        else
        {
            _continuation?.Invoke(_state);
        }
    }

    private TResult Take(short token)
    {
        if (_isScheduled)
        {
            var (result, failure) = (_result!, _failure);
            Return();
            failure?.Throw();
            return result;
        }

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
        if (default(TAwaiter) is IPointAwaiter)
        {
            mine._context = null;
            mine.BeScheduled();
        }
        else
        {
            mine._context = ExecutionContext.Capture();
        }

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

    internal override void MoveNext()
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
