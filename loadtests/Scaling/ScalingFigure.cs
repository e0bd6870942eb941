using ScottPlot;
using SkiaSharp;

namespace Fleet.LoadTests.Scaling;

/// <summary>One axis of the measurement as a figure: operations per second, and processor time of one.</summary>
internal static class ScalingFigure
{
    private const int Width = 900;
    private const int Height = 640;

    /// <summary>Writes NAME.png and NAME.svg.</summary>
    /// <param name="name">Of the axis, such as <c>devices</c>.</param>
    /// <param name="sizeOf">Where on the axis a result stands.</param>
    public static void Write(
        string folder, string name, IReadOnlyList<ScalingResult> results, Func<ScalingResult, int> sizeOf)
    {
        Directory.CreateDirectory(folder);
        var places = Enumerable.Range(0, results.Count).Select(place => (double)place).ToArray();
        var labels = results.Select(result => sizeOf(result).ToString("N0", CultureOf)).ToArray();
        var figure = new Multiplot();
        figure.AddPlots(2);
        var (rate, cost) = (figure.GetPlot(0), figure.GetPlot(1));

        Line(rate, places, results, result => result.OperationsPerSecond, "all");
        rate.Title($"Operations per second by {name}");
        rate.YLabel("op/s");
        Line(cost, places, results, result => result.SiloCpu, "silos");
        Line(cost, places, results, result => result.GeneratorCpu, "generator");
        Line(cost, places, results, result => result.DatabaseCpu, "PostgreSQL");
        cost.Title("Processor time of one operation");
        cost.YLabel("µs");
        cost.XLabel(name);
        cost.ShowLegend(Alignment.UpperRight);
        rate.Axes.SetLimitsY(0, results.Max(result => result.OperationsPerSecond) * 1.15);
        var costMax = results.Max(
            result => Math.Max(result.SiloCpu, Math.Max(result.GeneratorCpu, result.DatabaseCpu)));
        cost.Axes.SetLimitsY(0, costMax * 1.15);
        foreach (var plot in new[] { rate, cost })
        {
            plot.Axes.Bottom.SetTicks(places, labels);
            plot.Axes.SetLimitsX(-0.25, places.Length - 0.75);
        }

        figure.SavePng(Path.Combine(folder, $"{name}.png"), Width, Height);
        using var file = File.Create(Path.Combine(folder, $"{name}.svg"));
        using var canvas = SKSvgCanvas.Create(SKRect.Create(Width, Height), file);
        figure.Render(canvas, new(0, Width, Height, 0));
    }

    private static System.Globalization.CultureInfo CultureOf => System.Globalization.CultureInfo.InvariantCulture;

    private static void Line(
        Plot plot, double[] places, IReadOnlyList<ScalingResult> results, Func<ScalingResult, double> valueOf,
        string legend)
    {
        var line = plot.Add.Scatter(places, results.Select(valueOf).ToArray());
        line.LegendText = legend;
        line.LineWidth = 2;
        line.MarkerSize = 8;
    }
}
