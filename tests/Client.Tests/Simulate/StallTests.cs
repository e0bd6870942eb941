using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Client.Simulate;
using Fleet.Kernel.History;
using Fleet.Simulation.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Simulate;

// Goal: a silo that stands still for a second appears in the response times exactly as the schedule implies.
// Method: a network whose every hop takes as long makes each answer computable: the schedule says when an operation is
// due, its client sends one at a time, and what reaches the silo while it stands still is executed when it goes on.
[Trait("tier", "sim")]
public sealed class StallTests
{
    private const long SecondNs = 1_000_000_000;
    private const long HopNs = 300_000;
    private const long PauseNs = (4 * SecondNs) + 300;
    private const int Clients = 64;
    private const int PerSecond = 1000;
    private const int Seconds = 10;

    [Fact]
    public void A_second_of_a_standing_silo_is_in_the_p99_as_the_schedule_implies()
    {
        // The one device lives on one of the two silos; only the pause of that one is felt.
        var felt = new[] { "1", "2" }.Select(MeasuredNs).Single(measured => measured[^1] > SecondNs / 2);

        var expected = ExpectedNs();

        Assert.Equal(expected, felt);
        var p99 = expected[(int)Math.Ceiling(expected.Count * 0.99) - 1];
        Assert.InRange(p99, 890_000_000, 910_000_000);
    }

    [Fact]
    public void The_recorder_says_the_same_and_service_times_hide_it()
    {
        var latency = new[] { "1", "2" }
            .Select(target => Request(target).Judge(ClusterSimulation.Run(Plan(target))).Latency)
            .Single(one => one.PercentileMs("response", null, 100) > 500);

        var histogram = LatencyRecorder.Create();
        foreach (var response in ExpectedNs())
            histogram.RecordValue(response / 1000);
        Assert.Equal(LatencyRecorder.PercentileMs(histogram, 90), latency.PercentileMs("response", "alloc", 90));
        Assert.Equal(LatencyRecorder.PercentileMs(histogram, 99), latency.PercentileMs("response", "alloc", 99));

        // One operation of each client saw the stall; whoever asks only how long calls take hears nothing of it.
        Assert.InRange(latency.PercentileMs("service", "alloc", 99)!.Value, 0.5, 0.7);
    }

    /// <summary>Response times that the schedule implies, sorted.</summary>
    private static List<long> ExpectedNs()
    {
        var schedule = new ArrivalSchedule(
            new Rate.Constant(PerSecond), [new("steady", TimeSpan.FromSeconds(Seconds), 1)], 1);
        var expected = new List<long>();
        for (var client = 0; client < Clients; client++)
        {
            var answered = 0L;
            for (var due = schedule.CursorOf(client, Clients); due.HasNext; due.Advance())
            {
                var arrives = Math.Max(due.DueNs, answered) + HopNs;
                var executed = arrives is > PauseNs and < PauseNs + SecondNs ? PauseNs + SecondNs : arrives;
                answered = executed + HopNs;
                expected.Add(answered - due.DueNs);
            }
        }

        expected.Sort();
        return expected;
    }

    private static List<long> MeasuredNs(string target)
    {
        var result = ClusterSimulation.Run(Plan(target));
        var allocs = result.History.Recorded().Where(one => one.Kind is OperationKind.Alloc).ToList();
        Assert.All(allocs, one => Assert.NotEqual(OperationOutcome.Unknown, one.Outcome));
        var times = allocs.ConvertAll(one => one.DoneNs - one.IntendedNs);
        times.Sort();
        return times;
    }

    private static SimulatedRun Request(string target) => new(
        RunRequest.Create(
            "smoke",
            new()
            {
                IsSimulated = true,
                Devices = 1,
                Clients = Clients,
                RatePerSecond = PerSecond,
                Overrides =
                [
                    .. new[]
                    {
                        "fleet.resourceSize=512MiB",
                        "load.operations={ alloc: 1, access: 0, free: 0, unbind: 0 }",
                        "load.size={ kind: choice, of: { 4KiB: 1 } }", "load.hold={ kind: constant, value: 60s }",
                        $"phases=[ {{ name: steady, for: {Seconds}s }}, {{ name: drain, for: 60s }} ]",
                        "probes={ require: [] }", "thresholds=[]",
                        $"faults=[{{ kind: silo-pause, target: {target}, at: {{ kind: at, after: 4s }}, for: 1s, "
                            + "expect: [] }]",
                    }.Select(ScenarioOverride.Parse),
                ],
            },
            StoreAddress.Parse("unused"), false, "", DateTimeOffset.UnixEpoch),
        2, false, null, "");

    private static SimulationPlan Plan(string target)
    {
        var plan = SimulationRequest.PlanOf(Request(target).Request, 2);
        var hop = TimeSpan.FromMicroseconds(HopNs / 1000.0);
        return plan with
        {
            Network = plan.Network with { RemoteLeast = hop, RemoteMost = hop },
            Faults = [.. plan.Faults.Select(fault => fault with { At = TimeSpan.FromTicks(PauseNs / 100) })],
        };
    }
}
