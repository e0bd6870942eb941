using System.Buffers;
using System.Text;

namespace Fleet.Client;

/// <summary>Makes text from outside (lspci, sysfs, traces, names) safe to keep and to show.</summary>
public static class ForeignText
{
    /// <summary>Longer text is cut: nothing that Fleet shows of a device needs more.</summary>
    public const int LengthMax = 256;

    private static readonly SearchValues<char> Suspicious = SearchValues.Create(
        [.. Enumerable.Range(0, 0x20).Select(code => (char)code), .. Enumerable.Range(0x7f, 0x21).Select(
            code => (char)code)]);

    /// <summary>Removes control and format characters (terminal escapes, bidirectional overrides, lone surrogates),
    /// then cuts.</summary>
    public static string Clean(ReadOnlySpan<char> text, int lengthMax = LengthMax)
    {
        var head = text.Length > lengthMax ? text[..lengthMax] : text;
        var plain = head.IndexOfAny(Suspicious) < 0 && !head.ContainsAnyInRange('\u0600', '\uffff');
        if (plain)
            return head.Trim().ToString();

        var kept = new StringBuilder(head.Length);
        foreach (var rune in head.EnumerateRunes())
        {
            var category = Rune.GetUnicodeCategory(rune);
            var shown = category is not (System.Globalization.UnicodeCategory.Control
                or System.Globalization.UnicodeCategory.Format
                or System.Globalization.UnicodeCategory.LineSeparator
                or System.Globalization.UnicodeCategory.ParagraphSeparator
                or System.Globalization.UnicodeCategory.PrivateUse
                or System.Globalization.UnicodeCategory.OtherNotAssigned);
            if (shown)
                kept.Append(rune.ToString());
        }

        return kept.ToString().Trim();
    }

    /// <summary>A short quotation of foreign text inside an error sentence.</summary>
    public static string Quote(ReadOnlySpan<char> text) => $"'{Clean(text, 60)}'";
}
