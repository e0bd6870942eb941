using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Fleet.Kernel.History;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;
using Fleet.Silo;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.Startup;

/// <summary>What a process of its own found out about itself.</summary>
/// <param name="ReadySeconds">From the start of the process until its silo served; 0 where it has none.</param>
/// <param name="ReadyCpuSeconds">Processor time by then.</param>
internal sealed record ChildResult(
    double ReadySeconds, double ReadyCpuSeconds, long Operations, double CpuSeconds, double WallSeconds,
    double PauseSeconds, long WorkingSet);

/// <summary>Measurements that need a process of their own, since a setting is taken when a process starts.</summary>
internal static class Child
{
    public const string Verb = "child";

    /// <summary>Does nothing: the floor of every start.</summary>
    public const string Nothing = "nothing";

    public const string Silo = "silo";
    public const string HotPath = "hotpath";

    private const int Clients = 64;

    /// <summary>So many times as long as is measured: what is not warm by then is measured as it is.</summary>
    private const double WarmTimesMax = 7;

    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(0.5);

    /// <summary>The measured side: prints one line of JSON.</summary>
    public static async Task<int> RunAsync(string what, double seconds)
    {
        var result = what switch
        {
            Silo => await SiloAsync(),
            HotPath => await HotPathAsync(seconds),
            _ => throw new ArgumentException($"There is no child \"{what}\".", nameof(what)),
        };
        Console.WriteLine(JsonSerializer.Serialize(result));
        return 0;
    }

    /// <summary>The measuring side: starts this program, or another directory's copy of it.</summary>
    /// <param name="directory">Where the program lies.</param>
    public static async Task<(ChildResult? Result, double WallSeconds, double CpuSeconds)> StartAsync(
        string directory, string program, string[] arguments, IReadOnlyDictionary<string, string> environment,
        CancellationToken ct)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(directory, program), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        var cpu = ProcessTimes.OfReapedChildren();
        var wall = Stopwatch.GetTimestamp();
        using var child = Process.Start(start)!;
        await using var end = ct.Register(() => child.Kill(entireProcessTree: true));
        var error = child.StandardError.ReadToEndAsync(ct);
        var output = await child.StandardOutput.ReadToEndAsync(ct);
        await child.WaitForExitAsync(ct);
        var seconds = Stopwatch.GetElapsedTime(wall).TotalSeconds;
        if (child.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} ended with {child.ExitCode}: {await error}");
        }

        var json = output.Split('\n').LastOrDefault(line => line.StartsWith('{'));
        return (
            json is null ? null : JsonSerializer.Deserialize<ChildResult>(json), seconds,
            ProcessTimes.OfReapedChildren() - cpu);
    }

    private static async Task<ChildResult> SiloAsync()
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-start-");
        try
        {
            var objects = new ObjectTable();
            var clock = SpoolOptions.MonotonicClock();
            using var spool = SpoolWriter.Create(
                new SpoolOptions(Path.Combine(folder.FullName, "spool"), "start", 1, "bench", clock), objects);
            await using var fleet = await EmbeddedFleet.StartAsync(
                new EmbeddedFleetOptions { Run = "start", Objects = objects, Log = new SpoolLog(spool) },
                CancellationToken.None);
            return Ready();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<ChildResult> HotPathAsync(double cpuSeconds)
    {
        await using var fleet = await MeasuredFleet.StartAsync(2, 100, Recording.Spooled, CancellationToken.None);
        var ready = Ready();
        var load = new HotPathLoad(fleet, Clients);
        await WarmUpAsync(fleet, load, cpuSeconds);
        GC.Collect();
        var pause = GC.GetTotalPauseDuration();
        var cpu = Environment.CpuUsage.TotalTime;
        var wall = Stopwatch.GetTimestamp();
        var operations = await SpendAsync(fleet, load, cpuSeconds);
        return ready with
        {
            Operations = operations,
            CpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds,
            WallSeconds = Stopwatch.GetElapsedTime(wall).TotalSeconds,
            PauseSeconds = (GC.GetTotalPauseDuration() - pause).TotalSeconds,
            WorkingSet = Environment.WorkingSet,
        };
    }

    /// <summary>Until the compiler has little left to do: code of the first tiers costs three times what it does in the
    /// end.</summary>
    private static async Task WarmUpAsync(MeasuredFleet fleet, HotPathLoad load, double cpuSeconds)
    {
        var cpu = Environment.CpuUsage.TotalTime;
        var isWarm = false;
        while (!isWarm && (Environment.CpuUsage.TotalTime - cpu).TotalSeconds < WarmTimesMax * cpuSeconds)
        {
            var compiling = Compiling.Start();
            await SpendAsync(fleet, load, cpuSeconds);
            isWarm = compiling.IsLittle;
        }
    }

    /// <summary>As long as it takes to have used so much processor time: a busy machine measures as much.</summary>
    private static async Task<long> SpendAsync(MeasuredFleet fleet, HotPathLoad load, double cpuSeconds)
    {
        var operations = 0L;
        for (var cpu = Environment.CpuUsage.TotalTime;
            (Environment.CpuUsage.TotalTime - cpu).TotalSeconds < cpuSeconds;)
        {
            var done = await load.RecordedAsync(Slice);
            operations += done;
            fleet.Empty();
        }

        return operations;
    }

    private static ChildResult Ready()
    {
        using var self = Process.GetCurrentProcess();
        return new(
            (DateTime.Now - self.StartTime).TotalSeconds, Environment.CpuUsage.TotalTime.TotalSeconds, 0, 0, 0, 0,
            Environment.WorkingSet);
    }
}

/// <summary>Processor time of processes that this one started and that are gone, and of the machine.</summary>
/// <remarks>Source: proc(5), both stat; in steps of 10 ms, so a round of several starts is measured at once.</remarks>
internal static class ProcessTimes
{
    private const double TicksPerSecond = 100;
    private const int ChildrensUserTime = 13;

    /// <summary>Of "cpu": user, nice, system, idle, iowait, irq, softirq.</summary>
    private static readonly int[] Busy = [1, 2, 3, 6, 7];

    /// <summary>Of everything that runs on this machine, since it was started.</summary>
    public static double OfMachine()
    {
        var fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return Busy.Sum(at => double.Parse(fields[at], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    public static double OfReapedChildren()
    {
        var text = File.ReadAllText("/proc/self/stat");
        var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
        return fields[ChildrensUserTime..(ChildrensUserTime + 2)]
            .Sum(field => double.Parse(field, CultureInfo.InvariantCulture)) / TicksPerSecond;
    }
}
