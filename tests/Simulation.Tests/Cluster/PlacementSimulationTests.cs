using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Simulation.Cluster;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Cluster;

/// <summary>Spread objects, shared sections, cuts in the network and the death of a generator.</summary>
[Trait("tier", "sim")]
public sealed class PlacementSimulationTests(ITestOutputHelper output)
{
    public static TheoryData<string> Kinds => ["spread", "sections", "generators"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Without_any_other_fault_it_is_valid(string kind)
    {
        var result = ClusterSimulation.Run(PlanOf(kind, "ALL", 1));
        Shown.Show(output, result);
        Assert.Equal(RunVerdict.Valid, result.Verdict);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Many_seeds_under_every_fault_are_valid(string kind)
    {
        var seeds = Plans.Seeds(30);
        for (var seed = 1UL; seed <= seeds; seed++)
        {
            var result = ClusterSimulation.Run(PlanOf(
                kind, seed % 2 == 0 ? "ALL" : "CLEAN", seed, Plans.AllFaults()));
            if (result.Verdict is not RunVerdict.Valid)
            {
                Shown.Show(output, result);
                Shown.Keep(result);
            }

            Assert.Equal((seed, RunVerdict.Valid), (seed, result.Verdict));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void One_seed_gives_one_history(string kind)
    {
        var first = ClusterSimulation.Run(PlanOf(kind, "ALL", 7, Plans.AllFaults()));
        var second = ClusterSimulation.Run(PlanOf(kind, "ALL", 7, Plans.AllFaults()));
        Assert.Equal((first.Digest, first.Occurrences), (second.Digest, second.Occurrences));
        Assert.NotEqual(first.Digest, ClusterSimulation.Run(PlanOf(kind, "ALL", 8, Plans.AllFaults())).Digest);
    }

    // Goal: what a killed generator held is freed under its session, and another goes on under a new one.
    [Fact]
    public void A_killed_generator_is_reaped_and_followed()
    {
        var result = ClusterSimulation.Run(PlanOf("generators", "ALL", 1));
        var objects = result.History.Objects;
        var sessions = result.History.Recorded().Where(operation => operation.Outcome is OperationOutcome.Ok)
            .Select(operation => objects.Name(operation.Session)).ToHashSet();
        Assert.True(result.Faults["generator-kill"] > 0);
        Assert.True(result.Faults["reaped"] > 0);
        Assert.Contains("session:gen-3", sessions);
    }

    [Theory]
    [InlineData(PlantedBug.HeirUsesWhatWasReaped, "generators")]
    [InlineData(PlantedBug.NoFencing, "spread")]
    public void A_planted_bug_is_found(PlantedBug bug, string kind) => Plans.DemandFound(
        output, bug,
        seed => PlanOf(kind, "ALL", seed, kind == "spread" ? Plans.FaultsOf("kill") : []));

    // Goal: terms keep an isolated silo from answering for what another one has taken. Method: without fences the same
    // faults show two incarnations at once.
    [Fact]
    public void Without_fencing_an_isolated_silo_is_found_out()
    {
        for (var seed = 1UL; seed <= 30; seed++)
        {
            var plan = Plans.Smoke("ALL", seed, Plans.FaultsOf("cuts")).Short();
            Assert.Equal(RunVerdict.Valid, ClusterSimulation.Run(plan).Verdict);
            var open = ClusterSimulation.Run(plan with { Run = plan.Run with { IsFenced = false } });
            if (open.Report!.Findings.Any(finding => finding.Class is FindingClass.Infrastructure))
            {
                return;
            }
        }

        Assert.Fail("Nothing was found without fences.");
    }

    private static SimulationPlan PlanOf(string kind, string profile, ulong seed, params FaultPlan[] faults) =>
        (kind switch
        {
            "spread" => Plans.Spread(profile, seed, faults),
            "sections" => Plans.Sections(profile, seed, faults),
            _ => Plans.Shared(profile, seed, faults),
        }).Short();
}
