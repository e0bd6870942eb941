using System.Globalization;
using System.Text;

namespace Fleet.Client.Html;

/// <summary>One line of a <see cref="CurveChart"/>.</summary>
/// <param name="Colour">0 to 6.</param>
/// <param name="Points">In the order of X; a Y that is null leaves a gap.</param>
internal sealed record Curve(string Name, int Colour, IReadOnlyList<(double X, double? Y)> Points)
{
    /// <summary>What was asked for, beside what was done.</summary>
    public bool IsDashed { get; init; }
}

/// <summary>Figures over time, or over anything else that grows to the right, with one axis for all of them.</summary>
/// <param name="what">Of what they are the figures, with the unit.</param>
/// <param name="show">A figure as a person reads it; on the axis and when the pointer rests on a place.</param>
internal sealed class CurveChart(string what, IReadOnlyList<Curve> curves, Func<double, string> show) : IDrawing
{
    private const int Width = 1080;
    private const int Left = 76;
    private const int Right = 18;
    private const int Top = 44;
    private const int PlotHeight = 190;
    private const int ColumnsMax = 240;

    /// <summary>A factor of ten is as far as any other: for latencies.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>Places on the lower axis with their words.</summary>
    public IReadOnlyList<(double X, string Label)> Ticks { get; init; } = [];

    /// <summary>A stretch of the lower axis with a name, such as a phase.</summary>
    public IReadOnlyList<(double From, double To, string Label)> Bands { get; init; } = [];

    /// <summary>Something that happened: an upright line, red where it is bad.</summary>
    public IReadOnlyList<(double X, string Label, bool IsBad)> Marks { get; init; } = [];

    /// <summary>A place on the lower axis as a person reads it.</summary>
    public Func<double, string> ShowX { get; init; } = x => x.ToString("0.#", CultureInfo.InvariantCulture);

    public void WriteTo(StringBuilder page)
    {
        var points = curves.SelectMany(curve => curve.Points).ToList();
        var values = points.Where(point => point.Y is not null).Select(point => point.Y!.Value).ToList();
        if (values.Count == 0)
            return;

        var axis = Axis.Of(values, IsLogarithmic);
        var (first, last) = (points.Min(point => point.X), points.Max(point => point.X));
        if (Bands.Count > 0)
            (first, last) = (Math.Min(first, Bands.Min(band => band.From)), Math.Max(last, Bands.Max(band => band.To)));
        var scale = (Width - Left - Right) / Math.Max(last - first, 1e-9);
        double X(double x) => Left + ((x - first) * scale);
        double Y(double y) => Top + PlotHeight - (axis.ShareOf(y) * PlotHeight);

        const int height = Top + PlotHeight + 30;
        Write(page, $"<svg viewBox=\"0 0 {Width} {height}\" width=\"{Width}\" height=\"{height}\" role=\"img\" ");
        Write(page, $"aria-label=\"{HtmlText.Escape(what)}\">\n<text class=\"b\" x=\"0\" y=\"14\">");
        Write(page, $"{HtmlText.Escape(what)}</text>\n");
        Legend(page);
        for (var band = 0; band < Bands.Count; band++)
        {
            var (from, to, label) = Bands[band];
            if (band % 2 == 1)
            {
                Write(page, $"<rect class=\"band\" x=\"{X(from):0.#}\" y=\"{Top}\" height=\"{PlotHeight}\" ");
                Write(page, $"width=\"{X(to) - X(from):0.#}\"/>");
            }

            if (X(to) - X(from) > (label.Length * 7) + 8)
            {
                Write(page, $"<text class=\"s\" x=\"{X(from) + 5:0.#}\" y=\"{Top + 13}\">");
                Write(page, $"{HtmlText.Short(label, 40)}</text>");
            }
        }

        foreach (var tick in axis.Ticks)
        {
            Write(page, $"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(tick):0.#}\" ");
            Write(page, $"y2=\"{Y(tick):0.#}\"/><text class=\"s e\" x=\"{Left - 8}\" y=\"{Y(tick) + 4:0.#}\">");
            Write(page, $"{HtmlText.Escape(show(tick))}</text>\n");
        }

        Write(page, $"<line class=\"axis\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Top + PlotHeight}\" ");
        Write(page, $"y2=\"{Top + PlotHeight}\"/>\n");
        foreach (var (x, label) in Ticks.Where(tick => tick.X >= first && tick.X <= last))
        {
            var at = X(x) > Width - Right - 20 ? "e" : X(x) < Left + 20 ? "" : "m";
            Write(page, $"<text class=\"s {at}\" x=\"{X(x):0.#}\" y=\"{Top + PlotHeight + 18}\">");
            Write(page, $"{HtmlText.Escape(label)}</text>");
        }

        foreach (var (x, label, isBad) in Marks.Where(mark => mark.X >= first && mark.X <= last))
        {
            Write(page, $"<line class=\"{(isBad ? "noline" : "mark")}\" x1=\"{X(x):0.#}\" x2=\"{X(x):0.#}\" ");
            Write(page, $"y1=\"{Top}\" y2=\"{Top + PlotHeight}\"><title>{HtmlText.Escape(label)}</title></line>\n");
        }

        foreach (var curve in curves)
        {
            Write(page, $"<path class=\"series l{curve.Colour}{(curve.IsDashed ? " dashed" : "")}\" d=\"");
            Path(page, curve, X, Y);
            page.Append("\"/>\n");
        }

        Hover(page, first, last, X);
        page.Append("</svg>\n");
    }

