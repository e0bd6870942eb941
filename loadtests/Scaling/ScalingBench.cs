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
    /// <summary>All axes; each is a benchmark of its own as well.</summary>
    public const string Name = "scaling";

    public const string Devices = Name + "-devices";
    public const string Clients = Name + "-clients";
    public const string Silos = Name + "-silos";
    public const string History = Name + "-history";

    private const double Mebi = 1 << 20;

    /// <summary>30 million rows: ten minutes, 8 GB of disk.</summary>
    public const string LongerHistory = Name + "-history-30m";

    /// <summary>An hour and 25 GB of disk: only when it is named.</summary>
    public const string LongHistory = Name + "-history-100m";

    /// <summary>Thrown away: the writer's code is not compiled for the last time before.</summary>
    private const int WarmRows = 500_000;

    /// <summary>Room of a row while it is judged: with indexes, log and what is sorted.</summary>
    private const long BytesOfRow = 300;

    /// <summary>Figures of a whole run are kept in the repository, those of a quick one are not.</summary>
    private const string Kept = "docs/figures";
    private const string NotKept = "BenchmarkDotNet.Artifacts/figures";

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        foreach (var axis in (Func<bool, CancellationToken, IAsyncEnumerable<Line>>[])
            [SilosAsync, ClientsAsync, HistoryAsync, DevicesAsync])
        {
            await foreach (var line in axis(isQuick, ct))
            {
                yield return line;
            }
        }
    }

    public static IAsyncEnumerable<Line> DevicesAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Devices, "devices", isQuick, isQuick ? [500, 2000] : [1000, 10_000, 100_000],
        size => Centre(isQuick) with { Devices = size }, ct);

    public static IAsyncEnumerable<Line> ClientsAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Clients, "clients", isQuick, isQuick ? [16, 64] : [16, 64, 256, 1024, 4096],
        size => Centre(isQuick) with { Clients = size }, ct);

    public static IAsyncEnumerable<Line> SilosAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Silos, "silos", isQuick, isQuick ? [1, 2] : [1, 2, 4], size => Centre(isQuick) with { Silos = size }, ct);

    public static IAsyncEnumerable<Line> HistoryAsync(bool isQuick, CancellationToken ct) =>
        RowsAsync(History, isQuick, isQuick ? [100_000, 400_000] : [1_000_000, 3_000_000, 10_000_000], ct);

    public static IAsyncEnumerable<Line> LongerHistoryAsync(bool isQuick, CancellationToken ct) =>
        RowsAsync(LongerHistory, isQuick, [isQuick ? 400_000 : 30_000_000], ct);

    public static IAsyncEnumerable<Line> LongHistoryAsync(bool isQuick, CancellationToken ct) =>
        RowsAsync(LongHistory, isQuick, [isQuick ? 400_000 : 100_000_000], ct);

    private static ScalingPoint Centre(bool isQuick) =>
        isQuick ? new ScalingPoint(500, 64, 1) : new ScalingPoint(1000, 256, 1);

    private static async IAsyncEnumerable<Line> RunsAsync(
        string name, string axis, bool isQuick, int[] sizes, Func<int, ScalingPoint> pointOf,
        [EnumeratorCancellation] CancellationToken ct)
    {
        var measured = new ScalingAxis<ScalingResult>(FileOf(isQuick, name, "json"), BenchFile.Commit);
        await using var database = await MeasuredDatabase.StartAsync(name, ct);
        var run = new ScalingRun(database, TimeSpan.FromSeconds(isQuick ? 8 : 12));
        foreach (var size in measured.InOrder(sizes).ToArray())
        {
            ScalingResult result;
            try
            {
                result = await run.MeasureAsync(pointOf(size), ct);
            }
            catch (InvalidOperationException e)
            {
                await Console.Error.WriteLineAsync($"{pointOf(size)}: not measured: {e.Message}");
                continue;
            }

            measured.Add(size, result);
            Draw(FileOf(isQuick, name, "png"), axis, measured);
            foreach (var line in LinesOf(name, axis, size, result))
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
        string name, bool isQuick, int[] sizes, [EnumeratorCancellation] CancellationToken ct)
    {
        var measured = new ScalingAxis<HistoryCost>(FileOf(isQuick, History, "json"), BenchFile.Commit);
        await using var database = await MeasuredDatabase.StartAsync(name, ct);
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

            var cost = await history.MeasureAsync(rows, ct);
            measured.Add(rows, cost);
            ScalingFigure.Write(
                FileOf(isQuick, History, "png"), "rows", [.. measured.Points.Select(point => point.Size)],
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
                name, string.Create(CultureInfo.InvariantCulture, $"{rows:N0} rows"), cost.Cpu, "CPU-µs/row", null,
                null, null, null, null, "", cost.ToString());
        }

        double[] Values(Func<HistoryCost, double> of) => [.. measured.Points.Select(point => of(point.Result))];
    }

    private static string FileOf(bool isQuick, string name, string kind) =>
        Path.Combine(isQuick ? NotKept : Kept, $"{name}.{kind}");

    /// <summary>What was measured beside what the model says.</summary>
    private static Line[] LinesOf(string name, string axis, int size, ScalingResult result)
    {
        var model = CapacityModel.SilosBytes(result.Point) / Mebi;
        return
        [
            Of("processor time of one", result.Cpu, "CPU-µs/op", CapacityModel.Cpu(result.Point), Told(result)),
            Of("rows of one", result.RowsPerOperation, "rows/op", CapacityModel.RowsPerOperation, ""),
            Of("memory of all silos", result.SiloBytes / Mebi, "MiB", model, ""),
        ];

        Line Of(string what, double figure, string unit, double predicted, string notes) => new(
            name, string.Create(CultureInfo.InvariantCulture, $"{size:N0} {axis}, {what}"), figure, unit,
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
