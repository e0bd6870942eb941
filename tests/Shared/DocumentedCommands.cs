using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using System.Text.RegularExpressions;

namespace Fleet.Tests;

/// <summary>Command lines that the README and the documents tell their readers to type.</summary>
internal static partial class DocumentedCommands
{
    private static readonly string[] Ends = ["|", ">", ">>", "2>", "&&", "||", "&", ";"];

    /// <param name="starts">How a line begins that is one, each with its last blank.</param>
    /// <returns>Each once: where it stands, the words behind its beginning, and whether it is one to be typed as it
    /// stands; a sentence may speak of a command or an option without all that belongs to it.</returns>
    public static IEnumerable<(string Where, string[] Words, bool IsWhole)> Of(string root, params string[] starts) =>
        Directory.EnumerateFiles(Path.Combine(root, "docs"), "*.md", SearchOption.AllDirectories)
            .Append(Path.Combine(root, "README.md"))
            .SelectMany(file => LinesOf(File.ReadAllText(file))
                .SelectMany(one => starts.Where(start => one.Line.StartsWith(start, StringComparison.Ordinal))
                    .Select(start => (
                        Where: $"{Path.GetRelativePath(root, file)}: {one.Line}",
                        Words: WordsOf(one.Line[start.Length..]).ToArray(), one.IsWhole))))
            .DistinctBy(one => one.Where);

    /// <summary>What a command tree says against each of them that it does not understand; nothing is run.</summary>
    public static IReadOnlyList<string> Misunderstood(
        this IEnumerable<(string Where, string[] Words, bool IsWhole)> lines, RootCommand tree) =>
    [
        .. from line in lines
           let parsed = tree.Parse(line.Words)
           let errors = line.IsWhole ? parsed.Errors.Select(error => error.Message) : parsed.UnmatchedTokens

           // An option that there is not is taken for an argument where one may stand.
           let taken = parsed.Tokens.Where(token => token.Type is TokenType.Argument)
               .Select(token => token.Value).Where(word => word.StartsWith("--", StringComparison.Ordinal))
           from error in errors.Concat(taken).Take(1)
           select $"{line.Where}: {error}",
    ];

    /// <summary>Lines of blocks of code, without what is set before a command, and code within sentences.</summary>
    private static IEnumerable<(string Line, bool IsWhole)> LinesOf(string text)
    {
        var parts = text.Replace("\\\n", " ", StringComparison.Ordinal).Split("```");
        return parts.Where((_, place) => place % 2 == 1).SelectMany(block => block.Split('\n'))
            .Select(line => (Line: line, IsWhole: true))
            .Concat(parts.Where((_, place) => place % 2 == 0).SelectMany(prose => Span().Matches(prose))
                .Select(span => (Line: span.Groups[1].Value.Replace('\n', ' '), IsWhole: false)))
            .Select(one => (Setting().Replace(one.Line.Trim(), ""), one.IsWhole));
    }

    /// <summary>As a shell splits them, up to a comment or the next command. Of what may be left out or chosen
    /// (<c>[--silos N]</c>, <c>pause|stop</c>) something is chosen, and N is a number.</summary>
    private static IEnumerable<string> WordsOf(string line)
    {
        foreach (Match match in Word().Matches(line))
        {
            var word = match.Value;
            if (word.StartsWith('#') || Ends.Contains(word))
                yield break;
            if (word[0] is not ('\'' or '"'))
            {
                word = word.Trim('[', ']').Split('|')[0];
                word = word is "N" ? "1" : word.TrimEnd('…');
            }

            if (word is not ("…" or "..." or ""))
                yield return Unquoted(word);
        }
    }

    private static string Unquoted(string word)
    {
        var text = new StringBuilder();
        var quote = '\0';
        foreach (var letter in word)
        {
            if (letter == quote)
                quote = '\0';
            else if (quote == '\0' && letter is '\'' or '"')
                quote = letter;
            else
                text.Append(letter);
        }

        return text.ToString();
    }

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Span();

    [GeneratedRegex(@"^(\$ +)?([A-Z_a-z]+=\S* +)*")]
    private static partial Regex Setting();

    [GeneratedRegex("""(?:[^\s'"]|'[^']*'|"[^"]*")+""")]
    private static partial Regex Word();
}
