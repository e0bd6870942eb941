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
    private readonly Lock _gate = new();
    private volatile State _state = new("idle", 0, false);

    /// <param name="ClientsActive">Clients with a smaller number send; the others wait.</param>
    /// <param name="IsDraining">Nothing new: everybody frees what he holds, and ends.</param>
    public sealed record State(string Phase, int ClientsActive, bool IsDraining)
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        private State(State old)
        {
            (Phase, ClientsActive, IsDraining) = (old.Phase, old.ClientsActive, old.IsDraining);
            (IsPaused, PausedNs, EndsNs) = (old.IsPaused, old.PausedNs, old.EndsNs);

            // Whoever waits for the end of the old one must not be taken for one who waits for the new one's.
            _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        /// <summary>Nobody sends; the schedule stands still.</summary>
        public bool IsPaused { get; init; }

        /// <summary>How long the load stood still so far: what is due is due that much later.</summary>
        public long PausedNs { get; init; }

        /// <summary>When the phase ends if nothing pauses it; 0 where nobody knows.</summary>
        public long EndsNs { get; init; }

        public Task Ended => _ended.Task;

        internal void End() => _ended.TrySetResult();
    }

    public State Current => _state;

    public void Enter(string phase, int clientsActive, bool isDraining, long endsNs = 0) =>
        Change(old => new(phase, clientsActive, isDraining) { PausedNs = old.PausedNs, EndsNs = endsNs });

    /// <summary>Stops all sending until <see cref="Resume"/>.</summary>
    public void Pause() => Change(old => old with { IsPaused = true });

    /// <param name="pausedNs">How long it stood still this time.</param>
    public void Resume(long pausedNs) => Change(old => old with
    {
        IsPaused = false,
        PausedNs = old.PausedNs + pausedNs,
        EndsNs = old.EndsNs == 0 ? 0 : old.EndsNs + pausedNs,
    });

    public void Change(Func<State, State> change)
    {
        State old;
        lock (_gate)
        {
            old = _state;
            _state = change(old);
        }

        old.End();
    }
}
