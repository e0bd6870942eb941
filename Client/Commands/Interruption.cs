using System.Runtime.InteropServices;

namespace Fleet.Client.Commands;

/// <summary>SIGINT and SIGTERM of a command that has something to bring to its end: the first one asks for that, a
/// second one ends the process.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly Action _onFirst;
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;

    public Interruption(CancellationToken ct, Action onFirst)
    {
        _source = CancellationTokenSource.CreateLinkedTokenSource(ct);
        _onFirst = onFirst;
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
    }

    public CancellationToken Token => _source.Token;

    public bool IsRequested => _source.IsCancellationRequested;

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _source.Dispose();
    }

    private void Interrupt(PosixSignalContext context)
    {
        if (IsRequested)
            return;

        context.Cancel = true;
        _onFirst();
        _source.Cancel();
    }
}
