using System.Diagnostics;
using System.Runtime.InteropServices;
using Fleet.Storage;

namespace Fleet.Client.Faults;

/// <summary>Stops a process of ours where it stands, and lets it go on: what the runtime has no call for.</summary>
/// <remarks>Linux numbers. Only processes that this one started and has not seen the end of are ever signalled: until
/// then their number cannot belong to another.</remarks>
internal static class ProcessSignal
{
    private const int Continue = 18;
    private const int Stop = 19;

    public static void Pause(int pid) => Send(pid, Stop);

    public static void Resume(int pid) => Send(pid, Continue);

    /// <summary>Sends SIGKILL: nothing of the process runs any more.</summary>
    public static void Kill(int pid)
    {
        using var process = Process.GetProcessById(pid);
        process.Kill();
    }

    /// <summary>Sends a signal by its Linux number.</summary>
    /// <returns>False when it was refused: there is no such process, or it is another user's.</returns>
    public static bool TrySend(int pid, int signal) => kill(pid, signal) == 0;

    private static void Send(int pid, int signal)
    {
        if (!TrySend(pid, signal))
            throw new StorageException(
                $"Signal {signal} to process {pid} was refused: error {Marshal.GetLastPInvokeError()}.");
    }

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int kill(int pid, int signal);
}