    private void Legend(StringBuilder page)
    {
        var x = Left;
        foreach (var curve in curves)
        {
            Write(page, $"<line class=\"series l{curve.Colour}{(curve.IsDashed ? " dashed" : "")}\" x1=\"{x}\" ");
            Write(page, $"x2=\"{x + 20}\" y1=\"29\" y2=\"29\"/><text class=\"s\" x=\"{x + 26}\" y=\"33\">");
            Write(page, $"{HtmlText.Short(curve.Name, 40)}</text>\n");
            x += 46 + (int)(Math.Min(curve.Name.Length, 40) * 6.6);
        }
    }

    private static void Path(StringBuilder page, Curve curve, Func<double, double> x, Func<double, double> y)
    {
        var isDrawing = false;
        foreach (var point in curve.Points)
        {
            if (point.Y is { } value)
                Write(page, $"{(isDrawing ? 'L' : 'M')}{x(point.X):0.#} {y(value):0.#}");
            isDrawing = point.Y is not null;
        }
    }

    /// <summary>Invisible columns that say their figures: a page without a script can still be asked.</summary>
    private void Hover(StringBuilder page, double first, double last, Func<double, double> x)
    {
        var places = curves.SelectMany(curve => curve.Points).Select(point => point.X).Distinct().Order().ToList();
        var every = Math.Max(1, (places.Count + ColumnsMax - 1) / ColumnsMax);
        var shown = places.Where((_, place) => place % every == 0).ToList();
        var width = Math.Max(2, (x(last) - x(first)) / Math.Max(1, shown.Count));
        foreach (var place in shown)
        {
            var figures = curves.Select(curve => (curve.Name, curve.Points.FirstOrDefault(point => point.X == place).Y))
                .Where(one => one.Y is not null).Select(one => $"{one.Name}: {show(one.Y!.Value)}");
            var said = $"{ShowX(place)} · {string.Join(" · ", figures)}";
            Write(page, $"<rect class=\"hover\" x=\"{x(place) - (width / 2):0.#}\" y=\"{Top}\" ");
            Write(page, $"width=\"{width:0.##}\" height=\"{PlotHeight}\"><title>{HtmlText.Escape(said)}");
            Write(page, $"</title></rect>\n");
        }
    }

    private static void Write(StringBuilder page, FormattableString markup) =>
        page.Append(markup.ToString(CultureInfo.InvariantCulture));

    /// <param name="Low">As a logarithm where the axis is one, as the next.</param>
    private sealed record Axis(double Low, double High, bool IsLog, IReadOnlyList<double> Ticks)
    {
        public double ShareOf(double value) =>
            Math.Clamp(((IsLog ? Math.Log10(Math.Max(value, 1e-9)) : value) - Low) / (High - Low), 0, 1);

        public static Axis Of(List<double> values, bool isLog)
        {
            if (isLog)
            {
                var low = Math.Floor(Math.Log10(Math.Max(values.Min(), 1e-3)));
                var high = Math.Max(low + 1, Math.Ceiling(Math.Log10(Math.Max(values.Max(), 1e-3))));
                return new(low, high, true, [.. Enumerable.Range(0, (int)(high - low) + 1).Select(
                    place => Math.Pow(10, low + place))]);
            }

            var most = Math.Max(values.Max(), 1e-9);
            var rough = most / 4;
            var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
            var step = new[] { 1, 2, 2.5, 5, 10 }.First(one => one * power >= rough) * power;
            var count = (int)Math.Ceiling(most / step);
            return new(0, step * count, false, [.. Enumerable.Range(0, count + 1).Select(place => place * step)]);
        }
    }
}
