using System.Globalization;
using System.Text;

namespace Fleet.Client.Html;

/// <summary>One row of a <see cref="LaneChart"/>: something that happened, or a gap.</summary>
/// <param name="Lane">Index of the lane; -1 for a gap that spans all of them.</param>
/// <param name="From">Lane that asked for it, drawn as an arrow to <paramref name="Lane"/>; -1 for none.</param>
/// <param name="Label">Short words beside the mark.</param>
/// <param name="Note">What is shown when the pointer rests on it.</param>
/// <param name="Number">Number at the left edge, by which the text refers to it; empty for none.</param>
public sealed record LaneMark(int Lane, int From, string Label, string Note, string Number)
{
    /// <summary>It belongs to the proof.</summary>
    public bool IsHit { get; init; }

    /// <summary>Rows, by their index, that this one came after at another lane.</summary>
    public IReadOnlyList<int> After { get; init; } = [];
}

/// <summary>What happened where, from top to bottom; each lane is one object or one party.</summary>
/// <remarks>Rows are in one order that the record permits; the distance of two rows says nothing about time.</remarks>
public sealed class LaneChart(IReadOnlyList<string> lanes, IReadOnlyList<LaneMark> marks) : IDrawing
{
    private const int Left = 44;
    private const int Width = 1080;
    private const int Top = 40;
    private const int RowHeight = 24;

    /// <summary>Rows during which something forbidden was so: shaded; null for none.</summary>
    public (int First, int Last, string Label)? Forbidden { get; init; }

    private int LaneWidth => (Width - Left) / Math.Max(1, lanes.Count);

    // 12 px letters of a proportional face are 6.3 px wide on average.
    private int LabelMax => Math.Max(8, (int)((LaneWidth - 34) / 6.3));

    public void WriteTo(StringBuilder page)
    {
        var height = Top + (marks.Count * RowHeight) + 12;
        Write(page, $"<svg viewBox=\"0 0 {Width} {height}\" width=\"{Width}\" height=\"{height}\" role=\"img\" ");
        Write(page, $"aria-label=\"What happened at each object, from top to bottom\">\n");
        Write(page, $"<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" ");
        Write(page, $"markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\" class=\"k4\"/>");
        Write(page, $"</marker></defs>\n");
        if (Forbidden is { } no)
        {
            var (top, bottom) = (Y(no.First) - (RowHeight / 2), Y(no.Last) + (RowHeight / 2));
            Write(page, $"<rect class=\"no\" x=\"{Left - 8}\" y=\"{top}\" width=\"{Width - Left + 8}\" ");
            Write(page, $"height=\"{bottom - top}\" rx=\"6\"/>");
            Write(page, $"<line class=\"noline\" x1=\"{Left - 8}\" x2=\"{Left - 8}\" y1=\"{top}\" y2=\"{bottom}\"/>");
            Write(page, $"<text class=\"nt e\" x=\"{Width - 8}\" y=\"{top + 15}\">{HtmlText.Short(no.Label, 60)}");
            Write(page, $"</text>\n");
        }

        for (var lane = 0; lane < lanes.Count; lane++)
        {
            Write(page, $"<text class=\"b\" x=\"{X(lane) - 5}\" y=\"18\">");
            Write(page, $"{HtmlText.Short(lanes[lane], LabelMax)}<title>{HtmlText.Escape(lanes[lane])}</title>");
            Write(page, $"</text><line class=\"rail\" x1=\"{X(lane)}\" x2=\"{X(lane)}\" y1=\"{Top - 12}\" ");
            Write(page, $"y2=\"{height - 6}\"/>\n");
        }

        for (var row = 0; row < marks.Count; row++)
        {
            Edges(page, row);
        }

        for (var row = 0; row < marks.Count; row++)
        {
            Mark(page, row);
        }

        page.Append("</svg>\n");
    }

    private void Edges(StringBuilder page, int row)
    {
        var mark = marks[row];
        if (mark.From >= 0 && mark.From != mark.Lane)
        {
            var step = mark.From < mark.Lane ? 1 : -1;
            Write(page, $"<path class=\"call\" marker-end=\"url(#tip)\" d=\"M{X(mark.From) + (5 * step)} {Y(row)}");
            Write(page, $"H{X(mark.Lane) - (8 * step)}\"/>\n");
        }

        foreach (var cause in mark.After)
        {
            if (cause < row && marks[cause].Lane != mark.Lane && marks[cause].Lane >= 0)
            {
                var step = marks[cause].Lane < mark.Lane ? 1 : -1;
                Write(page, $"<path class=\"edge\" d=\"M{X(marks[cause].Lane)} {Y(cause) + 6}");
                Write(page, $"L{X(mark.Lane) - (5 * step)} {Y(row) - 5}\"/>\n");
            }
        }
    }

    private void Mark(StringBuilder page, int row)
    {
        var mark = marks[row];
        var y = Y(row);
        if (mark.Lane < 0)
        {
            Write(page, $"<text class=\"s\" x=\"{Left + 12}\" y=\"{y + 4}\">");
            Write(page, $"{HtmlText.Escape(mark.Label, 200)}</text>\n");
            return;
        }

        Write(page, $"<g><title>{HtmlText.Escape(mark.Note, 400)}</title>");
        Write(page, $"<text class=\"s e\" x=\"{Left - 16}\" y=\"{y + 4}\">{HtmlText.Escape(mark.Number)}</text>");
        if (mark.From >= 0 && mark.From != mark.Lane)
        {
            Write(page, $"<circle class=\"k{mark.From % 6}\" cx=\"{X(mark.From)}\" cy=\"{y}\" r=\"4\"/>");
        }

        Write(page, $"<circle class=\"{(mark.IsHit ? "hit" : $"k{mark.Lane % 6}")}\" cx=\"{X(mark.Lane)}\" ");
        Write(page, $"cy=\"{y}\" r=\"{(mark.IsHit ? 6 : 5)}\"/>");
        Write(page, $"<text class=\"lane{(mark.IsHit ? " b" : "")}\" x=\"{X(mark.Lane) + 11}\" y=\"{y + 4}\">");
        Write(page, $"{HtmlText.Short(mark.Label, LabelMax)}</text></g>\n");
    }

    private int X(int lane) => Left + 12 + (lane * LaneWidth);

    private static int Y(int row) => Top + (row * RowHeight) + (RowHeight / 2);

    private static void Write(StringBuilder page, FormattableString markup) =>
        page.Append(markup.ToString(CultureInfo.InvariantCulture));
}
