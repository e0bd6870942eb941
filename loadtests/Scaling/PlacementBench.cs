using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Scaling;

/// <summary>A device's grains on one silo against grains anywhere: two silos, many unbinds, in turns.</summary>
internal static class PlacementBench
{
    public const string Name = "placement";

    /// <summary>A bind and an unbind are what crosses silos.</summary>
    private const string Unbinds = "load.operations.unbind=5";

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var (rounds, steady) = (isQuick ? 1 : 3, TimeSpan.FromSeconds(isQuick ? 8 : 15));
        var point = new ScalingPoint(500, 64, 2);
        await using var database = await MeasuredDatabase.StartAsync(Name, ct);
        var together = new ScalingRun(database, steady, Unbinds);
        var spread = new ScalingRun(database, steady, Unbinds, "fleet.placement=spread");
        var (floors, figures) = (new List<ScalingResult>(), new List<ScalingResult>());
        for (var round = 0; round < rounds && !ct.IsCancellationRequested; round++)
        {
            floors.Add(await together.MeasureAsync(point, ct));
            figures.Add(await spread.MeasureAsync(point, ct));
            await Console.Error.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"spread: {figures[^1].Cpu:N0} CPU-µs/op, {figures[^1].OperationsPerSecond:N0} op/s; together: "
                + $"{floors[^1].Cpu:N0}, {floors[^1].OperationsPerSecond:N0}"));
        }

        var ratios = figures.Zip(floors, (own, floor) => own.Cpu / floor.Cpu).Order().ToArray();
        yield return new(
            Name, "a device's grains on any silo, 5 unbinds in 105 operations", Median(figures, one => one.Cpu),
            "CPU-µs/op", "on one silo", Median(floors, one => one.Cpu), Comparison.Median(ratios), ratios[0],
            ratios[^1], "", string.Create(
                CultureInfo.InvariantCulture,
                $"{Median(figures, one => one.OperationsPerSecond):N0} op/s against "
                + $"{Median(floors, one => one.OperationsPerSecond):N0}; alloc p99 "
                + $"{Median(figures, one => one.P99Ms):0.0} ms against {Median(floors, one => one.P99Ms):0.0}; silos' "
                + $"CPU {Median(figures, one => one.SiloCpu):N0} µs against {Median(floors, one => one.SiloCpu):N0}"));
    }

    private static double Median(List<ScalingResult> results, Func<ScalingResult, double> of) =>
        Comparison.Median(results.Select(of));
}
