using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Simulation.Cluster;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Cluster;

[Trait("tier", "sim")]
public sealed class ClusterSimulationTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("ALL", RunVerdict.Valid)]
    [InlineData("CLEAN", RunVerdict.Valid)]
    [InlineData("P0", RunVerdict.Invalid)]
    public void A_fleet_with_one_resource_a_device_is_judged_as_its_profile_deserves(string profile, RunVerdict verdict)
    {
        var result = ClusterSimulation.Run(Plans.Smoke(profile, 1));
        Shown.Show(output, result);
        Assert.Equal(verdict, result.Verdict);
    }

    [Theory]
    [InlineData("CLEAN", RunVerdict.Valid)]
    [InlineData("ALL", RunVerdict.Invalid)]
    [InlineData("X6-5", RunVerdict.Invalid)]
    public void A_fleet_with_two_resources_a_device_is_judged_as_its_profile_deserves(
        string profile, RunVerdict verdict)
    {
        var result = ClusterSimulation.Run(Plans.Pair(profile, 1));
        Shown.Show(output, result);
        Assert.Equal(verdict, result.Verdict);
    }

    public static TheoryData<string> FaultNames =>
        ["kill", "pause", "restart", "remove", "db", "messages", "cuts", "all"];

    [Theory]
    [MemberData(nameof(FaultNames))]
    public void Faults_break_nothing_that_the_law_keeps(string name)
    {
        for (var seed = 1UL; seed <= 3; seed++)
        {
            var result = ClusterSimulation.Run(Plans.Smoke("ALL", seed, Plans.FaultsOf(name)));
            Shown.Show(output, result);
            Assert.Equal(RunVerdict.Valid, result.Verdict);
        }
    }

    [Fact]
    public void A_short_cut_from_the_database_does_not_end_a_longer_one()
    {
        var plan = Plans.Smoke("ALL", 1);
        var objects = new ObjectTable();
        var cluster = new VirtualCluster(
            plan, new(objects, isDigestOnly: true), new OnlineChecker("ALL", objects, _ => { }));
        var silo = cluster.Silos[0];
        const long second = 1_000_000_000;
        cluster.CutFromDatabase(silo, 10 * second);
        cluster.CutFromDatabase(silo, second);
        Assert.True(IsCutAfter(9 * second));
        Assert.False(IsCutAfter(2 * second));

        bool IsCutAfter(long ns)
        {
            var until = cluster.NowNs + ns;
            cluster.Time.After(ns, () => { });
            while (cluster.NowNs < until)
            {
                Assert.True(cluster.Time.Step());
            }

            return cluster.IsCutFromDatabase(silo);
        }
    }

    // A silo serves within a term that it renews in the database: who is without that for long answers nothing.
    [Fact]
    public void A_short_outage_of_the_database_does_not_end_a_longer_one()
    {
        static FaultPlan Down(int at, int length) => new(
            SimulatedFault.DatabaseDown, TimeSpan.FromSeconds(at), null, 0, TimeSpan.FromSeconds(length), null, []);

        var result = ClusterSimulation.Run(Plans.Smoke("ALL", 1, Down(5, 30), Down(10, 1)));
        Shown.Show(output, result);
        var began = (long)result.Built.TotalNanoseconds;
        var answered = result.History.Recorded()
            .Where(operation => operation.Outcome is OperationOutcome.Ok)
            .Select(operation => (operation.DoneNs - began) / 1_000_000_000)
            .ToList();
        Assert.Contains(answered, second => second < 5);
        Assert.DoesNotContain(answered, second => second is >= 10 and < 34);
        Assert.Contains(answered, second => second > 36);
    }

    // Goal: no seed shows a broken rule, a lost record or an operation that nobody resolves, whatever strikes.
    // Method: everything at once, in small fleets; FLEET_SIM_SEEDS asks for more seeds than a run in CI has time for.
    [Fact]
    public void Hundreds_of_seeds_under_every_fault_are_valid()
    {
        var seeds = Plans.Seeds(200);
        for (var seed = 1UL; seed <= seeds; seed++)
        {
            var profile = seed % 2 == 0 ? "ALL" : "CLEAN";
            var result = ClusterSimulation.Run(Plans.Smoke(profile, seed, Plans.FaultsOf("all")).Short());
            if (result.Verdict is not RunVerdict.Valid)
            {
                Shown.Show(output, result);
                Shown.Keep(result);
            }

            Assert.Equal((seed, RunVerdict.Valid), (seed, result.Verdict));
        }
    }

    [Theory]
    [InlineData("ALL")]
    [InlineData("P0")]
    public void One_seed_gives_one_history(string profile)
    {
        for (var seed = 1UL; seed <= 3; seed++)
        {
            var first = ClusterSimulation.Run(Plans.Smoke(profile, seed, Plans.FaultsOf("all")).Short());
            var second = ClusterSimulation.Run(Plans.Smoke(profile, seed, Plans.FaultsOf("all")).Short());
            Assert.Equal((first.Digest, first.Occurrences), (second.Digest, second.Occurrences));
            var other = ClusterSimulation.Run(Plans.Smoke(profile, seed + 100, Plans.FaultsOf("all")).Short());
            Assert.NotEqual(first.Digest, other.Digest);
        }
    }

    // Goal: the simulation finds defects of Fleet itself, each of which a sound fleet shows in none of the same seeds.
    [Theory]
    [InlineData(PlantedBug.NoFencing, "kill")]
    [InlineData(PlantedBug.NoFencing, "pause")]
    [InlineData(PlantedBug.ReportNotCumulative, "messages")]
    [InlineData(PlantedBug.ExecuteTwice, "messages")]
    [InlineData(PlantedBug.ResolveIsNoBarrier, "messages")]
    [InlineData(PlantedBug.AnswerBeforeDurable, "kill-slow")]
    public void A_planted_bug_is_found(PlantedBug bug, string faults) => Plans.DemandFound(
        output, bug, seed => Plans.Smoke("ALL", seed, Plans.FaultsOf(faults)).Short());
}
