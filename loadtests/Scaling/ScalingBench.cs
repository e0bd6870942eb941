using System.Globalization;
using Fleet.LoadTests.Measuring;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

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

    /// <summary>An hour and 15 GB of disk: only when it is named.</summary>
    public const string LongHistory = Name + "-history-100m";

    /// <summary>Thrown away: the writer's code is not compiled for the last time before.</summary>
    private const int WarmRows = 500_000;

    /// <summary>Figures of a whole run are kept in the repository, those of a quick one are not.</summary>
    private const string Kept = "docs/figures";
    private const string NotKept = "BenchmarkDotNet.Artifacts/figures";

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct) =>
    [
        .. await SilosAsync(isQuick, ct),
        .. await ClientsAsync(isQuick, ct),
        .. await DevicesAsync(isQuick, ct),
        .. await HistoryAsync(isQuick, ct),
    ];

    public static Task<IReadOnlyList<Line>> DevicesAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Devices, "devices", point => point.Devices, isQuick,
        Sizes(isQuick, [500, 2000], [1000, 10_000, 100_000]), size => Centre(isQuick) with { Devices = size }, ct);

    public static Task<IReadOnlyList<Line>> ClientsAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Clients, "clients", point => point.Clients, isQuick,
        Sizes(isQuick, [16, 64], [16, 64, 256, 1024, 4096]), size => Centre(isQuick) with { Clients = size }, ct);

    public static Task<IReadOnlyList<Line>> SilosAsync(bool isQuick, CancellationToken ct) => RunsAsync(
        Silos, "silos", point => point.Silos, isQuick,
        Sizes(isQuick, [1, 2], [1, 2, 4]), size => Centre(isQuick) with { Silos = size }, ct);

    public static Task<IReadOnlyList<Line>> HistoryAsync(bool isQuick, CancellationToken ct) => RowsAsync(
        History, isQuick, Sizes(isQuick, [100_000, 400_000], [1_000_000, 3_000_000, 10_000_000]), ct);

    public static Task<IReadOnlyList<Line>> LongHistoryAsync(bool isQuick, CancellationToken ct) => RowsAsync(
        LongHistory, isQuick, Sizes(isQuick, [400_000], [100_000_000]), ct);

    private static ScalingPoint Centre(bool isQuick) =>
        isQuick ? new ScalingPoint(500, 64, 1) : new ScalingPoint(1000, 256, 1);

    private static async Task<IReadOnlyList<Line>> RunsAsync(
        string name, string axis, Func<ScalingPoint, int> sizeOf, bool isQuick, int[] sizes,
        Func<int, ScalingPoint> pointOf, CancellationToken ct)
    {
        var results = new List<ScalingResult>();
        await ServedAsync(async (server, status, folder) =>
        {
            var run = new ScalingRun(server, status, folder, TimeSpan.FromSeconds(isQuick ? 12 : 30));
            foreach (var point in sizes.Select(pointOf))
            {
                try
                {
                    results.Add(await run.MeasureAsync(point, ct));
                    await Console.Error.WriteLineAsync(Told(results[^1]));
                }
                catch (InvalidOperationException e)
                {
                    await Console.Error.WriteLineAsync($"{point}: not measured: {e.Message}");
                }
            }
        }, ct);
        Line[] lines = [.. results.Select(result => LineOf(name, axis, sizeOf(result.Point), result))];
        if (results.Count > 0)
        {
            ScalingFigure.Write(FileOf(isQuick, name, "png"), axis, [.. results.Select(one => sizeOf(one.Point))],
            [
                new("Operations per second", "op/s", [new("", Values(one => one.OperationsPerSecond))]),
                new("Processor time of one operation", "µs",
                [
                    new("silos", Values(one => one.SiloCpu)), new("generator", Values(one => one.GeneratorCpu)),
                    new("PostgreSQL", Values(one => one.DatabaseCpu)),
                ]),
            ]);
            await Report.WriteAsync(FileOf(isQuick, name, "json"), lines, isQuick);
        }

        return lines;

        double[] Values(Func<ScalingResult, double> of) => [.. results.Select(of)];
    }

    private static async Task<IReadOnlyList<Line>> RowsAsync(
        string name, bool isQuick, int[] sizes, CancellationToken ct)
    {
        var results = new List<HistoryCost>();
        await ServedAsync(async (server, status, folder) =>
        {
            var history = new HistoryRun(server, status, folder);
            await history.MeasureAsync(WarmRows, ct);
            foreach (var rows in sizes)
            {
                results.Add(await history.MeasureAsync(rows, ct));
                await Console.Error.WriteLineAsync(results[^1].ToString());
            }
        }, ct);
        Line[] lines =
        [
            .. results.Select(one => new Line(
                name, string.Create(CultureInfo.InvariantCulture, $"{one.Rows:N0} rows"), one.Cpu, "CPU-µs/row", null,
                null, null, null, null, "", one.ToString())),
        ];
        ScalingFigure.Write(FileOf(isQuick, name, "png"), "rows", [.. results.Select(one => one.Rows)],
        [
            new("Processor time of one row", "µs",
            [
                new("stored: writer", [.. results.Select(one => one.WriterCpu)]),
                new("stored: PostgreSQL", [.. results.Select(one => one.StoreCpu)]),
                new("sealed", [.. results.Select(one => one.SealCpu)]),
                new("SQL verdict", [.. results.Select(one => one.VerdictCpu)]),
            ]),
        ]);
        await Report.WriteAsync(FileOf(isQuick, name, "json"), lines, isQuick);
        return lines;
    }

    private static async Task ServedAsync(
        Func<PrivateServer, PrivateServerStatus, string, Task> measure, CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-scaling-");
        File.SetUnixFileMode(folder.FullName, (UnixFileMode)0b111_101_101); // The server's own user enters it.
        var server = PrivateServer.In(Path.Combine(folder.FullName, "db"));
        try
        {
            var status = await server.UpAsync(ct);
            await using (await ResultStores.OpenAsync(StoreAddress.Parse(status.Address), ct))
            {
                // Opening brings the tables to this version, outside of what is measured.
            }

            await measure(server, status, folder.FullName);
        }
        finally
        {
            await server.DownAsync(CancellationToken.None);
            folder.Delete(recursive: true);
        }
    }

    private static string FileOf(bool isQuick, string name, string kind) =>
        Path.Combine(isQuick ? NotKept : Kept, $"{name}.{kind}");

    private static int[] Sizes(bool isQuick, int[] few, int[] all) => isQuick ? few : all;

    private static Line LineOf(string name, string axis, int size, ScalingResult result) => new(
        name, string.Create(CultureInfo.InvariantCulture, $"{size:N0} {axis}"), result.Cpu, "CPU-µs/op",
        null, null, null, null, null, "", Told(result));

    private static string Told(ScalingResult result) => string.Create(
        CultureInfo.InvariantCulture,
        $"{result.Point.Devices:N0} devices, {result.Point.Clients:N0} clients, {result.Point.Silos} silos: "
        + $"{result.OperationsPerSecond:N0} op/s; CPU of one {result.Cpu:N0} µs = silos {result.SiloCpu:N0} + "
        + $"generator {result.GeneratorCpu:N0} + PostgreSQL {result.DatabaseCpu:N0}; {result.RowsPerOperation:0.00} "
        + $"rows/op, {result.CommitsPerSecond:N0} commits/s; silos {result.SiloBytes >> 20:N0} MiB; built in "
        + $"{result.BuildSeconds:0.0} s; alloc p99 {result.P99Ms:0.0} ms; {result.Verdict}");
}
