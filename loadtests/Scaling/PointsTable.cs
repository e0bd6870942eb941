using System.Globalization;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Scaling;

/// <summary>The points of an axis as a table, each with what it was measured of: they come from many rounds.</summary>
internal static class PointsTable
{
    private const double Mebi = 1 << 20;

    /// <param name="figures">Folder of the points' files.</param>
    /// <returns>Nothing where the name is no axis or has no file yet; a sentence where its file has no
    /// points.</returns>
    /// <exception cref="FormatException">The file is something else; the message is for users.</exception>
    public static IReadOnlyList<string> Of(string name, string figures)
    {
        var file = Path.Combine(figures, $"{name}.json");
        if (ScalingBench.Axes.FirstOrDefault(one => one.Name == name) is not { } axis || !File.Exists(file))
        {
            return [];
        }

        return axis == ScalingBench.History
            ? Rows(axis, new ScalingAxis<HistoryCost>(file, "").Points)
            : Runs(axis, new ScalingAxis<ScalingResult>(file, "").Points);
    }

    private static List<string> None(Axis axis) =>
        [$"No point is kept: `bench {axis.Name}` writes them to `figures/{axis.Name}.json`."];

    private static List<string> Runs(Axis axis, IReadOnlyList<ScalingAxis<ScalingResult>.Measured> points) =>
        points.Count == 0 ? None(axis) :
    [
        $"| {axis.What} | op/s | CPU-µs/op | silos + generator + PostgreSQL | the model | rows/op | the model "
            + "| MiB of all silos | the model | built in | alloc p99 | verdict | measured |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        .. points.Select(point => Row(point, point.Result)),
    ];

    private static string Row(ScalingAxis<ScalingResult>.Measured point, ScalingResult one) => string.Create(
        CultureInfo.InvariantCulture,
        $"| {point.Size:N0} | {one.OperationsPerSecond:N0} | {one.Cpu:N0} | {one.SiloCpu:N0} + {one.GeneratorCpu:N0} + "
        + $"{one.DatabaseCpu:N0} | {CapacityModel.Cpu(one.Point):N0} | {one.RowsPerOperation:0.00} "
        + $"| {CapacityModel.RowsPerOperation:0.00} | {one.SiloBytes / Mebi:N0} "
        + $"| {CapacityModel.SilosBytes(one.Point) / Mebi:N0} | {one.BuildSeconds:0.0} s | {one.P99Ms:N0} ms "
        + $"| {one.Verdict} | {Of(point.Commit, point.MeasuredAt, point.Cost)} |");

    private static List<string> Rows(Axis axis, IReadOnlyList<ScalingAxis<HistoryCost>.Measured> points) =>
        points.Count == 0 ? None(axis) :
    [
        "| rows | CPU-µs/row | writer | PostgreSQL, storing | sealing | SQL verdict | bytes with indexes "
            + "| verdict after | measured |",
        "|---|---|---|---|---|---|---|---|---|",
        .. points.Select(point => Row(point, point.Result)),
    ];

    private static string Row(ScalingAxis<HistoryCost>.Measured point, HistoryCost one) => string.Create(
        CultureInfo.InvariantCulture,
        $"| {point.Size:N0} | {one.Cpu:0.00} | {one.WriterCpu:0.00} | {one.StoreCpu:0.00} | {one.SealCpu:0.00} "
        + $"| {one.VerdictCpu:0.00} | {one.Bytes:N0} | {one.VerdictSeconds:N0} s "
        + $"| {Of(point.Commit, point.MeasuredAt, point.Cost)} |");

    private static string Of(string commit, DateTimeOffset at, PointCost? cost) => string.Create(
        CultureInfo.InvariantCulture, $"{at:yyyy-MM-dd HH:mm}, {commit[..Math.Min(7, commit.Length)]}")
        + (cost is null ? "" : $"; {cost}");
}
