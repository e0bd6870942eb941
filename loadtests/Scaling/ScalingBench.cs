using System.Globalization;
using Fleet.LoadTests.Measuring;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.LoadTests.Scaling;

/// <summary>What devices, clients and silos cost, one axis at a time: real silo processes, private
/// PostgreSQL.</summary>
/// <remarks>
/// Everything runs on this machine, so silos, generator and database share its cores: operations per second stop at the
/// machine, processor time of an operation is what carries over. docs/scaling.md is made of it.
/// </remarks>
internal static class ScalingBench
{
    public const string Name = "scaling";

    /// <summary>Figures of a whole run are kept in the repository, those of a quick one are not.</summary>
    private const string Kept = "docs/scaling";
    private const string NotKept = "BenchmarkDotNet.Artifacts/scaling";

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var centre = isQuick ? new ScalingPoint(500, 64, 1) : new ScalingPoint(1000, 256, 1);
        var axes = new (string Name, Func<ScalingPoint, int> SizeOf, ScalingPoint[] Points)[]
        {
            (
                "silos", point => point.Silos,
                [.. Sizes(isQuick, [1, 2], [1, 2, 4]).Select(n => centre with { Silos = n })]),
            (
                "clients", point => point.Clients,
                [.. Sizes(isQuick, [16, 64], [16, 64, 256, 1024, 4096]).Select(n => centre with { Clients = n })]),
            (
                "devices", point => point.Devices,
                [.. Sizes(isQuick, [500, 2000], [1000, 10_000, 100_000]).Select(n => centre with { Devices = n })]),
        };
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

            var run = new ScalingRun(
                server, status, folder.FullName, TimeSpan.FromSeconds(isQuick ? 12 : 30));
            var measured = new Dictionary<ScalingPoint, ScalingResult>();
            var lines = new List<Line>();
            foreach (var (name, sizeOf, points) in axes)
            {
                foreach (var point in points.Where(point => !measured.ContainsKey(point)))
                {
                    measured[point] = await run.MeasureAsync(point, ct);
                    await Console.Error.WriteLineAsync(Told(measured[point]));
                }

                ScottPlotFigure(isQuick, name, [.. points.Select(point => measured[point])], sizeOf);
                lines.AddRange(points.Select(point => LineOf(name, sizeOf(point), measured[point])));
            }

            return lines;
        }
        finally
        {
            await server.DownAsync(CancellationToken.None);
            folder.Delete(recursive: true);
        }
    }

    private static void ScottPlotFigure(
        bool isQuick, string name, IReadOnlyList<ScalingResult> results, Func<ScalingPoint, int> sizeOf) =>
        ScalingFigure.Write(isQuick ? NotKept : Kept, name, results, result => sizeOf(result.Point));

    private static int[] Sizes(bool isQuick, int[] few, int[] all) => isQuick ? few : all;

    private static Line LineOf(string axis, int size, ScalingResult result) => new(
        Name, string.Create(CultureInfo.InvariantCulture, $"{size:N0} {axis}"), result.OperationsPerSecond, "op/s",
        null, null, null, null, null, "", Told(result));

    private static string Told(ScalingResult result) => string.Create(
        CultureInfo.InvariantCulture,
        $"{result.Point.Devices:N0} devices, {result.Point.Clients:N0} clients, {result.Point.Silos} silos: "
        + $"{result.OperationsPerSecond:N0} op/s; CPU of one {result.Cpu:N0} µs = silos {result.SiloCpu:N0} + "
        + $"generator {result.GeneratorCpu:N0} + PostgreSQL {result.DatabaseCpu:N0}; {result.RowsPerOperation:0.00} "
        + $"rows/op, {result.CommitsPerSecond:N0} commits/s; silos {result.SiloBytes >> 20:N0} MiB; built in "
        + $"{result.BuildSeconds:0.0} s; alloc p99 {result.P99Ms:0.0} ms; {result.Verdict}");
}
