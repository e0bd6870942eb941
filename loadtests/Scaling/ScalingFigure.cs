using System.Globalization;
using ScottPlot;

namespace Fleet.LoadTests.Scaling;

/// <summary>One line of a panel.</summary>
internal sealed record Series(string Name, IReadOnlyList<double> Values);

/// <summary>One coordinate system: lines over the same places.</summary>
internal sealed record Panel(string Title, string Unit, IReadOnlyList<Series> Series);

/// <summary>Draws one axis of a measurement: panels one above the other, sizes as places of equal distance.</summary>
internal static class ScalingFigure
{
    private const int Width = 720;
    private const int PanelHeight = 280;

    /// <summary>Room above the highest value.</summary>
    private const double Headroom = 1.5;

    /// <param name="sizes">The places, from left to right.</param>
    public static void Write(string file, string axis, IReadOnlyList<int> sizes, IReadOnlyList<Panel> panels)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        var places = Enumerable.Range(0, sizes.Count).Select(place => (double)place).ToArray();
        var labels = sizes.Select(size => size.ToString("N0", CultureInfo.InvariantCulture)).ToArray();
        var figure = new Multiplot();
        figure.AddPlots(panels.Count);
        for (var i = 0; i < panels.Count; i++)
        {
            Draw(figure.GetPlot(i), panels[i], places);
            figure.GetPlot(i).Axes.Bottom.SetTicks(places, labels);
            figure.GetPlot(i).Axes.SetLimitsX(-0.25, places.Length - 0.75);
        }

        figure.GetPlot(panels.Count - 1).XLabel(axis);
        figure.SavePng(file, Width, PanelHeight * panels.Count);
    }

    private static void Draw(Plot plot, Panel panel, double[] places)
    {
        plot.Title(panel.Title);
        plot.YLabel(panel.Unit);
        foreach (var series in panel.Series)
        {
            var line = plot.Add.Scatter(places, series.Values.ToArray());
            line.LegendText = series.Name;
            line.LineWidth = 2;
            line.MarkerSize = 8;
        }

        if (panel.Series.Count > 1)
        {
            plot.ShowLegend(Alignment.UpperRight, Orientation.Horizontal);
        }

        plot.Axes.SetLimitsY(0, panel.Series.Max(series => series.Values.Max()) * Headroom);
    }
}
