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

    private static void Send(int pid, int signal)
    {
        if (kill(pid, signal) != 0)
            throw new StorageException(
                $"Signal {signal} to process {pid} was refused: error {Marshal.GetLastPInvokeError()}.");
    }

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int kill(int pid, int signal);
}
