using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Client.Simulate;
using Fleet.Simulation.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Simulate;

// Goal: what a scenario file expects of a live run holds on the virtual cluster too.
// Method: each file of the live fleet with the profiles it names, on a few devices and for some virtual seconds; rare
// situations that so small a run need not meet are not required.
[Trait("tier", "sim")]
public sealed class ScenarioSweepTests
{
    private const int Devices = 20;
    private const int Clients = 12;

    /// <summary>Name of a file, name of a fault plan to lay over it or nothing, profile.</summary>
    public static TheoryData<string, string?, string> Expected()
    {
        var expected = new TheoryData<string, string?, string>();
        foreach (var name in ScenarioFile.Shipped)
        {
            if (ScenarioFile.IsFaultPlan(name))
            {
                expected.Add(ScenarioFile.Default, name, "ALL");
                continue;
            }

            foreach (var profile in ScenarioFile.ReadScenario(name, []).Expect.Keys)
                expected.Add(name, null, profile);
        }

        return expected;
    }

    [Theory]
    [MemberData(nameof(Expected))]
    public void A_scenario_is_judged_as_its_file_expects(
        string scenario, string? faults, string profile)
    {
        var expected = ScenarioFile.ReadScenario(scenario, []).Expect[profile];
        var request = RunRequest.Create(
            scenario,
            new()
            {
                IsSimulated = true,
                Profile = profile,
                Faults = faults,
                Devices = Devices,
                Clients = Clients,
                Overrides =
                [
                    .. new[]
                    {
                        $"phases=[ {{ name: steady, for: {SecondsOf(scenario, faults)}s }}, "
                            + "{ name: drain, for: 10s } ]",
                        "probes={ require: [] }", "thresholds=[]",
                    }.Select(ScenarioOverride.Parse),
                ],
            },
            StoreAddress.Parse("unused"), false, "", DateTimeOffset.UnixEpoch);
        var result = ClusterSimulation.Run(SimulationRequest.PlanOf(request, SimulatedRun.SilosDefault));
        Assert.Equal(
            (expected.ToString(), ""), (result.Verdict.ToString(), Told(expected.ToString(), result)));
    }

    /// <summary>Long enough for the faults of a file to strike; as short as can be otherwise.</summary>
    private static int SecondsOf(string scenario, string? faults) =>
        faults is null && ScenarioFile.ReadScenario(scenario, []).Faults.IsEmpty ? 4 : 15;

    /// <summary>What the reader of a failed test wants to know.</summary>
    private static string Told(string expected, SimulationResult result) =>
        result.Verdict.ToString() == expected ? "" : string.Join(" ", result.Reasons);
}
