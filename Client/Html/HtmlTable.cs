using System.Text;

namespace Fleet.Client.Html;

/// <summary>A table of foreign texts; columns of numbers are set to the right.</summary>
/// <param name="columns">Titles; one that ends in <c>#</c> is a column of numbers.</param>
public sealed class HtmlTable(params string[] columns)
{
    private readonly List<(IReadOnlyList<string> Cells, bool IsHit)> _rows = [];

    /// <param name="isHit">The row is what the page is about.</param>
    public HtmlTable Row(IReadOnlyList<string> cells, bool isHit = false)
    {
        _rows.Add((cells, isHit));
        return this;
    }

    public void WriteTo(StringBuilder page)
    {
        page.Append("<div class=\"card\"><table><thead><tr>");
        foreach (var column in columns)
        {
            page.Append(IsNumber(column) ? "<th class=\"num\">" : "<th>")
                .Append(HtmlText.Escape(column.TrimEnd('#'))).Append("</th>");
        }

        page.Append("</tr></thead><tbody>\n");
        foreach (var (cells, isHit) in _rows)
        {
            page.Append(isHit ? "<tr class=\"hit\">" : "<tr>");
            for (var i = 0; i < cells.Count; i++)
            {
                page.Append(i < columns.Length && IsNumber(columns[i]) ? "<td class=\"num\">" : "<td>")
                    .Append(HtmlText.Escape(cells[i])).Append("</td>");
            }

            page.Append("</tr>\n");
        }

        page.Append("</tbody></table></div>\n");
    }

    private static bool IsNumber(string column) => column.EndsWith('#');
}
