using System.Text.RegularExpressions;

namespace Fleet.Architecture.Tests;

/// <summary>What the text of the project must not contain, and what it must keep true.</summary>
[Trait("tier", "fast")]
public sealed partial class TextTests
{
    [Fact]
    public void Nothing_is_left_to_do_in_a_comment() =>
        Assert.Empty(Lines(".cs").Where(line => Unfinished().IsMatch(line.Text)).Select(line => line.Where));

    [Fact]
    public void No_path_of_a_machine_and_no_registry_is_named() =>
        Assert.Empty(Lines(".cs", ".md", ".csproj", ".props", ".yaml", ".sql", ".json")
            .Where(line => MachinePath().IsMatch(line.Text)).Select(line => line.Where));

    [Fact]
    public void Every_link_of_the_documents_leads_somewhere()
    {
        var dead = from path in Repository.Files(".md")
                   from Match link in Link().Matches(File.ReadAllText(path))
                   let target = link.Groups[1].Value.Split('#')[0]
                   where target.Length > 0 && !target.Contains("://", StringComparison.Ordinal)
                   let full = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, target))
                   where !File.Exists(full) && !Directory.Exists(full)
                   select $"{Path.GetRelativePath(Repository.Root, path)} -> {target}";
        Assert.Empty(dead);
    }

    [Fact]
    public void Decisions_are_numbered_and_titled() =>
        Assert.Empty(Repository.Files(".md").Where(path => path.Contains("/docs/decisions/", StringComparison.Ordinal))
            .Where(path => !DecisionName().IsMatch(Path.GetFileName(path))));

    [Fact]
    public void Lines_fit_into_120_columns() =>
        Assert.Empty(
            from path in Repository.Files(".cs")
            from line in File.ReadLines(path).Select((text, index) => (Text: text, Number: index + 1))
            where line.Text.Length > 120
            select $"{Path.GetRelativePath(Repository.Root, path)}:{line.Number}: {line.Text.Length} columns");

    // Goal: `sum += await part` reads the sum before it waits, and whatever was added meanwhile is lost.
    [Fact]
    public void Nothing_is_added_up_across_an_await() =>
        Assert.Empty(Lines(".cs").Where(line => SumAcrossAwait().IsMatch(line.Text)).Select(line => line.Where));

    // Goal: the patterns can fail. The words are put together here so that this file is not its own finding.
    [Theory]
    [InlineData("// TO", "DO later")]
    [InlineData("// FIX", "ME")]
    public void An_unfinished_comment_would_be_seen(string left, string right) =>
        Assert.Matches(Unfinished(), left + right);

    private static IEnumerable<(string Where, string Text)> Lines(params string[] extensions) =>
        from path in Repository.Files(extensions)
        where !path.EndsWith("TextTests.cs", StringComparison.Ordinal)
        from line in File.ReadLines(path).Select((text, index) => (text, index))
        select ($"{Path.GetRelativePath(Repository.Root, path)}:{line.index + 1}: {line.text.Trim()}", line.text);

    [Theory]
    [InlineData("sum += await Part();")]
    [InlineData("tally.Left -= (await Part()).Count;")]
    public void A_sum_across_an_await_would_be_seen(string line) => Assert.Matches(SumAcrossAwait(), line);

    [GeneratedRegex(@"[-+*|&^]= \(?await\b")]
    private static partial Regex SumAcrossAwait();

    [GeneratedRegex(@"//.*\b(TODO|FIXME|HACK|XXX)\b")]
    private static partial Regex Unfinished();

    [GeneratedRegex(@"(^|[\s""'(`=])/(work|farm|home|root)/|/tmp/bash_jobs|https?://[^ ""]*(nuget|npmjs|deb\.debian)")]
    private static partial Regex MachinePath();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^\d{4}-[a-z0-9-]+\.md$")]
    private static partial Regex DecisionName();
}
