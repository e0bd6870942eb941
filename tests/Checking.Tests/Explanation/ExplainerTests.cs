using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Checking.Tests.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Explanation;

[Trait("tier", "fast")]
public sealed class ExplainerTests
{
    public static TheoryData<int, string> Planted()
    {
        var data = new TheoryData<int, string>();
        for (var i = 0; i < PlantedHistories.All.Length; i++)
        {
            data.Add(i, PlantedHistories.All[i].Rule);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Planted))]
    public void A_finding_keeps_its_proof_when_everything_else_is_dropped(int pair, string rule)
    {
        var world = PlantedHistories.All[pair].Broken();
        var finding = world.Check().Findings.Single(f => f.Rule == rule);
        var explained = Explainer.Explain(
            finding, world.Header, Explainer.OfDevice(finding, world.Records, world.Objects), world.Objects);

        // What concludes from something absent has no record to show.
        if (!RuleCatalog.Find(rule)!.ConcludesFromAbsence)
        {
            Assert.True(explained.Verified, rule);
            Assert.InRange(explained.Minimal.Count, 1, world.Records.Count - 1);
        }

        Assert.NotEmpty(explained.KernelOrder);
    }

    [Fact]
    public void The_count_of_references_shows_the_interval_that_no_correct_order_has()
    {
        var w = new World { Header = new() { Profile = "P0", Quiescent = true } }.Bind();
        var bystander = w.Alloc(page: 3);
        w.Free(bystander, page: 3);
        var a = w.Alloc();
        w.Unbind();
        w.Free(a);
        var finding = w.Check().Findings.Single(f => f.Rule == "REAP-BEFORE-REMOVE");
        var explained = Explainer.Explain(finding, w.Header, w.Records, w.Objects);

        Assert.Equal([0, 1, 0, 1, 1, 1, 0], explained.References.Select(r => r.Held));
        Assert.Equal([false, false, false, false, false, true, false], explained.References.Select(r => r.Forbidden));
        Assert.DoesNotContain(explained.Minimal, r => r.Operation.Alloc == bystander);
        Assert.Contains(explained.Minimal, r => r.Operation.Kind is OperationKind.Alloc && r.Operation.Alloc == a);
        Assert.Contains(
            "patch 6: \"mm/devm_memremap_pages: Fix final page put race\"", finding.Text, StringComparison.Ordinal);
    }

    // Goal: minimising never makes a proof out of something that it left out.
    // Method: the free of a second allocation stands before the teardown; without it that allocation would look held.
    [Fact]
    public void Minimising_drops_an_allocation_with_its_free_or_not_at_all()
    {
        var w = new World().Bind();
        var other = w.Alloc(page: 5);
        w.Free(other, page: 5);
        var a = w.Alloc();
        w.Unbind();
        w.Free(a);
        var finding = w.Check().Findings.Single(f => f.Rule == "REAP-BEFORE-REMOVE");
        var minimal = Explainer.Explain(finding, w.Header, w.Records, w.Objects).Minimal;

        Assert.Equal(
            minimal.Count(r => r.Operation.Kind is OperationKind.Alloc),
            minimal.Count(r => r.Operation.Kind is OperationKind.Free));
    }

    [Fact]
    public void A_finding_names_the_allocation_the_unbind_the_page_map_and_the_patch()
    {
        var world = PlantedHistories.AccessAfterRemove(freed: false);
        world.Header = world.Header with { Profile = "P0" };
        var finding = world.Check().Findings.Single(f => f.Rule == "NO-USE-AFTER-REMOVE");

        Assert.Contains("allocation dev:h1/0000:01:00.0#1#1 of client:c1", finding.Text, StringComparison.Ordinal);
        Assert.Contains("the unbind of dev:h1/0000:01:00.0", finding.Text, StringComparison.Ordinal);
        Assert.Contains("page map map:h1/0000:01:00.0/bar0", finding.Text, StringComparison.Ordinal);
        Assert.Contains("devm_memremap_pages_release", finding.Text, StringComparison.Ordinal);
        Assert.Equal(Remedies.Patch(6), finding.Remedy);
        Assert.Equal(3, finding.Evidence.Count);
    }
}
