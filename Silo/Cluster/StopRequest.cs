using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Fleet.Silo.Cluster;

/// <summary>Turns what ends a process (signals, the end of who started it) into a token, so that it ends in order; and
/// ends it without order where that takes too long.</summary>
/// <remarks>
/// The time is watched by a thread of its own that stands before anything is cancelled: what a cancellation calls may
/// wait for a database that is gone, and a starved pool runs nothing at all. Concurrency: any thread.
/// </remarks>
internal sealed class StopRequest : IDisposable
{
    /// <summary>A process that cannot even exit in order does not exit by itself any more.</summary>
    private static readonly TimeSpan ExitPatience = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _source = new();
    private readonly List<PosixSignalRegistration> _signals;
    private readonly TimeSpan _patience;
    private readonly Action _late;
    private int _isAsked;

    /// <param name="patience">How long the end may take.</param>
    /// <param name="isChild">A terminal sends SIGINT to who started it too, and that one says when to end.</param>
    /// <param name="late">Called when the end took too long; exits.</param>
    public StopRequest(TimeSpan patience, bool isChild, Action late)
    {
        (_patience, _late) = (patience, late);
        _signals =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop),
            PosixSignalRegistration.Create(
                PosixSignal.SIGINT, isChild ? static context => context.Cancel = true : Stop),
        ];
        if (isChild)
        {
            ParentWatch.Start(Ask);
        }
    }

    public CancellationToken Token => _source.Token;

    /// <summary>Asks for the end; once is enough.</summary>
    public void Ask()
    {
        if (Interlocked.Exchange(ref _isAsked, 1) == 0)
        {
            new Thread(EndAtLast) { IsBackground = true, Name = "end at last" }.Start();
            _source.Cancel();
        }
    }

    public void Dispose()
    {
        foreach (var signal in _signals)
        {
            signal.Dispose();
        }

        // The token is not disposed: who started this process may end at any moment, and asks then.
    }

    private void Stop(PosixSignalContext context)
    {
        // The second one ends the process at once.
        context.Cancel = _isAsked == 0;
        Ask();
    }

    private void EndAtLast()
    {
        Thread.Sleep(_patience);
        new Thread(() => _late()) { IsBackground = true, Name = "exit" }.Start();
        Thread.Sleep(ExitPatience);
        using var own = Process.GetCurrentProcess();
        own.Kill();
    }
}
