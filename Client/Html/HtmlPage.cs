using System.Globalization;
using System.Text;

namespace Fleet.Client.Html;

/// <summary>One self-contained page: style and drawings inside it, nothing loaded from anywhere, no script.</summary>
/// <remarks>
/// Every text that is given is foreign and gets escaped here; only the parts of this folder write markup.
/// Concurrency: one thread.
/// </remarks>
public sealed class HtmlPage
{
    /// <summary>Every page ends with it, and nothing else does.</summary>
    private const string Sign = "<footer>Made by Fleet. This page loads nothing and can be sent as it is.</footer>";

    // A page that is opened years later, from a mail, must not be able to call anybody.
    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'";

    private readonly StringBuilder _body = new();
    private readonly string _title;

    public HtmlPage(string title) => _title = title;

    /// <summary>The page's head: what it is, a word in a pill before it, and one sentence below.</summary>
    /// <param name="tone"><c>bad</c>, <c>good</c> or <c>warn</c>; empty for none.</param>
    public HtmlPage Head(string heading, string pill, string tone, string sentence)
    {
        Write($"<p><span class=\"pill {tone}\">{HtmlText.Escape(pill)}</span></p>");
        Write($"<h1>{HtmlText.Escape(heading)}</h1><p class=\"lead soft\">{HtmlText.Escape(sentence)}</p>\n");
        return this;
    }

    public HtmlPage Heading(string text)
    {
        Write($"<h2>{HtmlText.Escape(text)}</h2>\n");
        return this;
    }

    public HtmlPage Paragraph(string text, bool isSoft = false)
    {
        Write($"<p{(isSoft ? " class=\"soft\"" : "")}>{HtmlText.Escape(text)}</p>\n");
        return this;
    }

    /// <summary>Sentences of a proof, set apart; the first word or words of each are set bold.</summary>
    public HtmlPage Proof(IEnumerable<(string Step, string Sentence)> sentences)
    {
        Write($"<div class=\"card proof\">");
        foreach (var (step, sentence) in sentences)
        {
            Write($"<p><span class=\"step\">{HtmlText.Escape(step)}</span> {HtmlText.Escape(sentence, 8192)}</p>");
        }

        Write($"</div>\n");
        return this;
    }

    /// <summary>Names with their values, one below the other.</summary>
    public HtmlPage Facts(IEnumerable<(string Name, string Value)> facts)
    {
        Write($"<div class=\"card\"><dl class=\"facts\">");
        foreach (var (name, value) in facts)
        {
            Write($"<dt>{HtmlText.Escape(name)}</dt><dd>{HtmlText.Escape(value)}</dd>");
        }

        Write($"</dl></div>\n");
        return this;
    }

    /// <summary>Figures that are read at a glance, side by side.</summary>
    public HtmlPage Tiles(IEnumerable<(string Figure, string What)> tiles)
    {
        Write($"<div class=\"tiles\">");
        foreach (var (figure, what) in tiles)
        {
            Write($"<div class=\"tile\"><b>{HtmlText.Escape(figure)}</b><span>{HtmlText.Escape(what)}</span></div>");
        }

        Write($"</div>\n");
        return this;
    }

    public HtmlPage Table(HtmlTable table)
    {
        table.WriteTo(_body);
        return this;
    }

    public HtmlPage Drawing(IDrawing drawing)
    {
        Write($"<div class=\"card\">");
        drawing.WriteTo(_body);
        Write($"</div>\n");
        return this;
    }

    /// <summary>Lines as they are, folded away until somebody wants to see them.</summary>
    public HtmlPage Folded(string summary, IEnumerable<string> lines)
    {
        Write($"<details><summary>{HtmlText.Escape(summary)}</summary><pre>");
        foreach (var line in lines)
        {
            Write($"{HtmlText.Escape(line)}\n");
        }

        Write($"</pre></details>\n");
        return this;
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"""
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <meta http-equiv="Content-Security-Policy" content="{Policy}"/>
        <title>{HtmlText.Escape(_title, 200)}</title>
        <style>
        {StyleSheet.Css}
        </style></head>
        <body><main>
        {_body}{Sign}
        </main></body></html>

        """);

    /// <summary>Writes the page; an earlier page of Fleet is overwritten, and nothing else is.</summary>
    /// <exception cref="UsageException">The file cannot be written, or is something else.</exception>
    public async Task WriteAsync(string path, CancellationToken ct)
    {
        try
        {
            if (File.Exists(path) && !(await File.ReadAllTextAsync(path, ct)).Contains(Sign, StringComparison.Ordinal))
                throw new UsageException(
                    $"{ForeignText.Quote(path)} is there and is no page of Fleet; accepted: a name that is free, or a "
                    + "page that Fleet wrote, which is written anew.");

            await File.WriteAllTextAsync(path, ToString(), ct);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be written ({ForeignText.Clean(e.Message)}); accepted: a file in a "
                + "directory that exists.", e);
        }
    }

    private void Write(FormattableString markup) => _body.Append(markup.ToString(CultureInfo.InvariantCulture));
}

/// <summary>A drawing that writes itself as inline SVG.</summary>
public interface IDrawing
{
    void WriteTo(StringBuilder page);
}
