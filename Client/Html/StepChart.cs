using System.Globalization;
using System.Text;

namespace Fleet.Client.Html;

/// <summary>A count that changes in steps, with the part of it that is forbidden shaded.</summary>
/// <param name="what">Of what it is the count, such as <c>references held</c>.</param>
/// <param name="steps">What happened, the count after it, and whether that is forbidden from there on.</param>
public sealed class StepChart(string what, IReadOnlyList<(string Label, long Count, bool Forbidden)> steps) : IDrawing
{
    private const int Width = 1080;
    private const int Left = 56;
    private const int Right = 24;
    private const int Top = 26;
    private const int Height = 150;

    /// <summary>Steps that are written out below the axis; more would overlap.</summary>
    private const int LabelsMax = 14;

    private double StepWidth => (double)(Width - Left - Right) / Math.Max(1, steps.Count);

    public void WriteTo(StringBuilder page)
    {
        var most = Math.Max(1, steps.Count == 0 ? 1 : steps.Max(s => s.Count));
        var isLabelled = steps.Count <= LabelsMax;
        var height = Top + Height + (isLabelled ? 90 : 30);
        Write(page, $"<svg viewBox=\"0 0 {Width} {height}\" width=\"{Width}\" height=\"{height}\" role=\"img\" ");
        Write(page, $"aria-label=\"{HtmlText.Escape(what)} after each step\">\n");
        Write(page, $"<text class=\"s\" x=\"{Left}\" y=\"14\">{HtmlText.Escape(what)}</text>\n");
        foreach (var value in Ticks(most))
        {
            Write(page, $"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(value, most):0.#}\" ");
            Write(page, $"y2=\"{Y(value, most):0.#}\"/><text class=\"s e\" x=\"{Left - 10}\" ");
            Write(page, $"y=\"{Y(value, most) + 4:0.#}\">{value}</text>\n");
        }

        for (var i = 0; i < steps.Count; i++)
        {
            if (steps[i].Forbidden)
            {
                Write(page, $"<rect class=\"no\" x=\"{X(i):0.#}\" y=\"{Top}\" width=\"{StepWidth:0.##}\" ");
                Write(page, $"height=\"{Height}\"/>");
            }
        }

        var first = steps.Select((step, i) => (step, i)).FirstOrDefault(s => s.step.Forbidden, (default, -1)).Item2;
        if (first >= 0)
        {
            Write(page, $"<line class=\"noline\" x1=\"{X(first):0.#}\" x2=\"{X(first):0.#}\" y1=\"{Top}\" ");
            Write(page, $"y2=\"{Top + Height}\"/><text class=\"nt b\" x=\"{X(first):0.#}\" y=\"14\">");
            Write(page, $"forbidden</text>\n");
        }

        Line(page, most);
        Write(page, $"<line class=\"axis\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Top + Height}\" ");
        Write(page, $"y2=\"{Top + Height}\"/>\n");
        for (var i = 0; isLabelled && i < steps.Count; i++)
        {
            Write(page, $"<text class=\"s\" transform=\"translate({X(i) + 2:0.#} {Top + Height + 16}) rotate(28)\">");
            Write(page, $"{HtmlText.Short(steps[i].Label, 30)}</text>\n");
        }

        page.Append("</svg>\n");
    }

    private void Line(StringBuilder page, long most)
    {
        if (steps.Count == 0)
        {
            return;
        }

        var line = new StringBuilder();
        line.Append(CultureInfo.InvariantCulture, $"M{X(0):0.#} {Y(steps[0].Count, most):0.#}");
        for (var i = 1; i < steps.Count; i++)
        {
            line.Append(CultureInfo.InvariantCulture, $"H{X(i):0.#}V{Y(steps[i].Count, most):0.#}");
        }

        line.Append(CultureInfo.InvariantCulture, $"H{X(steps.Count):0.#}");
        Write(page, $"<path class=\"area\" d=\"{line}V{Top + Height}H{Left}z\"/>");
        Write(page, $"<path class=\"line\" d=\"{line}\"/>\n");
    }

    private static IEnumerable<long> Ticks(long most)
    {
        var step = Math.Max(1, (most + 3) / 4);
        for (var value = 0L; value <= most; value += step)
        {
            yield return value;
        }
    }

    private double X(int step) => Left + (step * StepWidth);

    private static double Y(long count, long most) => Top + Height - ((double)count / most * (Height - 10));

    private static void Write(StringBuilder page, FormattableString markup) =>
        page.Append(markup.ToString(CultureInfo.InvariantCulture));
}
