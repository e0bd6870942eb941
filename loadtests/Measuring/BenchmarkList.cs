using Fleet.LoadTests.Checking;
using Fleet.LoadTests.Cold;
using Fleet.LoadTests.Exploration;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Law;
using Fleet.LoadTests.Load;
using Fleet.LoadTests.Recovery;
using Fleet.LoadTests.Scaling;
using Fleet.LoadTests.Simulating;
using Fleet.LoadTests.Startup;
using Fleet.LoadTests.Storage;

namespace Fleet.LoadTests.Measuring;

/// <summary>Every benchmark, the most important first, with its bounds in seconds of wall time.</summary>
/// <remarks>
/// Whole bounds are what a busy machine may take. Quick ones are those of a quiet machine and add up to no more than
/// <see cref="QuickCourseMax"/> where none is named; naming one gives it <see cref="NamedTimes"/> as much.
/// </remarks>
internal static class BenchmarkList
{
    /// <summary>Of quick forms of everything that runs unasked, together.</summary>
    public static readonly TimeSpan QuickCourseMax = TimeSpan.FromSeconds(180);

    /// <summary>A quick benchmark that is asked for has nobody behind it that waits.</summary>
    public const int NamedTimes = 5;

    public static IReadOnlyList<Benchmark> All { get; } =
    [
        Of(HotPathBench.Name, "operations beside bare calls: one process, over TCP, stored", 52, 900,
            HotPathBench.RunAsync),
        Of(RecordingBench.Name, "what a generator does for an operation besides calling", 8, 120,
            Benchmark.AtOnce(RecordingBench.RunAsync)),
        Of(StartupBench.Name, "fleet --help and an embedded silo; whole: also published with ReadyToRun", 9, 180,
            StartupBench.RunAsync) with
        {
            Prepare = StartupBench.PrepareAsync,
            PrepareMax = TimeSpan.FromMinutes(10),
        },
        Of(ColdBench.Name, "activation, bind, memory and unbind beside empty grains", 10, 300,
            Benchmark.AtOnce(ColdBench.RunAsync)) with { IsAlone = true },
        Of(MemoryBench.Name, "bytes of a bound idle device, 100,000 of them", 10, 240,
            Benchmark.AtOnce(MemoryBench.RunAsync)) with { IsAlone = true },
        Of(StorageBench.Name, "PostgreSQL: COPY beside psql's, transitions, room, SQL verdict; DuckDB", 28, 480,
            StorageBench.RunAsync),
        Of(LawBench.Name, "the law's primitives beside the plainest thing that does the same", 8, 240,
            Benchmark.AtOnce(LawBench.RunAsync)),
        Of(CheckerBench.Name, "judging: offline, a file, a trace, online", 12, 240, CheckerBench.RunAsync),
        Of(SimulateBench.Name, "virtual seconds in one of a processor", 7, 240, SimulateBench.RunAsync),
        Of(ExploreBench.Name, "schedules of small worlds; whole: the matrix and shrinking", 8, 360,
            ExploreBench.RunAsync),
        Of(LivesBench.Name, "what is held once a life or an operation is over", 10, 300, LivesBench.RunAsync) with
        {
            IsAlone = true,
        },
        Of(LoadBench.Name, "a generator alone, and whole runs by fleet run", 15, 360, LoadBench.RunAsync),
        Asked(CheckerBench.MemoryName, "peak memory over 100 million records", 20, 300,
            Benchmark.AtOnce(CheckerBench.MemoryAsync)) with { IsAlone = true },
        Asked(HotPathParts.Name, "what the parts of an operation cost beside a bare call", 40, 120,
            Benchmark.AtOnce(HotPathParts.RunAsync)),
        Asked(HotPathDevices.Name, "the hot path of 4 to 10,000 devices: how cold devices are", 40, 240,
            HotPathDevices.RunAsync),
        Asked(DrainBench.Name, "a full spool stored in DuckDB: CPU of an operation", 20, 180,
            Benchmark.AtOnce(DrainBench.RunAsync)),
        .. HotPathBench.Places.Select(place => Asked(
            place.Name, $"one place of hotpath: {place.What}", 52, 300,
            (isQuick, ct) => HotPathBench.PlaceAsync(place, isQuick, ct))),
        Asked(SettingsBench.Name, "GC, tiering and spinning of the runtime beside its defaults", 120, 720,
            SettingsBench.RunAsync),
        Asked(PlacementBench.Name, "a device's grains on one silo or on any, two silos", 120, 420,
            PlacementBench.RunAsync),
        Asked(RecoveryBench.Name, "a silo is killed: time to the first operations", 300, 600,
            Benchmark.AtOnce(RecoveryBench.RunAsync)),
        Asked(SimulatedScaling.Name, "1,000 hosts of 1,000 devices on virtual clusters", 60, 3600,
            SimulatedScaling.RunAsync),
        Asked(ScalingBench.Name, "every axis below, point by point", 240, 7200, ScalingBench.RunAsync),
        .. ScalingBench.Axes.Select(axis => Asked(
            axis.Name, $"all points over {axis.What}", 240, axis.Points.Sum(point => point.BoundSeconds),
            (isQuick, ct) => ScalingBench.AxisAsync(axis, null, isQuick, ct))),
        .. ScalingBench.Axes.SelectMany(axis => axis.Points, (axis, point) => Asked(
            axis.NameOf(point), $"one point: {point.Size:N0} {axis.What}; {point.Needs}", 120, point.BoundSeconds,
            (isQuick, ct) => ScalingBench.AxisAsync(axis, point, isQuick, ct))),
    ];

    /// <summary>Those of a round where none is named.</summary>
    public static IEnumerable<Benchmark> Unasked => All.Where(one => one.IsUnasked);

    /// <summary>By name, in the list's order.</summary>
    /// <exception cref="ArgumentException">There is none of a name; the message is for users.</exception>
    public static IReadOnlyList<Benchmark> Named(IReadOnlyList<string> names) =>
        names.FirstOrDefault(name => All.All(one => one.Name != name)) is { } unknown
            ? throw new ArgumentException(
                $"there is no benchmark '{unknown}'; accepted: {string.Join(", ", All.Select(one => one.Name))}.")
            : [.. All.Where(one => names.Contains(one.Name))];

    private static Benchmark Asked(
        string name, string measures, int quickSeconds, int seconds,
        Func<bool, CancellationToken, IAsyncEnumerable<Line>> run) =>
        Of(name, measures, quickSeconds, seconds, run) with { IsUnasked = false };

    private static Benchmark Of(
        string name, string measures, int quickSeconds, int seconds,
        Func<bool, CancellationToken, IAsyncEnumerable<Line>> run) =>
        new(name, measures, TimeSpan.FromSeconds(quickSeconds), TimeSpan.FromSeconds(seconds), run);
}
