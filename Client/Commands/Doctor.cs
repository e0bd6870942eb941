using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Fleet.Storage.Server;
using static System.FormattableString;

namespace Fleet.Client.Commands;

internal enum DoctorState
{
    Good,

    /// <summary>It works, with limits that figures will show.</summary>
    Limited,

    /// <summary>What needs it does not work.</summary>
    Missing,
}

/// <param name="Advice">What to do about it; empty where nothing is to be done.</param>
internal sealed record DoctorCheck(string Name, string What, DoctorState State, string Found, string Advice);

/// <param name="Because">What is in the way; empty where nothing is.</param>
internal sealed record DoctorJob(string Job, bool Can, string Because);

internal sealed record DoctorReport(IReadOnlyList<DoctorCheck> Checks, IReadOnlyList<DoctorJob> Jobs)
{
    /// <summary>The default job runs here.</summary>
    public bool CanRun => Jobs[0].Can;
}

/// <summary>Looks at a machine as a run would use it. Writes nothing that stays.</summary>
internal static class Doctor
{
    private const double GiB = 1 << 30;

    /// <summary>What 100,000 bound devices with a load and the online check need.</summary>
    private const double MemoryOf100kBytes = 23 * GiB;

    private const double MemoryMinBytes = 1.5 * GiB;
    private const double DiskMinBytes = 2 * GiB;

    /// <summary>A day at some thousand operations a second, about 50 bytes a record once compressed.</summary>
    private const double DiskOfADayBytes = 40 * GiB;

    private const int OpenFilesMin = 4096;
    private const int TimerProbes = 60;

    private static readonly TimeSpan TimerLateMax = TimeSpan.FromMilliseconds(5);

    public static async Task<DoctorReport> ExamineAsync(string results, CancellationToken ct)
    {
        List<DoctorCheck> checks =
        [
            Runtime(), Cores(), Memory(), Clock(), await TimerAsync(ct), OpenFiles(), Ports(), ResultDirectory(results),
            Disk(results), Postgres(),
        ];
        return new(checks, [.. Jobs(checks.ToDictionary(check => check.Name, StringComparer.Ordinal))]);
    }

    private static IEnumerable<DoctorJob> Jobs(Dictionary<string, DoctorCheck> checks)
    {
        var memory = MemoryBytes();
        yield return Needs("fleet run", "memory", "ports", "results", "disk");
        var silos = Needs("fleet run --silos 2 --store private", "memory", "ports", "disk", "postgres");
        yield return silos;
        yield return new(
            "fleet run fleet-100k", memory >= MemoryOf100kBytes,
            memory >= MemoryOf100kBytes ? "" : Invariant($"it wants 24 GiB, and {memory / GiB:0.0} GiB are there"));
        var disk = DiskFree(checks["disk"]);
        yield return new(
            "fleet run soak-24h", disk >= DiskOfADayBytes,
            disk >= DiskOfADayBytes ? ""
                : Invariant($"it may write {DiskOfADayBytes / GiB:0} GiB, and {disk / GiB:0.0} GiB are free"));

        DoctorJob Needs(string job, params string[] names)
        {
            var missing = names.Select(name => checks[name]).Where(check => check.State is DoctorState.Missing)
                .ToList();
            return new(job, missing.Count == 0, string.Join("; ", missing.Select(one => $"{one.What}: {one.Found}")));
        }
    }

    private static DoctorCheck Runtime() => new(
        "runtime", ".NET", DoctorState.Good,
        $"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription.Split('#')[0].Trim()}, "
        + $"{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}, "
        + (System.Runtime.GCSettings.IsServerGC ? "server" : "workstation") + " garbage collector", "");

    private static DoctorCheck Cores()
    {
        var cores = Environment.ProcessorCount;
        return new(
            "cores", "processor cores", cores >= 2 ? DoctorState.Good : DoctorState.Limited, Invariant($"{cores}"),
            cores >= 4 ? ""
            : cores >= 2 ? "Generators and fleet share them: for figures that count, run generators elsewhere "
                + "(fleet run --join)."
            : "One core runs the fleet and its load in turns: give it two, or lower --rate and --clients.");
    }

    private static DoctorCheck Memory()
    {
        var bytes = MemoryBytes();
        return new(
            "memory", "memory", bytes >= MemoryMinBytes ? DoctorState.Good : DoctorState.Missing,
            Invariant($"{bytes / GiB:0.0} GiB for this process"),
            bytes >= MemoryMinBytes ? "" : "Give at least 1.5 GiB, or run fewer devices: --devices 200.");
    }

    /// <summary>Of the machine, or of the container's limit where that is lower.</summary>
    private static double MemoryBytes() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    private static DoctorCheck Clock()
    {
        const string path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        var source = File.Exists(path) ? File.ReadAllText(path).Trim() : "unknown";
        var smallest = long.MaxValue;
        for (var reading = 0; reading < 10_000; reading++)
        {
            var from = Stopwatch.GetTimestamp();
            var to = Stopwatch.GetTimestamp();
            if (to > from)
                smallest = Math.Min(smallest, to - from);
        }

        var stepNs = smallest * 1e9 / Stopwatch.Frequency;
        var isGood = Stopwatch.IsHighResolution && stepNs < 5_000;
        return new(
            "clock", "monotonic clock", isGood ? DoctorState.Good : DoctorState.Limited,
            Invariant($"source {ForeignText.Clean(source, 40)}, a reading costs {stepNs:0} ns"),
            isGood ? "" : "Choose the source tsc (kernel option clocksource=tsc): slow readings blur short latencies.");
    }

