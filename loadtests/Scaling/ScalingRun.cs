using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Storage;

namespace Fleet.LoadTests.Scaling;

/// <summary>Runs <c>fleet run --store private --silos N</c> as an operator does, and watches its processes.</summary>
/// <remarks>
/// What counts lies between the first and the last line of progress of the steady phase: building, warming up, storing
/// and judging do not. Rows and commits are those of PostgreSQL's own statistics over the same time.
/// </remarks>
/// <param name="settings">Values of scaling.yaml that are others, as <c>--set</c> has them.</param>
internal sealed class ScalingRun(MeasuredDatabase database, TimeSpan steady, params string[] settings)
{
    private const string Steady = "steady";

    /// <summary>Building and taking down 100,000 devices takes minutes; what takes longer is not measured.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(16);

    private readonly Psql _psql = new(database.Status, database.Folder);

    /// <summary>Of the database after the last run, before it was given up.</summary>
    public long DiskBytes { get; private set; }

    /// <remarks>A run in which calls failed (4) counts: building and taking down many devices on a busy machine takes
    /// some of them past their deadline, and its verdict stands beside the figures.</remarks>
    /// <exception cref="InvalidOperationException">The run ended other than valid or unknown, or was too short to be
    /// measured; the message has its last words.</exception>
    public async Task<ScalingResult> MeasureAsync(ScalingPoint point, CancellationToken ct)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(Patience);
        using var fleet = Process.Start(StartOf(point))!;
        await using var end = patience.Token.Register(() => End(fleet));
        var output = fleet.StandardOutput.ReadToEndAsync(ct);
        var words = new StringBuilder();
        Moment? first = null, last = null;
        while (await fleet.StandardError.ReadLineAsync(ct) is { } line)
        {
            words.AppendLine(line);
            if (OperationsOf(line) is { } operations)
            {
                last = await LookAsync(operations, fleet.Id, ct);
                first ??= last;
            }
        }

        await fleet.WaitForExitAsync(ct);
        if (fleet.ExitCode is not (0 or 2 or 3 or 4) || first is null || last!.Operations <= first.Operations)
        {
            throw new InvalidOperationException($"fleet run ended with {fleet.ExitCode}: {words}");
        }

        DiskBytes = database.DiskBytes;
        using var summary = JsonDocument.Parse(await output);
        await RunAsync(["runs", "prune", "--keep", "0", "--store", StoreOf()], ct);
        return ResultOf(point, first, last, summary.RootElement);
    }

    private static ScalingResult ResultOf(ScalingPoint point, Moment first, Moment last, JsonElement summary)
    {
        var operations = (double)(last.Operations - first.Operations);
        var seconds = Stopwatch.GetElapsedTime(first.Timestamp, last.Timestamp).TotalSeconds;
        var alloc = summary.GetProperty("latency").EnumerateArray().Where(
            one => one.GetProperty("metric").GetString() == "response" && one.GetProperty("of").GetString() == "alloc");
        return new(
            point,
            operations / seconds,
            Micro(last.Silos.CpuSeconds - first.Silos.CpuSeconds),
            Micro(last.Generator.CpuSeconds - first.Generator.CpuSeconds),
            Micro(last.Database.CpuSeconds - first.Database.CpuSeconds),
            (last.Rows - first.Rows) / operations,
            (last.Commits - first.Commits) / seconds,
            last.Silos.PrivateBytes,
            summary.GetProperty("seconds").EnumerateObject()
                .Where(part => part.Name.Contains("build", StringComparison.OrdinalIgnoreCase))
                .Sum(part => part.Value.GetDouble()),
            alloc.Select(one => one.GetProperty("p99Ms").GetDouble()).FirstOrDefault(),
            summary.GetProperty("verdict").GetString() ?? "");

        double Micro(double cpuSeconds) => cpuSeconds / operations * 1e6;
    }

    private async Task<Moment> LookAsync(long operations, int fleet, CancellationToken ct)
    {
        var timestamp = Stopwatch.GetTimestamp();
        var silos = ProcessTree.Read(fleet, command => IsSilo(command));
        var generator = ProcessTree.Read(fleet, command => !IsSilo(command));
        var server = ProcessTree.Read(database.Pid, _ => true);
        return new(
            timestamp, operations, silos, generator, server,
            await StatisticAsync("tup_inserted", ct), await StatisticAsync("xact_commit", ct));
    }

    /// <summary>Its silos end with it.</summary>
    private static void End(Process fleet)
    {
        if (!fleet.HasExited)
        {
            fleet.Kill(entireProcessTree: true);
        }
    }

    private Task<long> StatisticAsync(string column, CancellationToken ct) =>
        _psql.NumberAsync($"SELECT {column} FROM pg_stat_database WHERE datname = 'fleet'", ct);

    private static bool IsSilo(string command) => command.Contains("Fleet.Silo", StringComparison.Ordinal);

    private static long? OperationsOf(string line)
    {
        if (!line.StartsWith('{'))
        {
            return null;
        }

        using var parsed = JsonDocument.Parse(line);
        return parsed.RootElement.TryGetProperty("phase", out var phase) && phase.GetString() == Steady
            ? parsed.RootElement.GetProperty("operations").GetInt64()
            : null;
    }

    private ProcessStartInfo StartOf(ScalingPoint point)
    {
        var file = Path.Combine(database.Folder, "scaling.yaml");
        using (var resource = typeof(ScalingRun).Assembly.GetManifestResourceStream("bench.scaling.yaml")!)
        using (var copy = File.Create(file))
        {
            resource.CopyTo(copy);
        }

        return Fleet(
        [
            "run", file, "--store", StoreOf(), "--devices", Text(point.Devices), "--clients", Text(point.Clients),
            "--silos", Text(point.Silos), "--duration", $"{steady.TotalSeconds:0}s", "--json",
            .. settings.SelectMany(setting => new[] { "--set", setting }),
        ]);
    }

    private string StoreOf() => "private:" + Path.GetDirectoryName(database.Status.DataDirectory);

    private ProcessStartInfo Fleet(string[] arguments) => new(
        Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet",
        [Path.Combine(AppContext.BaseDirectory, "fleet.dll"), .. arguments])
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        WorkingDirectory = database.Folder, // The spool lies beside the results.
    };

    private async Task RunAsync(string[] arguments, CancellationToken ct)
    {
        using var process = Process.Start(Fleet(arguments))!;
        var output = process.StandardOutput.ReadToEndAsync(ct);
        var error = await process.StandardError.ReadToEndAsync(ct);
        await process.WaitForExitAsync(ct);
        await output;
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"fleet {arguments[0]} ended with {process.ExitCode}: {error}");
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed record Moment(
        long Timestamp, long Operations, ProcessUse Silos, ProcessUse Generator, ProcessUse Database, long Rows,
        long Commits);
}
