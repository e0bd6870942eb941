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

/// <summary>Tells every client which phase it is in, and the load its own time; a change wakes who waits.</summary>
/// <remarks>
/// The load's time runs from the begin of the first phase. A pause stops it, an order may make it slower or faster: a
/// schedule is a function of this time, so what was due comes as much later or earlier, and nothing is left out.
/// </remarks>
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
            (IsPaused, WallNs, LoadNs) = (old.IsPaused, old.WallNs, old.LoadNs);
            (Speed, EndsAfterNs, SendsUntilNs) = (old.Speed, old.EndsAfterNs, old.SendsUntilNs);

            // Whoever waits for the end of the old one must not be taken for one who waits for the new one's.
            _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        /// <summary>Nobody sends; the schedule stands still.</summary>
        public bool IsPaused { get; init; }

        /// <summary>How fast the load's time goes while it is not paused.</summary>
        public double Speed { get; init; } = 1;

        /// <summary>Load time at which the phase ends; 0 where nobody knows.</summary>
        public long EndsAfterNs { get; init; }

        /// <summary>While it drains: what was due before this time of the load is sent all the same, if it was due only
        /// just before; 0 for nothing.</summary>
        public long SendsUntilNs { get; init; }

        /// <summary>When the phase ends if nothing changes; 0 where nobody knows.</summary>
        public long EndsNs => EndsAfterNs == 0 ? 0 : WallOf(EndsAfterNs);

        public Task Ended => _ended.Task;

        /// <summary>An instant, and the load's time at it.</summary>
        internal long WallNs { get; init; }

        internal long LoadNs { get; init; }

        /// <summary>The load's time at an instant.</summary>
        public long LoadAt(long wallNs) => IsPaused ? LoadNs
            : Speed == 1 ? LoadNs + (wallNs - WallNs)
            : LoadNs + (long)((wallNs - WallNs) * Speed);

        /// <summary>The instant of a time of the load.</summary>
        public long WallOf(long loadNs) =>
            Speed == 1 ? WallNs + (loadNs - LoadNs) : WallNs + (long)((loadNs - LoadNs) / Speed);

        internal void End() => _ended.TrySetResult();
    }

    /// <summary>The state is another one now.</summary>
    public event Action? Changed;

    public State Current => _state;

    /// <summary>The load's time, now.</summary>
    public TimeSpan Elapsed => TimeSpan.FromMicroseconds(_state.LoadAt(MonotonicNs.Now) / 1000);

    /// <summary>Starts the load's time, where an earlier process left it or at zero.</summary>
    public void Begin(TimeSpan elapsed) =>
        Change(old => old with { WallNs = MonotonicNs.Now, LoadNs = elapsed.Ticks * 100 });

    /// <param name="endsAfterNs">Load time at which the phase ends.</param>
    public void Enter(string phase, int clientsActive, long endsAfterNs) =>
        Change(old => old with { Phase = phase, ClientsActive = clientsActive, EndsAfterNs = endsAfterNs });

    /// <summary>Ends the phases: everybody frees what he holds.</summary>
    /// <param name="sendsUntilNs">Load time at which the last one ended; 0 where it was ended early.</param>
    public void Drain(string phase, long sendsUntilNs) => Change(old => old with
    {
        Phase = phase,
        ClientsActive = 0,
        IsDraining = true,
        EndsAfterNs = 0,
        SendsUntilNs = sendsUntilNs,
    });

    /// <summary>Stops all sending until <see cref="Resume"/>.</summary>
    public void Pause() => Change(old => Rebased(old) with { IsPaused = true });

    /// <summary>Goes on where it stopped.</summary>
    public void Resume() => Change(old => Rebased(old) with { IsPaused = false });

    /// <summary>Lets the load's time go faster or slower from now on.</summary>
    public void SetSpeed(double speed) => Change(old => Rebased(old) with { Speed = speed });

    public void Change(Func<State, State> change)
    {
        State old;
        lock (_gate)
        {
            old = _state;
            _state = change(old);
        }

        old.End();
        Changed?.Invoke();
    }

    private static State Rebased(State old)
    {
        var now = MonotonicNs.Now;
        return old with { LoadNs = old.LoadAt(now), WallNs = now };
    }
}
