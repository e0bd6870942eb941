using System.Diagnostics;

namespace Fleet.Client.Faults;

/// <summary>Lets the processes that this one paused go on when this one ends, however it ends.</summary>
/// <remarks>
/// A process that stands still does not see that its standard input ended: it would stand for ever. One shell for all
/// of them waits for that in their place; it is told who stands still before anybody does. A signal to go on does
/// nothing to a process that runs, nor to a stranger's of the same number. Concurrency: any thread.
/// </remarks>
internal sealed class PauseGuard : IDisposable
{
    /// <summary>Each line has everybody who stands still. A terminal's signals go to the shell too, and are not its
    /// business.</summary>
    private const string Script =
        "trap '' INT HUP TERM; while read -r line; do paused=$line; done; kill -CONT $paused 2>/dev/null";

    private readonly Lock _gate = new();
    private readonly HashSet<int> _paused = [];
    private Process? _shell;

    /// <param name="pid">Of a process that is about to be paused.</param>
    public void Add(int pid)
    {
        lock (_gate)
        {
            _paused.Add(pid);
            Tell();
        }
    }

    /// <param name="pid">Of a process that goes on, or has ended; any other changes nothing.</param>
    public void Remove(int pid)
    {
        lock (_gate)
        {
            if (_paused.Remove(pid))
                Tell();
        }
    }

    public void Dispose()
    {
        lock (_gate)
            End();
    }

    private void Tell()
    {
        if (_shell is { HasExited: true })
            End();
        _shell ??= Process.Start(new ProcessStartInfo("/bin/sh")
        {
            ArgumentList = { "-c", Script, "fleet-pause" },
            RedirectStandardInput = true,
        })!;
        _shell.StandardInput.WriteLine(string.Join(' ', _paused));
    }

    private void End()
    {
        _shell?.StandardInput.Close();
        _shell?.WaitForExit();
        _shell?.Dispose();
        _shell = null;
    }
}
