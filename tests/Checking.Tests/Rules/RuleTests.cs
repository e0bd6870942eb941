using Fleet.Checking.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Rules;

[Trait("tier", "fast")]
public sealed class RuleTests
{
    public static TheoryData<int, string, string> Pairs()
    {
        var data = new TheoryData<int, string, string>();
        for (var i = 0; i < PlantedHistories.All.Length; i++)
        {
            data.Add(i, PlantedHistories.All[i].Rule, PlantedHistories.All[i].About);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_planted_bug_is_found(int pair, string rule, string about)
    {
        var report = PlantedHistories.All[pair].Broken().Check();

        var finding = Assert.Single(report.Findings, f => f.Rule == rule);
        Assert.Contains("Let ", finding.Text, StringComparison.Ordinal);
        Assert.Contains("Then ", finding.Text, StringComparison.Ordinal);
        Assert.Contains("however, ", finding.Text, StringComparison.Ordinal);
        Assert.NotEqual(RunVerdict.Valid, report.Verdict);
        Assert.NotEqual(0, report.ExitCode);
        Assert.True(report.Rules.Single(r => r.Rule == rule).Violated > 0, about);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void A_clean_twin_breaks_no_rule(int pair, string rule, string about)
    {
        var report = PlantedHistories.All[pair].Clean().Check();

        Assert.True(report.Findings.Count == 0,
            $"{rule}, {about}: {string.Join("; ", report.Findings.Select(f => f.Rule + ": " + f.Text))}");
        Assert.True(report.Complete, string.Join("; ", report.Reasons));
    }

    // I1 to I41, each as a type of its own.
    [Fact]
    public void Every_invariant_of_the_model_has_a_rule() =>
        Assert.Equal(
            Enumerable.Range(1, 41), RuleCatalog.All.Select(r => r.Number).Where(n => n > 0).Order());

    [Fact]
    public void Every_rule_has_a_planted_bug() =>
        Assert.Equal(
            RuleCatalog.All.Select(r => r.Name).Order(StringComparer.Ordinal),
            PlantedHistories.All.Select(p => p.Rule).Distinct().Order(StringComparer.Ordinal));

    // What one object's own stream decides, the online checker decides too, from the same rules.
    [Theory]
    [MemberData(nameof(Pairs))]
    public void Online_and_offline_agree_on_what_both_can_decide(int pair, string rule, string about)
    {
        string[] offlineOnly =
        [
            "ONE-INCARNATION", "RES-INDEP", "NO-LEAK", "KILL-PROGRESS", "LIVE-FAILS-AFTER-CONFIRM", "SELECT-RULE",
            "AVAIL-QUIESCENT", "SPURIOUS-NULL-ALLOWED", "ALLOC-PINS-ITS-RESOURCE", "OR-RESET",
        ];
        var broken = PlantedHistories.All[pair].Broken().Observe();
        var clean = PlantedHistories.All[pair].Clean().Observe();

        Assert.True(clean.Findings.Count == 0 || rule is "TAG-MISMATCH",
            $"{rule}, {about}: {string.Join("; ", clean.Findings.Select(f => f.Rule))}");
        if (!offlineOnly.Contains(rule))
        {
            Assert.Contains(broken.Findings, f => f.Rule == rule);
        }
    }

    [Fact]
    public void A_client_that_uses_what_it_freed_is_to_blame_and_not_the_kernel()
    {
        var report = PlantedHistories.AccessAfterRemove(freed: true).Check();

        var finding = Assert.Single(report.Findings);
        Assert.Equal(FindingClass.Client, finding.Class);
        Assert.Equal(RunVerdict.Unknown, report.Verdict);
        Assert.Equal(2, report.ExitCode);
    }
}
