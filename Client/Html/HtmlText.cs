using System.Net;

namespace Fleet.Client.Html;

/// <summary>Text on its way into markup: cleaned of what could steer a reader's screen, cut, and escaped.</summary>
public static class HtmlText
{
    /// <summary>Longest text that is shown; a page has to stay small whatever a history holds.</summary>
    public const int LengthMax = 4096;

    /// <summary>Returns text that is safe between tags and inside a quoted attribute.</summary>
    public static string Escape(string? text, int lengthMax = LengthMax) =>
        WebUtility.HtmlEncode(ForeignText.Clean(text, lengthMax));

    /// <summary>
    /// Returns at most <paramref name="lengthMax"/> characters, escaped; an ellipsis shows that some are missing.
    /// </summary>
    public static string Short(string? text, int lengthMax)
    {
        var clean = ForeignText.Clean(text, LengthMax);
        return WebUtility.HtmlEncode(clean.Length > lengthMax ? clean[..(lengthMax - 1)] + "…" : clean);
    }
}
