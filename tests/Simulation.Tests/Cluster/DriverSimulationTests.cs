using Fleet.Kernel.History;
using Fleet.Simulation.Cluster;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Cluster;

/// <summary>Drivers other than p2pdma and vector calls on the virtual cluster.</summary>
[Trait("tier", "sim")]
public sealed class DriverSimulationTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("CLEAN", RunVerdict.Valid)]
    [InlineData("L515c", RunVerdict.Valid)]
    [InlineData("L62f", RunVerdict.Valid)]
    [InlineData("ALL", RunVerdict.Invalid)]
    [InlineData("P0", RunVerdict.Invalid)]
    [InlineData("MAINLINE", RunVerdict.Invalid)]
    public void A_fleet_of_all_drivers_is_judged_as_its_profile_deserves(string profile, RunVerdict verdict)
    {
        var result = ClusterSimulation.Run(Plans.Mixed(profile, 1).For(12));
        Shown.Show(output, result);
        Assert.Equal(verdict, result.Verdict);
    }

    [Theory]
    [InlineData("ALL", RunVerdict.Valid)]
    [InlineData("CLEAN", RunVerdict.Valid)]
    [InlineData("P0", RunVerdict.Invalid)]
    public void A_fleet_under_vector_calls_is_judged_as_its_profile_deserves(string profile, RunVerdict verdict)
    {
        var result = ClusterSimulation.Run(Plans.Vectors(profile, 1).For(12));
        Shown.Show(output, result);
        Assert.Equal(verdict, result.Verdict);
    }

    [Theory]
    [InlineData("vectors")]
    [InlineData("drivers")]
    public void Many_seeds_under_every_fault_are_valid(string load)
    {
        var seeds = Plans.Seeds(30);
        for (var seed = 1UL; seed <= seeds; seed++)
        {
            var result = ClusterSimulation.Run(PlanOf(load, seed));
            if (result.Verdict is not RunVerdict.Valid)
            {
                Shown.Show(output, result);
                Shown.Keep(result);
            }

            Assert.Equal((seed, RunVerdict.Valid), (seed, result.Verdict));
        }
    }

    [Theory]
    [InlineData("vectors")]
    [InlineData("drivers")]
    public void One_seed_gives_one_history(string load)
    {
        var first = ClusterSimulation.Run(PlanOf(load, 7));
        var second = ClusterSimulation.Run(PlanOf(load, 7));
        Assert.Equal((first.Digest, first.Occurrences), (second.Digest, second.Occurrences));
        Assert.NotEqual(first.Digest, ClusterSimulation.Run(PlanOf(load, 8)).Digest);
    }

    // Goal: what the client's calls need of Fleet holds for vectors and for pins too. Method: a defect of Fleet that
    // each load has to find, which a sound fleet shows in none of the same seeds.
    [Theory]
    [InlineData(PlantedBug.ExecuteTwice, "vectors")]
    [InlineData(PlantedBug.ResolveIsNoBarrier, "vectors")]
    [InlineData(PlantedBug.ExecuteTwice, "drivers")]
    [InlineData(PlantedBug.ReportNotCumulative, "drivers")]
    public void A_planted_bug_is_found(PlantedBug bug, string load) => Plans.DemandFound(
        output, bug, seed => PlanOf(load, seed) with { Faults = Plans.FaultsOf("messages") });

    private static SimulationPlan PlanOf(string load, ulong seed) => load == "vectors"
        ? Plans.Vectors(seed % 2 == 0 ? "ALL" : "CLEAN", seed, Plans.AllFaults()).Short()
        : Plans.Mixed("CLEAN", seed, Plans.AllFaults()).Short();
}
