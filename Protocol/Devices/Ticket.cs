using Fleet.Kernel;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

public enum TicketKind : byte { Bind, Unbind }

/// <summary>One bind or unbind that was begun, and where it stands.</summary>
/// <remarks>Concurrency: the device's turn; <see cref="Done"/> may be awaited by many.</remarks>
public sealed class Ticket
{
    // Made when somebody waits: most are done before their first caller looks.
    private TaskCompletionSource? _done;

    internal Ticket(long number, TicketKind kind, long op) => (Number, Kind, Op) = (number, kind, op);

    public long Number { get; }

    public TicketKind Kind { get; }

    /// <summary>Number of the operation that began it.</summary>
    public long Op { get; }

    public bool IsDone { get; private set; }

    public Errno Err { get; private set; }

    /// <summary>Position of the begin event; once done, of the end event; 0 while it waits for the lock.</summary>
    public At At { get; internal set; }

    /// <summary>Completes when it is done; a procedure that died under it never does.</summary>
    public Task Done
    {
        get
        {
            if (IsDone)
            {
                return Task.CompletedTask;
            }

            _done ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            return _done.Task;
        }
    }

    /// <summary>The ref whose last reference it waits for.</summary>
    internal DeviceRef? WaitsForRef { get; set; }

    /// <summary>What killed it; null while it lives.</summary>
    internal string? Oops { get; set; }

    /// <summary>Why Fleet itself could not go on; null while it can.</summary>
    internal Exception? Failure { get; private set; }

    internal TaskCompletionSource? Lock { get; set; }

    internal string Verb => Kind is TicketKind.Bind ? "bind" : "unbind";

    internal void End(Errno err, At at)
    {
        (IsDone, Err, At) = (true, err, at);
        (WaitsForRef, Lock) = (null, null);
        _done?.TrySetResult();
        _done = null;
    }

    internal void Fail(Exception failure)
    {
        Failure = failure;
        _done ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
        _done.TrySetException(failure);
    }
}
