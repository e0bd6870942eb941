using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Scaling;

/// <summary>What devices, clients, silos and rows cost, one axis at a time: real silo processes, private
/// PostgreSQL.</summary>
/// <remarks>
/// Everything runs on this machine, so silos, generator and database share its cores: operations per second stop at the
/// machine, processor time of an operation is what carries over. docs/scaling.md is made of it.
/// </remarks>
internal static class ScalingBench
{
    /// <summary>All axes; each is a benchmark of its own as well, and so is each point.</summary>
    public const string Name = "scaling";

    public static readonly Axis Silos = new(
        Name + "-silos", "silos",
        [new(1, 120, "50 s"), new(2, 120, "50 s"), new(4, 120, "50 s")], [1, 2]);

    public static readonly Axis Clients = new(
        Name + "-clients", "clients",
        [new(16, 120, "40 s"), new(64, 120, "40 s"), new(256, 120, "40 s"), new(1024, 120, "40 s"),
            new(4096, 150, "50 s")],
        [16, 64]);

    public static readonly Axis Devices = new(
        Name + "-devices", "devices",
        [new(1000, 120, "45 s"), new(10_000, 240, "a minute or two"),
            new(100_000, 960, "some minutes, 4 GB of memory")],
        [500, 2000]);

    public static readonly Axis History = new(
        Name + "-history", "rows",
        [new(1_000_000, 60, "10 s"), new(3_000_000, 90, "25 s"), new(10_000_000, 300, "a minute, 2 GB of disk"),
            new(30_000_000, 1200, "four minutes, 5 GB of disk"),
            new(100_000_000, 7200, "a quarter of an hour, 13 GB of disk")],
        [100_000, 400_000]);

    /// <summary>Every axis, the one that tells most first.</summary>
    public static readonly IReadOnlyList<Axis> Axes = [Devices, Clients, Silos, History];

    private const double Mebi = 1 << 20;

    /// <summary>Thrown away: the writer's code is not compiled for the last time before.</summary>
    private const int WarmRows = 500_000;

    /// <summary>Room of a row while it is judged: with indexes, log and what is sorted.</summary>
    private const long BytesOfRow = 300;