    /// <summary>How late this machine wakes a sleeper: no schedule can be kept better than that.</summary>
    private static async Task<DoctorCheck> TimerAsync(CancellationToken ct)
    {
        var late = new List<double>();
        for (var probe = 0; probe < TimerProbes; probe++)
        {
            var from = Stopwatch.GetTimestamp();
            await Task.Delay(TimeSpan.FromMilliseconds(2), ct);
            late.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds - 2);
        }

        late.Sort();
        var (middle, worst) = (late[late.Count / 2], late[^1]);
        var isGood = worst < TimerLateMax.TotalMilliseconds;
        return new(
            "timer", "timers", isGood ? DoctorState.Good : DoctorState.Limited,
            Invariant($"woken {middle:0.0} ms late as a rule, {worst:0.0} ms at worst"),
            isGood ? ""
                : "Something else uses the cores: schedule lag below this cannot be told from the machine's own.");
    }

    private static DoctorCheck OpenFiles()
    {
        const string path = "/proc/self/limits";
        var line = File.Exists(path)
            ? File.ReadLines(path).FirstOrDefault(one => one.StartsWith("Max open files", StringComparison.Ordinal))
            : null;
        var words = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words is not [_, _, _, var soft, var hard, ..])
            return new("files", "open files", DoctorState.Good, "no limit is known", "");

        var isEnough = soft == "unlimited" || (int.TryParse(soft, out var limit) && limit >= OpenFilesMin);
        return new(
            "files", "open files", isEnough ? DoctorState.Good : DoctorState.Limited, $"limit {soft}, at most {hard}",
            isEnough ? "" : $"Raise it before runs of many silos or generators: ulimit -n {OpenFilesMin}.");
    }

    private static DoctorCheck Ports()
    {
        try
        {
            using var first = new TcpListener(IPAddress.Loopback, 0);
            first.Start();
            using var client = new TcpClient();
            client.Connect((IPEndPoint)first.LocalEndpoint);
            return new("ports", "loopback ports", DoctorState.Good, "free ones open and answer", "");
        }
        catch (SocketException e)
        {
            return new(
                "ports", "loopback ports", DoctorState.Missing, ForeignText.Clean(e.Message),
                "A silo listens on 127.0.0.1: allow it in the sandbox or firewall.");
        }
    }

    private static DoctorCheck ResultDirectory(string results)
    {
        var at = new DirectoryInfo(Path.GetFullPath(results));
        var existing = at;
        while (!existing.Exists && existing.Parent is { } parent)
            existing = parent;
        try
        {
            using var probe = new FileStream(
                Path.Combine(existing.FullName, $".fleet-doctor-{Environment.ProcessId}"), FileMode.CreateNew,
                FileAccess.Write, FileShare.None, 4096, FileOptions.DeleteOnClose);
            return new("results", "result directory", DoctorState.Good, $"{at.FullName} can be written", "");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new(
                "results", "result directory", DoctorState.Missing, ForeignText.Clean(e.Message),
                "Name another one: --results DIR.");
        }
    }

    private static DoctorCheck Disk(string results)
    {
        var free = FreeBytes(results);
        return new(
            "disk", "disk space", free >= DiskMinBytes ? DoctorState.Good : DoctorState.Missing,
            Invariant($"{free / GiB:0.0} GiB free"),
            free >= DiskMinBytes ? ""
                : "Keep 2 GiB free, name another disk with --results, or drop runs: fleet runs prune.");
    }

    private static double FreeBytes(string results)
    {
        var full = Path.GetFullPath(results);
        return DriveInfo.GetDrives()
            .Where(drive => drive.IsReady && full.StartsWith(drive.RootDirectory.FullName, StringComparison.Ordinal))
            .OrderByDescending(drive => drive.RootDirectory.FullName.Length)
            .Select(drive => (double)drive.AvailableFreeSpace)
            .FirstOrDefault(double.PositiveInfinity);
    }

    private static double DiskFree(DoctorCheck disk) =>
        double.TryParse(disk.Found.Split(' ')[0], CultureInfo.InvariantCulture, out var gib) ? gib * GiB : 0;

    private static DoctorCheck Postgres()
    {
        var binaries = PrivateServer.FindBinaries();
        return binaries is null
            ? new(
                "postgres", "PostgreSQL server", DoctorState.Missing,
                "no initdb and pg_ctl in PATH or /usr/lib/postgresql",
                "Only runs with several silos or generators need one: install PostgreSQL 15 or later (apt install "
                + "postgresql), or give --store postgres://USER@HOST/DATABASE.")
            : new("postgres", "PostgreSQL server", DoctorState.Good, $"binaries in {ForeignText.Clean(binaries)}", "");
    }
}
