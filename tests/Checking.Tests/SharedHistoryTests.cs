using Fleet.Checking.History;
using Fleet.Kernel.History;
using Fleet.Tests;

namespace Fleet.Checking.Tests;

/// <summary>The example histories that travel with the format, where they are on the machine.</summary>
[Trait("tier", "fast")]
public sealed class SharedHistoryTests
{
    [SharedTheory("histories")]
    [InlineData("p0-use-after-remove.jsonl", RunVerdict.Invalid, "NO-USE-AFTER-REMOVE", "REAP-BEFORE-REMOVE")]
    [InlineData("all-waits-for-holder.jsonl", RunVerdict.Valid)]
    public void Examples_of_the_format_get_their_verdict(string file, RunVerdict verdict, params string[] rules)
    {
        var (_, report) = HistoryFile.Check(Path.Combine(SharedFolder.Of("histories"), file), new(), new());

        Assert.Equal(rules, report.Findings.Select(f => f.Rule).Order(StringComparer.Ordinal));
        Assert.Equal(verdict, report.Verdict);
        Assert.True(report.Complete);
    }
}
