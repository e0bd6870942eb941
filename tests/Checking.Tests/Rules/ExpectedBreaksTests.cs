using Fleet.Checking.Rules;

namespace Fleet.Checking.Tests.Rules;

[Trait("tier", "fast")]
public sealed class ExpectedBreaksTests
{
    [Fact]
    public void The_order_that_Fleet_proposes_is_known_to_break_nothing() => Assert.Empty(ExpectedBreaks.Of("CLEAN")!);

    [Fact]
    public void The_series_is_known_to_forbid_the_page_release_race_and_to_leave_the_freed_owner()
    {
        Assert.Contains("REAP-BEFORE-REMOVE", ExpectedBreaks.Of("P0")!);
        Assert.DoesNotContain("REAP-BEFORE-REMOVE", ExpectedBreaks.Of("v5.2")!);
        Assert.Contains("OWNER-ALIVE", ExpectedBreaks.Of("ALL")!);
        Assert.Contains("UNBIND-LIVE", ExpectedBreaks.Of("ALL-p5")!);
        Assert.Null(ExpectedBreaks.Of("no such kernel"));
    }

    // SYSFS-SAFE is judged where every step is seen; a history shows it as the dereference that it comes with.
    [Fact]
    public void What_is_expected_to_break_is_a_rule_that_is_judged() =>
        Assert.All(
            ExpectedBreaks.Profiles.SelectMany(p => ExpectedBreaks.Of(p)!).Where(r => r is not "SYSFS-SAFE"),
            rule => Assert.NotNull(RuleCatalog.Find(rule)));
}
