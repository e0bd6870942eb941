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
        Show(result);
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
        Show(result);
        Assert.Equal(verdict, result.Verdict);
    }

    public static TheoryData<string> FaultNames =>
        ["kill", "pause", "restart", "remove", "db", "messages"];

    [Theory]
    [MemberData(nameof(FaultNames))]
    public void Faults_break_nothing_that_the_law_keeps(string name)
    {
        for (var seed = 1UL; seed <= 5; seed++)
        {
            var result = ClusterSimulation.Run(Plans.Smoke("ALL", seed, FaultsOf(name)));
            Show(result);
            Assert.Equal(RunVerdict.Valid, result.Verdict);
        }
    }

    private static FaultPlan[] FaultsOf(string name)
    {
        FaultPlan[] silos =
        [
            Plans.Every(SimulatedFault.SiloKill, 15),
            Plans.Every(SimulatedFault.SiloPause, 20, 10, "infrastructure"),
            Plans.Every(SimulatedFault.SiloRestart, 20),
        ];
        var remove = Plans.Every(SimulatedFault.SurpriseRemove, 4);
        FaultPlan[] database =
        [
            Plans.Every(SimulatedFault.DatabaseDown, 10, 1), Plans.Every(SimulatedFault.DatabaseSlow, 10, 2),
        ];
        FaultPlan[] messages =
        [
            Plans.Share(SimulatedFault.MessageDelay, 0.05), Plans.Share(SimulatedFault.MessageDrop, 0.02),
            Plans.Share(SimulatedFault.MessageDuplicate, 0.05),
        ];
        return name switch
        {
            "kill" => [silos[0]],
            "pause" => [silos[1]],
            "restart" => [silos[2]],
            "remove" => [remove],
            "db" => database,
            "messages" => messages,
            _ => [.. silos, remove, .. database, .. messages],
        };
    }

    private void Show(SimulationResult result)
    {
        output.WriteLine($"{result.Verdict} exit {result.ExitCode} seed {result.Plan.Run.Seed} "
            + $"digest {result.Digest:x16} simulated {result.Simulated}, {result.Occurrences} occurrences, "
            + $"{result.History.Events} events");
        output.WriteLine(string.Join(", ", result.Operations));
        output.WriteLine(string.Join(", ", result.Faults));
        foreach (var reason in result.Reasons)
        {
            output.WriteLine(reason);
        }

        foreach (var finding in result.Report!.Findings.Take(5))
        {
            output.WriteLine($"{finding.Rule} {finding.Object} x{finding.Count}: {finding.Text}");
            output.WriteLine(string.Join("\n", finding.Evidence));
        }

        foreach (var stuck in result.Stuck.Take(5))
        {
            output.WriteLine(stuck.ToString());
        }

        output.WriteLine(string.Join(", ", result.Report.Probes.Where(probe => probe.Value > 0)));
    }
}
