using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using HdrHistogram;

namespace Fleet.Client.Load;

/// <summary>Wakes the clients of an open load when their next operations are due, from a thread of its own.</summary>
/// <remarks>
/// A timer of the runtime counts ticks of the kernel's coarse clock, 4 ms apart on most machines, and then stands in
/// the pool's queue: half of the arrivals came more than 2 ms late. This thread sleeps by the precise clock, wakes up
/// at most once in <see cref="QuantumNs"/>, and hands the clients that are due to the pool. It calls no grain itself:
/// Orleans keeps what a call needs for the thread that had the answer, and takes it from the thread that calls, so a
/// thread that only calls never gets any back, and the others keep theirs for ever. Nothing is released before it is
/// due, and what was intended stays the schedule's: a pacer that comes late shows in every lag. Concurrency: any
/// thread. Source: docs/decisions/0157.
/// </remarks>
public sealed class ArrivalPacer : IDisposable
{
    /// <summary>Between two wake-ups at least: what one of them costs is shared by what became due meanwhile.</summary>
    private const long QuantumNs = 200_000;

    /// <summary>The longest sleep that nobody can end early.</summary>
    private const long SleepNsMax = 500_000;

    /// <summary>What is due later than this is waited for in a way that a nearer arrival ends.</summary>
    private const long NearNs = 3_000_000;

    private const int WaitMsMax = 60_000;

    private readonly object _gate = new();
    private readonly PriorityQueue<PacedWait, long> _waits = new();
    private readonly LoadClock _clock;
    private readonly Thread _thread;
    private readonly LongHistogram _late = LatencyRecorder.Create();
    private LoadClock.State _phase;
    private long _wakesAtNs = long.MinValue;
    private bool _isOver;

    public ArrivalPacer(LoadClock clock)
    {
        _clock = clock;
        _phase = clock.Current;
        clock.Changed += OnChanged;
        _thread = new(Pace) { IsBackground = true, Name = "arrivals" };
        _thread.Start();
    }

    /// <summary>How late the thread came for what was due first at each of its wake-ups, in microseconds; once the load
    /// is over.</summary>
    public HistogramBase Late => _late;

    /// <summary>Completes when an operation is due, or the clock has left the phase, or the pacer is disposed
    /// of.</summary>
    /// <param name="wait">The client's own; one wait at a time.</param>
    /// <param name="phase">In which the operation is due at <paramref name="dueNs"/>.</param>
    public ValueTask WaitAsync(PacedWait wait, long dueNs, LoadClock.State phase)
    {
        lock (_gate)
        {
            // A change of the clock that came before this wait will not end it.
            if (_isOver || !ReferenceEquals(phase, _clock.Current))
                return ValueTask.CompletedTask;

            var task = wait.Begin();
            _waits.Enqueue(wait, dueNs);
            if (dueNs < _wakesAtNs)
                Monitor.Pulse(_gate);
            return task;
        }
    }

    /// <summary>Ends every wait and the thread.</summary>
    public void Dispose()
    {
        _clock.Changed -= OnChanged;
        lock (_gate)
        {
            _isOver = true;
            Monitor.Pulse(_gate);
        }

        _thread.Join();
    }

    private void OnChanged()
    {
        lock (_gate)
            Monitor.Pulse(_gate);
    }

    private void Pace()
    {
        var released = new List<PacedWait>();
        var isOver = false;
        while (!isOver)
        {
            var left = Take(released, out isOver);
            foreach (var wait in released)
                wait.End();
            released.Clear();
            if (!isOver)
                Sleep(Math.Clamp(left, QuantumNs, SleepNsMax));
        }
    }

    /// <summary>Takes what is due; where that is far away, waits until it is near or something changes.</summary>
    /// <returns>Nanoseconds until the next one is due.</returns>
    private long Take(List<PacedWait> released, out bool isOver)
    {
        lock (_gate)
        {
            while (true)
            {
                var (now, phase) = (MonotonicNs.Now, _clock.Current);
                var releasesAll = _isOver || !ReferenceEquals(phase, _phase);
                (_phase, isOver) = (phase, _isOver);
                var dueNs = long.MaxValue;
                while (_waits.TryPeek(out var wait, out dueNs) && (releasesAll || dueNs <= now))
                {
                    if (released.Count == 0 && !releasesAll)
                        _late.RecordValue((now - dueNs) / 1000);
                    released.Add(wait);
                    _waits.Dequeue();
                }

                var left = _waits.Count == 0 ? long.MaxValue : dueNs - now;
                if (released.Count > 0 || isOver || left <= NearNs)
                    return left;

                _wakesAtNs = _waits.Count == 0 ? long.MaxValue : dueNs;
                Monitor.Wait(_gate, left == long.MaxValue ? Timeout.Infinite : WaitMsOf(left - NearNs));
                _wakesAtNs = long.MinValue;
            }
        }
    }

    private static int WaitMsOf(long ns) => (int)Math.Clamp(ns / 1_000_000, 1, WaitMsMax);

    private static void Sleep(long ns)
    {
        if (OperatingSystem.IsWindows())
            Thread.Sleep(1);
        else
            _ = nanosleep(new() { Nanoseconds = (nint)ns }, 0);
    }

    /// <remarks>A signal may end it early: whoever calls looks at the clock again.</remarks>
    [DllImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int nanosleep(in TimeSpec length, nint left);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}

/// <summary>A client's wait for its next arrival, used again for each.</summary>
/// <remarks>Concurrency: one client waits, the pacer ends it; the client goes on in the thread pool.</remarks>
public sealed class PacedWait : IValueTaskSource
{
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };

    internal ValueTask Begin()
    {
        _core.Reset();
        return new(this, _core.Version);
    }

    internal void End() => _core.SetResult(true);

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
