using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Scaling;

/// <summary>What a number of devices came to, in operations per CPU-second.</summary>
internal sealed record DevicesResult(
    double Single, double Vector, double Bare, double Ratio, double RatioLow, double RatioHigh, double VectorRatio);

/// <summary>The hot path in one process beside bare calls, over the number of devices that share the load.</summary>
/// <remarks>
/// Few devices stay in the caches, many do not, and one operation touches more objects than a bare call: what the ratio
/// loses from the first point to the last is waiting for memory.
/// </remarks>
internal static class HotPathDevices
{
    public const string Name = "hotpath-devices";

    private const int Clients = 64;
    private const int DevicesPerHost = 100;
    private const int Width = 64;

    /// <summary>The first point warms up for so many times as long: its code is compiled meanwhile.</summary>
    private const int FirstTimes = 3;

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var measured = new ScalingAxis<DevicesResult>(
            ScalingBench.FileOf(isQuick, Name, "json"), BenchFile.Commit);
        var isWarm = false;
        foreach (var size in measured.InOrder(isQuick ? [4, 1000] : [4, 64, 1000, 10_000]).ToArray())
        {
            ct.ThrowIfCancellationRequested();
            var began = Look.Now();
            await using var fleet = await MeasuredFleet.StartAsync(
                Math.Max(1, size / DevicesPerHost), Math.Min(size, DevicesPerHost), Recording.Spooled, ct);
            var load = new HotPathLoad(fleet, Clients);
            var compared = await Interleaved.RunAsync(
                Name,
                new("bare calls, same records", load.BareAsync),
                [
                    new(What(size, "alloc, access, free"), load.RecordedAsync) { AfterRound = fleet.Empty },
                    new(What(size, $"vectors of {Width}"), d => load.VectorAsync(d, Width))
                    {
                        AfterRound = fleet.Empty,
                    },
                ],
                warmUp: (isWarm ? 1 : FirstTimes) * TimeSpan.FromSeconds(isQuick ? 1 : 4),
                round: TimeSpan.FromSeconds(isQuick ? 0.4 : 1.2),
                rounds: isQuick ? 3 : 5,
                ct: ct);
            isWarm = true;
            var (single, vector) = (compared[0], compared[1]);
            measured.Add(
                size,
                new(single.Figure, vector.Figure, single.FloorFigure, single.Ratio, single.Ratios[0],
                    single.Ratios[^1], vector.Ratio),
                PointCost.Since(began, 0));
            Draw(ScalingBench.FileOf(isQuick, Name, "png"), measured);
            yield return Line.Of(single, "");
            yield return Line.Of(vector, "");
        }
    }

    private static string What(int size, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{size:N0} devices, {what}");

    private static void Draw(string file, ScalingAxis<DevicesResult> measured)
    {
        ScalingFigure.Write(file, "devices in one process", [.. measured.Points.Select(point => point.Size)],
        [
            new("Operations per CPU-second beside bare calls", "ratio",
            [
                new("alloc, access, free", Values(one => one.Ratio)), new("smallest", Values(one => one.RatioLow)),
                new("largest", Values(one => one.RatioHigh)),
            ]),
            new("Operations per CPU-second", "thousands",
            [
                new("bare calls", Values(one => one.Bare / 1e3)),
                new("alloc, access, free", Values(one => one.Single / 1e3)),
            ]),
        ]);

        double[] Values(Func<DevicesResult, double> of) => [.. measured.Points.Select(point => of(point.Result))];
    }
}
