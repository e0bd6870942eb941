using System.Globalization;
using Fleet.Client.Faults;

namespace Fleet.Client.Cluster;

/// <summary>A process by its number and the moment at which it began: a number alone may belong to another by
/// now.</summary>
/// <param name="Started">The machine's boot and ticks since it, as the kernel counts them.</param>
public sealed record ProcessMark(int Pid, string Started)
{
    private const string BootId = "/proc/sys/kernel/random/boot_id";

    /// <summary>Place of the start time behind the command's name in /proc/PID/stat; the state is place 0.</summary>
    private const int StartPlace = 19;

    private const int SigTerm = 15;
    private const int SigKill = 9;

    /// <summary>It runs, and it is the one that was meant.</summary>
    public bool IsAlive => StartOf(Pid) == Started;

    /// <returns>Null when there is no such process any more.</returns>
    public static ProcessMark? Of(int pid) => StartOf(pid) is { } started ? new(pid, started) : null;

    /// <summary>Asks it to end in order; does nothing when it is gone.</summary>
    public void Terminate() => Signal(SigTerm);

    public void Kill() => Signal(SigKill);

    private void Signal(int signal)
    {
        if (IsAlive)
        {
            _ = ProcessSignal.TrySend(Pid, signal); // What ended in between has ended.
        }
    }

    private static string? StartOf(int pid)
    {
        try
        {
            var stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : $"{File.ReadAllText(BootId).Trim()}/{fields[StartPlace]}";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
