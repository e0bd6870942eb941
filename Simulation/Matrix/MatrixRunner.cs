using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Matrix;

/// <summary>How a cell compares with its expectation.</summary>
public enum CellOutcome : byte
{
    Agrees,

    /// <summary>Differs from the table as a decision says that it must.</summary>
    Overruled,

    /// <summary>The table has no such cell.</summary>
    New,

    /// <summary>No meaning under this profile, and the table says so too.</summary>
    NotApplicable,

    /// <summary>A bound stopped the exploration; what was found agrees, but more may be there.</summary>
    Bounded,
    Differs,
}

/// <summary>One scenario under one profile, explored and compared.</summary>
/// <param name="Report">Null where there is nothing to explore.</param>
/// <param name="Why">For a cell that differs or is overruled: one sentence.</param>
public sealed record MatrixCell(
    string Scenario, string Profile, CellOutcome Outcome, ExploreReport? Report, ExpectedCell? Expected, string? Why);

/// <summary>All cells.</summary>
public sealed record MatrixReport(IReadOnlyList<MatrixCell> Cells)
{
    public int Count(CellOutcome outcome) => Cells.Count(cell => cell.Outcome == outcome);

    /// <summary>No cell differs and none was stopped by a bound.</summary>
    public bool Agrees => Count(CellOutcome.Differs) == 0 && Count(CellOutcome.Bounded) == 0;
}

/// <summary>
/// Explores every scenario under every profile and compares what is found with a table; looks nothing up.
/// </summary>
public static class MatrixRunner
{
    /// <param name="table">The expectations, see <see cref="MatrixTable.Parse"/>.</param>
    /// <param name="overrules">Differences that a decision has settled.</param>
    /// <param name="options">The same for every cell.</param>
    /// <param name="explore">How a cell is explored; null for once.</param>
    /// <param name="chosen">Which cells; null for all.</param>
    /// <param name="done">Called after each cell, from one thread.</param>
    public static MatrixReport Run(
        IReadOnlyList<ExpectedCell> table,
        IReadOnlyList<Overrule> overrules,
        ExploreOptions options,
        Func<Scenario, KernelProfile, bool>? chosen = null,
        Action<MatrixCell>? done = null,
        Func<Scenario, KernelProfile, ExploreOptions, ExploreReport>? explore = null)
    {
        explore ??= Explorer.Run;
        var expected = table.ToDictionary(cell => (cell.Scenario, cell.Profile));
        var settled = overrules.ToDictionary(one => (one.Scenario, one.Profile));
        var cells = new List<MatrixCell>();
        foreach (var scenario in ScenarioCatalog.All)
        {
            foreach (var profile in KernelProfile.All)
            {
                if (chosen is not null && !chosen(scenario, profile))
                {
                    continue;
                }

                var key = (scenario.Id, profile.Name);
                var report = scenario.AppliesTo(profile) ? explore(scenario, profile, options) : null;
                var cell = Compare(
                    scenario, profile, report, expected.GetValueOrDefault(key), settled.GetValueOrDefault(key));
                cells.Add(cell);
                done?.Invoke(cell);
            }
        }

        // A row of the table that no scenario answers is a difference too.
        foreach (var unknown in table.Where(cell => chosen is null && !ScenarioCatalog.TryFind(cell.Scenario, out _)))
        {
            cells.Add(new(
                unknown.Scenario, unknown.Profile, CellOutcome.Differs, null, unknown, "There is no such scenario."));
        }

        return new(cells);
    }

    internal static MatrixCell Compare(
        Scenario scenario, KernelProfile profile, ExploreReport? report, ExpectedCell? expected, Overrule? settled)
    {
        MatrixCell Cell(CellOutcome outcome, string? why) =>
            new(scenario.Id, profile.Name, outcome, report, expected, why);

        if (report is null)
        {
            return expected is { Worst: not null }
                ? Cell(CellOutcome.Differs, "The table expects a result where the scenario has no meaning.")
                : Cell(CellOutcome.NotApplicable, null);
        }

        if (report.Unseen.Count > 0)
        {
            return Cell(CellOutcome.Differs, $"No schedule reached what it must: {string.Join("; ", report.Unseen)}.");
        }

        if (scenario.WarningsRequired is { } warnings && report.Warnings != (warnings, warnings))
        {
            return Cell(
                CellOutcome.Differs, $"{report.Warnings.Min} to {report.Warnings.Max} warnings, required: {warnings}.");
        }

        if (expected is null)
        {
            return Cell(CellOutcome.New, null);
        }

        if (expected.Worst == report.Worst && expected.Rules == report.Broken)
        {
            return Cell(report.IsExhausted ? CellOutcome.Agrees : CellOutcome.Bounded, null);
        }

        if (settled is not null && settled.Rules == report.Broken && expected.Confidence is not CellConfidence.Certain)
        {
            return Cell(CellOutcome.Overruled, $"decision {settled.Decision}: {settled.Reason}");
        }

        var missing = expected.Rules.Without(report.Broken);
        var more = report.Broken.Without(expected.Rules);
        return Cell(
            CellOutcome.Differs,
            $"expected {Words(expected.Worst, expected.Rules)}"
            + (missing.IsEmpty ? "" : $"; not found: {missing}")
            + (more.IsEmpty ? "" : $"; also found: {more}"));
    }

    private static string Words(WorldVerdict? worst, RuleSet rules)
    {
        var word = worst is { } one ? one.ToString().ToLowerInvariant() : "n/a";
        return rules.IsEmpty ? word : $"{word} ({rules})";
    }
}
