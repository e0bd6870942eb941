using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Matrix;
using Fleet.Simulation.Museum;
using Fleet.Simulation.Replay;

namespace Fleet.Simulation.Tests.Matrix;

[Trait("tier", "sim")]
public sealed class MatrixTests
{
    // Goal: what exploring finds is what the table says, in every cell, and everything was explored.
    // Method: the whole matrix, with the writes of every step checked.
    [Fact]
    public void Every_cell_is_exhausted_and_agrees_with_the_table_or_a_decision()
    {
        var report = MatrixRunner.Run(
            MatrixTable.Parse(MatrixTable.ShippedText()), MatrixTable.ShippedOverrules(), new ExploreOptions());

        Assert.Empty(report.Cells
            .Where(cell => cell.Outcome is CellOutcome.Differs or CellOutcome.Bounded)
            .Select(cell => $"{cell.Scenario} {cell.Profile}: {cell.Why ?? "bounded"}"));
        Assert.Equal(589, report.Cells.Count(cell => cell.Expected is not null));
        Assert.Equal(22, report.Count(CellOutcome.Overruled));
        Assert.All(report.Cells, cell => Assert.True(cell.Report?.IsExhausted ?? true));
    }

    [Fact]
    public void Every_museum_piece_is_found_and_its_fix_is_clean() =>
        Assert.Empty(MuseumCatalog.All
            .Select(entry => MuseumCatalog.Show(entry, new ExploreOptions()))
            .Where(result => !result.Holds)
            .Select(result => $"{result.Entry.Name}: found {result.Found}, fix clean {result.FixIsClean}"));

    // Goal: what a person has to read of a museum piece is as little as can be, and there soon.
    [Fact]
    public void Every_museum_piece_shrinks_to_a_schedule_of_which_no_step_can_go()
    {
        foreach (var entry in MuseumCatalog.All)
        {
            var (scenario, profile) = Explorer.Find(entry.Scenario, entry.BrokenProfile);
            var found = Explorer.Run(scenario, profile, new ExploreOptions { StopAt = RuleSet.Of(entry.Rule) });
            var shrunk = Shrinker.Shrink(scenario, profile, entry.Rule, found.First[entry.Rule])!;
            Assert.True(shrunk.IsOneMinimal, entry.Name);
            Assert.True(shrunk.Steps <= found.First[entry.Rule].Choices.Count, entry.Name);
            Assert.True(Replayer.Run(shrunk.Token.ToString()).Broken.Has(entry.Rule), entry.Name);
        }
    }

    [Fact]
    public void A_certain_cell_cannot_be_overruled()
    {
        var (scenario, profile) = Explorer.Find("S1", "V1");
        var found = Explorer.Run(scenario, profile, new ExploreOptions());
        var wrong = new ExpectedCell("S1", "V1", WorldVerdict.Clean, RuleSet.Empty, CellConfidence.Certain, "");
        var overrule = new Overrule("S1", "V1", found.Broken, "0000", "because");

        Assert.Equal(
            CellOutcome.Differs, MatrixRunner.Compare(scenario, profile, found, wrong, overrule).Outcome);
        Assert.Equal(
            CellOutcome.Overruled,
            MatrixRunner.Compare(
                scenario, profile, found, wrong with { Confidence = CellConfidence.Analysis }, overrule).Outcome);
    }

    [Theory]
    [InlineData("scenario,profile,expected,rules,confidence,note\nS1,P0,clean,,certain")]
    [InlineData("scenario,profile,expected,rules,confidence,note\nS1,P0,fine,,certain,")]
    [InlineData("scenario,profile,expected,rules,confidence,note\nS1,P0,invalid,NO-SUCH-RULE,certain,")]
    public void A_malformed_table_is_refused_with_its_line(string csv) =>
        Assert.StartsWith(
            "line 2", Assert.Throws<FormatException>(() => MatrixTable.Parse(csv)).Message, StringComparison.Ordinal);
}
