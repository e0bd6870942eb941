namespace Fleet.Checking.History;

/// <summary>A history file says something that the format does not allow; nothing of it is judged (exit 64).</summary>
/// <param name="line">Number of the line, from 1.</param>
/// <param name="reason">What is wrong and what would be accepted, without a full stop.</param>
public sealed class HistoryFormatException(long line, string reason)
    : Exception($"line {line}: {reason}.")
{
    public long Line { get; } = line;

    public string Reason { get; } = reason;

    /// <summary>Makes text from outside safe to print: control characters become '?', long texts are cut.</summary>
    internal static string Printable(string text)
    {
        const int LengthMax = 80;
        var shown = text.Length > LengthMax ? text[..LengthMax] + "…" : text;
        return string.Create(shown.Length, shown, static (span, source) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                var c = source[i];
                span[i] = char.IsControl(c) || char.IsSurrogate(c) || (c >= '\u200B' && c <= '\u202E')
                    || c == '\uFEFF' ? '?' : c;
            }
        });
    }
}