    /// <summary>Figures of a whole run are kept in the repository, those of a quick one are not.</summary>
    private const string Kept = "docs/figures";
    private const string NotKept = "BenchmarkDotNet.Artifacts/figures";

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var axis in Axes)
        {
            await foreach (var line in AxisAsync(axis, null, isQuick, ct))
            {
                yield return line;
            }
        }
    }

    /// <param name="point">The only one to measure; null for all. A quick form has points of its own.</param>
    public static IAsyncEnumerable<Line> AxisAsync(Axis axis, AxisPoint? point, bool isQuick, CancellationToken ct)
    {
        IReadOnlyList<int> sizes = isQuick ? axis.Quick
            : point is null ? [.. axis.Points.Select(one => one.Size)] : [point.Size];
        return axis == History ? RowsAsync(isQuick, sizes, ct) : RunsAsync(axis, isQuick, sizes, ct);
    }

    private static ScalingPoint PointOf(Axis axis, int size, bool isQuick)
    {
        var centre = Centre(isQuick);
        return axis == Devices ? centre with { Devices = size }
            : axis == Clients ? centre with { Clients = size } : centre with { Silos = size };
    }

    private static ScalingPoint Centre(bool isQuick) =>
        isQuick ? new ScalingPoint(500, 64, 1) : new ScalingPoint(1000, 256, 1);

    private static async IAsyncEnumerable<Line> RunsAsync(
        Axis axis, bool isQuick, IReadOnlyList<int> sizes, [EnumeratorCancellation] CancellationToken ct)
    {
        var measured = new ScalingAxis<ScalingResult>(FileOf(isQuick, axis.Name, "json"), BenchFile.Commit);
        await using var database = await MeasuredDatabase.StartAsync(axis.Name, ct);
        var run = new ScalingRun(database, TimeSpan.FromSeconds(isQuick ? 8 : 12));
        foreach (var size in measured.InOrder(sizes).ToArray())
        {
            ScalingResult result;
            var (began, point) = (Look.Now(), PointOf(axis, size, isQuick));
            try
            {
                result = await run.MeasureAsync(point, ct);
            }
            catch (InvalidOperationException e)
            {
                await Console.Error.WriteLineAsync($"{point}: not measured: {e.Message}");
                continue;
            }

            var cost = PointCost.Since(began, run.DiskBytes);
            measured.Add(size, result, cost);
            Draw(FileOf(isQuick, axis.Name, "png"), axis.What, measured);
            foreach (var line in LinesOf(axis, size, result, cost))
            {
                yield return line;
            }
        }
    }

    private static void Draw(string file, string axis, ScalingAxis<ScalingResult> measured)
    {
        ScalingFigure.Write(file, axis, [.. measured.Points.Select(point => point.Size)],
        [
            new("Operations per second", "op/s", [new("", Values(one => one.OperationsPerSecond))]),
            new("Processor time of one operation", "µs",
            [
                new("silos", Values(one => one.SiloCpu)), new("generator", Values(one => one.GeneratorCpu)),
                new("PostgreSQL", Values(one => one.DatabaseCpu)),
                new("all", Values(one => one.Cpu)),
                new("all, by the model", Values(one => CapacityModel.Cpu(one.Point))),
            ]),
            new("Memory of all silos", "MiB",
            [
                new("measured", Values(one => one.SiloBytes / Mebi)),
                new("by the model", Values(one => CapacityModel.SilosBytes(one.Point) / Mebi)),
            ]),
        ]);

        double[] Values(Func<ScalingResult, double> of) => [.. measured.Points.Select(point => of(point.Result))];
    }

    private static async IAsyncEnumerable<Line> RowsAsync(
        bool isQuick, IReadOnlyList<int> sizes, [EnumeratorCancellation] CancellationToken ct)
    {
        var measured = new ScalingAxis<HistoryCost>(FileOf(isQuick, History.Name, "json"), BenchFile.Commit);
        await using var database = await MeasuredDatabase.StartAsync(History.Name, ct);
        var history = new HistoryRun(database);
        await history.MeasureAsync(isQuick ? sizes[0] : WarmRows, ct);
        foreach (var rows in measured.InOrder(sizes).ToArray())
        {
            var room = new DriveInfo(database.Folder).AvailableFreeSpace;
            if (rows * BytesOfRow > room)
            {
                await Console.Error.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{rows:N0} rows: not measured: they may need {rows * BytesOfRow >> 30} GiB below "
                    + $"{database.Folder}, {room >> 30} GiB are free."));
                continue;
            }

            var began = Look.Now();
            var cost = await history.MeasureAsync(rows, ct);
            measured.Add(rows, cost, PointCost.Since(began, cost.DiskBytes));
            ScalingFigure.Write(
                FileOf(isQuick, History.Name, "png"), "rows", [.. measured.Points.Select(point => point.Size)],
                [
                    new("Processor time of one row", "µs",
                    [
                        new("stored: writer", Values(one => one.WriterCpu)),
                        new("stored: PostgreSQL", Values(one => one.StoreCpu)),
                        new("sealed", Values(one => one.SealCpu)),
                        new("SQL verdict", Values(one => one.VerdictCpu)),
                    ]),
                    new("Time until the verdict, for a million rows", "s",
                    [
                        new("", Values(one => one.VerdictSeconds / one.Rows * 1e6)),
                    ]),
                ]);
            yield return new Line(
                History.Name, string.Create(CultureInfo.InvariantCulture, $"{rows:N0} rows"), cost.Cpu, "CPU-µs/row",
                null,
                null, null, null, null, "", cost.ToString());
        }

        double[] Values(Func<HistoryCost, double> of) => [.. measured.Points.Select(point => of(point.Result))];
    }

    public static string FileOf(bool isQuick, string name, string kind) =>
        Path.Combine(isQuick ? NotKept : Kept, $"{name}.{kind}");

    /// <summary>What was measured beside what the model says.</summary>
    private static Line[] LinesOf(Axis axis, int size, ScalingResult result, PointCost cost)
    {
        var model = CapacityModel.SilosBytes(result.Point) / Mebi;
        return
        [
            Of("processor time of one", result.Cpu, "CPU-µs/op", CapacityModel.Cpu(result.Point),
                $"{Told(result)}; {cost}"),
            Of("rows of one", result.RowsPerOperation, "rows/op", CapacityModel.RowsPerOperation, ""),
            Of("memory of all silos", result.SiloBytes / Mebi, "MiB", model, ""),
        ];

        Line Of(string what, double figure, string unit, double predicted, string notes) => new(
            axis.Name, string.Create(CultureInfo.InvariantCulture, $"{size:N0} {axis.What}, {what}"), figure, unit,
            CapacityModel.Name, predicted, figure / predicted, null, null, "", notes);
    }

    private static string Told(ScalingResult result) => string.Create(
        CultureInfo.InvariantCulture,
        $"{result.Point.Devices:N0} devices, {result.Point.Clients:N0} clients, {result.Point.Silos} silos: "
        + $"{result.OperationsPerSecond:N0} op/s; CPU of one {result.Cpu:N0} µs = silos {result.SiloCpu:N0} + "
        + $"generator {result.GeneratorCpu:N0} + PostgreSQL {result.DatabaseCpu:N0}; {result.RowsPerOperation:0.00} "
        + $"rows/op, {result.CommitsPerSecond:N0} commits/s; silos {result.SiloBytes >> 20:N0} MiB; built in "
        + $"{result.BuildSeconds:0.0} s; alloc p99 {result.P99Ms:0.0} ms; {result.Verdict}");
}
