using System.Diagnostics;

namespace Fleet.Mutation;

/// <summary>Ends a worker that spends too much processor time on one mutant, or none at all for long.</summary>
internal sealed class Watch : IDisposable
{
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Process _worker;
    private readonly TimeSpan _cpuMax;
    private readonly TimeSpan _idleMax;
    private readonly Timer _timer;
    private TimeSpan _cpuAtStart;
    private TimeSpan _cpuSeen;
    private long _seenAt = Stopwatch.GetTimestamp();

    public Watch(Process worker, TimeSpan cpuMax, TimeSpan idleMax)
    {
        _worker = worker;
        _cpuMax = cpuMax;
        _idleMax = idleMax;
        _timer = new(_ => Look(), null, Pace, Pace);
    }

    /// <summary>It was this that ended the worker.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Begins to count anew.</summary>
    public void Again()
    {
        lock (_lock)
        {
            if (!_worker.HasExited)
            {
                _cpuAtStart = _worker.TotalProcessorTime;
            }
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        lock (_lock)
        {
            if (_worker.HasExited)
            {
                return;
            }

            _worker.Refresh();
            var cpu = _worker.TotalProcessorTime;
            if (cpu - _cpuSeen > TimeSpan.FromMilliseconds(20))
            {
                (_cpuSeen, _seenAt) = (cpu, Stopwatch.GetTimestamp());
            }

            if (cpu - _cpuAtStart > _cpuMax || Stopwatch.GetElapsedTime(_seenAt) > _idleMax)
            {
                HasEnded = true;
                _worker.Kill();
            }
        }
    }
}
