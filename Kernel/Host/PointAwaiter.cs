using System.Runtime.CompilerServices;

namespace Fleet.Kernel.Host;

/// <summary>Where one actor of a scheduled world stands: the continuation that its next step will run.</summary>
/// <remarks>
/// Concurrency: the scheduler's thread only. The engine derives from it what it needs to know of an actor.
/// </remarks>
public abstract class KernelActor
{
    [NotState]
    private ProcedureFrame? _frame;

    /// <summary>Of an awaiter whose method has another builder than Fleet's.</summary>
    [NotState]
    private Action? _continuation;

    /// <summary>Set while points complete at once: a prologue, or a procedure that is drained.</summary>
    public bool RunsFree { get; set; }

    /// <summary>Stands at a point: <see cref="Resume"/> runs the step.</summary>
    public bool IsSuspended => _frame is not null || _continuation is not null;

    /// <summary>Runs the step that the actor stands before, up to its next point or its end.</summary>
    public void Resume()
    {
        if (_frame is { } frame)
        {
            _frame = null;
            frame.MoveNext();
            return;
        }

        var continuation = _continuation;
        _continuation = null;
        continuation!();
    }

    /// <summary>Forgets where the actor stood; its procedure is dropped and never runs on.</summary>
    public void Drop()
    {
        var frame = _frame;
        _frame = null;
        _continuation = null;
        frame?.Recycle();
    }

    internal ProcedureFrame? Frame => _frame;

    /// <summary>Its innermost procedure has another builder than Fleet's.</summary>
    internal bool StandsElsewhere => _continuation is not null;

    internal void Suspend(ProcedureFrame frame) => _frame = frame;

    internal void Suspend(Action continuation) => _continuation = continuation;
}

/// <summary>Awaits permission for one atomic step.</summary>
/// <remarks>
/// <see cref="IsCompleted"/> is a constant of the host where points never suspend, so the compiler removes them;
/// measured at 0.35 ns a point. Source: exploration-notes sections 3 and 4.
/// </remarks>
public readonly struct PointAwaiter<THost>(KernelActor? actor) : ICriticalNotifyCompletion, IPointAwaiter
    where THost : struct, IKernelHost<THost>
{
    public bool IsCompleted => THost.NeverSuspends || actor is null || actor.RunsFree;

    public PointAwaiter<THost> GetAwaiter() => this;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation) => actor!.Suspend(continuation);

    public void UnsafeOnCompleted(Action continuation) => actor!.Suspend(continuation);

    void IPointAwaiter.Suspend(ProcedureFrame frame) => actor!.Suspend(frame);
}

/// <summary>Awaits what never comes: an oops or BUG ended its actor, with its locks held.</summary>
/// <remarks>
/// A host whose actors are scheduled drops the continuation; one that must answer a caller throws
/// <see cref="KernelOopsException"/> instead, which its edge turns into an answer.
/// </remarks>
public readonly struct DeathAwaiter(bool survives) : ICriticalNotifyCompletion, IPointAwaiter
{
    public bool IsCompleted => survives;

    public DeathAwaiter GetAwaiter() => this;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation)
    {
    }

    public void UnsafeOnCompleted(Action continuation)
    {
    }

    void IPointAwaiter.Suspend(ProcedureFrame frame)
    {
    }
}

/// <summary>Something a step waits for; read again whenever the world has changed.</summary>
public interface IReadiness
{
    /// <summary>True once the step may run; must not change anything.</summary>
    bool IsReady { get; }
}
