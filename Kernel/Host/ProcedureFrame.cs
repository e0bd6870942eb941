using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;

namespace Fleet.Kernel.Host;

/// <summary>An awaiter at which a procedure neither leaves its thread nor its execution context.</summary>
internal interface IPointAwaiter
{
    /// <summary>The frame stands here until it is run on.</summary>
    void Suspend(ProcedureFrame frame);
}

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

    /// <summary>The next one that no call uses.</summary>
    [NotState]
    internal ProcedureFrame? Next;

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

    /// <summary>The last time when a frame that was put back was in use.</summary>
    [NotState]
    internal long InUse;

    internal ProcedureFrame? Caller => _caller;

    /// <summary>Somebody waits for it who is no frame of a scheduled world.</summary>
    internal abstract bool IsAwaitedByOthers { get; }

    /// <summary>A frame that holds the same, but is nobody's.</summary>
    internal abstract ProcedureFrame Copy();

    /// <summary>Makes another one, suspended in a scheduled world, hold the same.</summary>
    internal abstract void CopyTo(ProcedureFrame other);

    internal abstract void ReleaseCopy();

    /// <summary>Ready for the next call of the same method.</summary>
    internal abstract void Return();
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

    internal override bool IsAwaitedByOthers => _continuation is not null;

    private protected void BeginAnew()
    {
        if (!_isScheduled)
        {
            _core.Reset();
        }

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
    private static readonly ContextCallback InContext = static frame =>
        ((ProcedureFrame<TStateMachine, TResult>)frame!)._stateMachine!.MoveNext();

    [ThreadStatic]
    private static FramePool? Mine;

    private TStateMachine? _stateMachine;
    [NotState]
    private Action? _moveNext;
    [NotState]
    private ExecutionContext? _context;
    [NotState]
    private FramePool _home;

    private ProcedureFrame(FramePool home) => _home = home;

    /// <summary>What resumes the frame, for awaiters that ask for a delegate.</summary>
    internal Action Continuation => _moveNext ??= MoveNext;

    /// <summary>Moves a state machine into its frame, unless it is there.</summary>
    /// <param name="frame">The builder's own field, which the copy must already contain.</param>
    internal static ProcedureFrame<TStateMachine, TResult> Suspend<TAwaiter>(
        ref TStateMachine stateMachine, ref ProcedureFrame<TResult>? frame)
    {
        var mine = frame is null ? null : Unsafe.As<ProcedureFrame<TStateMachine, TResult>>(frame);
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

        return mine;
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

    internal override void Return()
    {
        // What a scheduled frame held belongs to its world, which outlives it; the next call overwrites it.
        var home = _home;
        if (!_isScheduled)
        {
            home = _home = Mine ??= FrameStore.NewPool();
            _stateMachine = default;
            _context = null;
        }

        BeginAnew();
        home.Add(this);
    }

    internal override ProcedureFrame Copy()
    {
        if (_home.Copies is { } copy)
        {
            _home.Copies = copy.Next;
        }
        else
        {
            copy = new ProcedureFrame<TStateMachine, TResult>(_home);
        }

        CopyTo(copy);
        return copy;
    }

    internal override void CopyTo(ProcedureFrame other)
    {
        var to = Unsafe.As<ProcedureFrame<TStateMachine, TResult>>(other);
        to.BeginAnew();
        to._isScheduled = true;
        to._caller = _caller;
        to._stateMachine = _stateMachine;
    }

    internal override void ReleaseCopy()
    {
        Next = _home.Copies;
        _home.Copies = this;
    }

    private static ProcedureFrame<TStateMachine, TResult> Rent()
    {
        var home = Mine ??= FrameStore.NewPool();
        return home.Take() is { } kept ? Unsafe.As<ProcedureFrame<TStateMachine, TResult>>(kept) : Make(home);
    }

    private static ProcedureFrame<TStateMachine, TResult> Make(FramePool home)
    {
        var made = new ProcedureFrame<TStateMachine, TResult>(home);
        FrameStore.Made(made);
        return made;
    }
}
