using System.Diagnostics;

namespace Fleet.Client.Load;

/// <summary>Nanoseconds of this process's monotonic clock, as records hold them.</summary>
public static class MonotonicNs
{
    private static readonly Int128 Frequency = Stopwatch.Frequency;

    public static long Now => FromTicks(Stopwatch.GetTimestamp());

    public static long FromTicks(long ticks) =>
        Stopwatch.Frequency == 1_000_000_000 ? ticks : (long)((Int128)ticks * 1_000_000_000 / Frequency);
}

/// <summary>Tells every client which phase it is in; a change wakes those that wait.</summary>
public sealed class LoadClock
{
    private volatile State _state = new("idle", 0, false);

    /// <param name="ClientsActive">Clients with a smaller number send; the others wait.</param>
    /// <param name="IsDraining">Nothing new: everybody frees what he holds, and ends.</param>
    public sealed record State(string Phase, int ClientsActive, bool IsDraining)
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => _ended.Task;

        internal void End() => _ended.TrySetResult();
    }

    public State Current => _state;

    public void Enter(string phase, int clientsActive, bool isDraining)
    {
        var old = _state;
        _state = new(phase, clientsActive, isDraining);
        old.End();
    }
}
