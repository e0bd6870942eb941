using Fleet.Kernel;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

public enum TicketKind : byte { Bind, Unbind }

/// <summary>One bind or unbind that was begun, and where it stands.</summary>
/// <remarks>Concurrency: the device's turn; <see cref="Done"/> may be awaited by many.</remarks>
public sealed class Ticket
{
    // While it is open, and only then: those that are done are kept for callers that ask again.
    private Waiting? _waiting;

    private sealed class Waiting
    {
        // Made when somebody waits: most are done before their first caller looks.
        public TaskCompletionSource? Done;
        public TaskCompletionSource? Lock;
        public DeviceRef? ForRef;
        public string? Oops;
        public Exception? Failure;
    }

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

            Open.Done ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            return Open.Done.Task;
        }
    }

    /// <summary>The ref whose last reference it waits for.</summary>
    internal DeviceRef? WaitsForRef
    {
        get => _waiting?.ForRef;
        set => Open.ForRef = value;
    }

    /// <summary>What killed it; null while it lives.</summary>
    internal string? Oops
    {
        get => _waiting?.Oops;
        set => Open.Oops = value;
    }

    /// <summary>Why Fleet itself could not go on; null while it can.</summary>
    internal Exception? Failure => _waiting?.Failure;

    internal TaskCompletionSource? Lock
    {
        get => _waiting?.Lock;
        set => Open.Lock = value;
    }

    private Waiting Open => _waiting ??= new();

    internal string Verb => Kind is TicketKind.Bind ? "bind" : "unbind";

    internal void End(Errno err, At at)
    {
        (IsDone, Err, At) = (true, err, at);
        _waiting?.Done?.TrySetResult();
        _waiting = null;
    }

    internal void Fail(Exception failure)
    {
        Open.Failure = failure;
        Open.Done ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
        Open.Done.TrySetException(failure);
    }
}
