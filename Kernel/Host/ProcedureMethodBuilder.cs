using System.Runtime.CompilerServices;

namespace Fleet.Kernel.Host;

/// <summary>Builds the frames of procedures: pooled for each method, and without cost where a point resumes.</summary>
/// <remarks>
/// Why not the library's pooling builder: a scheduled world suspends and resumes some thirty frames for each schedule,
/// and that one captures and restores the execution context at each of them, and looks for a synchronisation context at
/// each start. A procedure never changes either, so here the context is kept only across awaits that are no points.
/// Invariant: a frame's task is awaited exactly once. Continuations run where the library's builders would run them.
/// Concurrency: that of <see cref="System.Threading.Tasks.Sources.ManualResetValueTaskSourceCore{TResult}"/>.
/// Source: docs/decisions/0103.
/// </remarks>
public struct ProcedureMethodBuilder
{
    private ProcedureMethodBuilder<NoResult> _inner;

    /// <summary>What a procedure without a result gives.</summary>
    internal readonly struct NoResult;

    public readonly ValueTask Task => _inner.TaskWithoutResult;

    public static ProcedureMethodBuilder Create() => default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Start<TStateMachine>(ref TStateMachine stateMachine)
        where TStateMachine : IAsyncStateMachine => stateMachine.MoveNext();

    public readonly void SetStateMachine(IAsyncStateMachine stateMachine) => throw new NotSupportedException();

    public void SetResult() => _inner.SetResult(default);

    public void SetException(Exception exception) => _inner.SetException(exception);

    public void AwaitOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : INotifyCompletion
        where TStateMachine : IAsyncStateMachine => _inner.AwaitOnCompleted(ref awaiter, ref stateMachine);

    public void AwaitUnsafeOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : ICriticalNotifyCompletion
        where TStateMachine : IAsyncStateMachine => _inner.AwaitUnsafeOnCompleted(ref awaiter, ref stateMachine);
}

/// <summary>The same for a procedure that gives a result.</summary>
/// <inheritdoc cref="ProcedureMethodBuilder"/>
public struct ProcedureMethodBuilder<TResult>
{
    private ProcedureFrame<TResult>? _frame;
    private Exception? _failure;
    private TResult _result;

    public readonly ValueTask<TResult> Task => _frame is { } frame ? new(frame, frame.Version)
        : _failure is null ? new(_result) : ValueTask.FromException<TResult>(_failure);

    internal readonly ValueTask TaskWithoutResult => _frame is { } frame ? new(frame, frame.Version)
        : _failure is null ? default : ValueTask.FromException(_failure);

#pragma warning disable CA1000 // The compiler asks for it on the type.
    public static ProcedureMethodBuilder<TResult> Create() => default;
#pragma warning restore CA1000

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Start<TStateMachine>(ref TStateMachine stateMachine)
        where TStateMachine : IAsyncStateMachine => stateMachine.MoveNext();

    public readonly void SetStateMachine(IAsyncStateMachine stateMachine) => throw new NotSupportedException();

    public void SetResult(TResult result)
    {
        if (_frame is null)
        {
            _result = result;
        }
        else
        {
            _frame.SetResult(result);
        }
    }

    public void SetException(Exception exception)
    {
        if (_frame is null)
        {
            _failure = exception;
        }
        else
        {
            _frame.SetException(exception);
        }
    }

    public void AwaitOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : INotifyCompletion
        where TStateMachine : IAsyncStateMachine =>
        awaiter.OnCompleted(
            ProcedureFrame<TStateMachine, TResult>.Suspend<TAwaiter>(ref stateMachine, ref _frame).Continuation);

    public void AwaitUnsafeOnCompleted<TAwaiter, TStateMachine>(ref TAwaiter awaiter, ref TStateMachine stateMachine)
        where TAwaiter : ICriticalNotifyCompletion
        where TStateMachine : IAsyncStateMachine
    {
        var frame = ProcedureFrame<TStateMachine, TResult>.Suspend<TAwaiter>(ref stateMachine, ref _frame);
        if (awaiter is IPointAwaiter)
        {
            ((IPointAwaiter)awaiter).Suspend(frame);
        }
        else
        {
            awaiter.UnsafeOnCompleted(frame.Continuation);
        }
    }
}
