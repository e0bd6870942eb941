using System.Runtime.InteropServices;

namespace Fleet.Silo.Cluster;

/// <summary>Turns the signals that end a process into a token, so that it ends in order.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly PosixSignalRegistration[] _registrations;

    private StopSignals(CancellationTokenSource stop) =>
        _registrations =
        [
            .. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM]).Select(
                signal => PosixSignalRegistration.Create(signal, context =>
                {
                    // The second one ends the process at once.
                    context.Cancel = !stop.IsCancellationRequested;
                    stop.Cancel();
                })),
        ];

    public static StopSignals On(CancellationTokenSource stop) => new(stop);

    public void Dispose()
    {
        foreach (var registration in _registrations)
        {
            registration.Dispose();
        }
    }
}
