using System.Diagnostics;
using System.Globalization;

namespace Fleet.Client.Faults;

/// <summary>Lets a process that this one paused go on when this one ends, however it ends.</summary>
/// <remarks>
/// A process that stands still does not see that its standard input ended: it would stand for ever. A shell waits for
/// that in its place. A signal to go on does nothing to a process that runs, nor to a stranger's of the same number.
/// </remarks>
internal sealed class PauseGuard : IDisposable
{
    /// <summary>A terminal's signals go to the shell too, and are not its business.</summary>
    private const string Script = "trap '' INT HUP TERM; while read -r _; do :; done; kill -CONT \"$1\" 2>/dev/null";

    private readonly Process _shell;

    private PauseGuard(Process shell) => _shell = shell;

    /// <param name="pid">Of a process that is about to be paused.</param>
    public static PauseGuard Start(int pid) => new(Process.Start(new ProcessStartInfo("/bin/sh")
    {
        ArgumentList = { "-c", Script, "fleet-pause", pid.ToString(CultureInfo.InvariantCulture) },
        RedirectStandardInput = true,
    })!);

    public void Dispose()
    {
        _shell.StandardInput.Close();
        _shell.WaitForExit();
        _shell.Dispose();
    }
}
