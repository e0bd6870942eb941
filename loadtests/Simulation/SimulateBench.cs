using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Kernel.P2pdma;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Plans;
using Fleet.Simulation.Cluster;

namespace Fleet.LoadTests.Simulating;

/// <summary>How much virtual time passes in one second of a processor.</summary>
/// <remarks>64 devices, 3 silos, 320 operations per second, recorded, judged online and afterwards.</remarks>
internal static class SimulateBench
{
    public const string Name = "simulate";

    /// <summary>Processor time after which the compiler has done with the agents; a quick one does not wait for
    /// it.</summary>
    private static readonly (TimeSpan Quick, TimeSpan Whole) Warmth =
        (TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(10));

    private const int Hosts = 8;
    private const int DevicesPerHost = 8;
    private const int Clients = 64;
    private const double PerSecond = 320;
    private const ulong ResourceBytes = 16 << 20;

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        await Task.CompletedTask;
        var time = TimeSpan.FromMinutes(isQuick ? 5 : 60);
        var warmth = isQuick ? Warmth.Quick : Warmth.Whole;
        for (var warm = Environment.CpuUsage.TotalTime; Environment.CpuUsage.TotalTime - warm < warmth;)
        {
            ct.ThrowIfCancellationRequested();
            ClusterSimulation.Run(PlanOf(TimeSpan.FromMinutes(isQuick ? 1 : 5), 0.5));
        }

        (string What, SimulationPlan Plan)[] parts =
        [
            ("hot operations only", PlanOf(time, 0)),
            ("an unbind for 200 operations", PlanOf(time, 0.5)),
            ("no history kept", PlanOf(time, 0.5) with { IsDigestOnly = true }),
        ];
        foreach (var (what, plan) in parts)
        {
            ct.ThrowIfCancellationRequested();
            yield return Measure(what, plan);
        }
    }

    private static Line Measure(string what, SimulationPlan plan)
    {
        var cpu = Environment.CpuUsage.TotalTime;
        var result = ClusterSimulation.Run(plan);
        var seconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        return new Line(
            Name, $"64 devices at 320 op/s, {what}", result.Simulated.TotalSeconds / seconds, "simulated s/CPU-s", null,
            null, null, null, null, "1,000",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{result.History.Operations / seconds:N0} op/CPU-s, {result.Occurrences / seconds:N0} "
                + $"occurrences/CPU-s, "
                + $"{result.Simulated.TotalMinutes:N0} min simulated, {result.Verdict}"));
    }

    private static SimulationPlan PlanOf(TimeSpan time, double unbindWeight) => new(
        new RunPlan("bench", "ALL", 1, TimeSpan.FromSeconds(2), 30, []),
        [
            .. Enumerable.Range(1, Hosts).Select(host => new HostPlan($"host-{host:0000}",
            [
                .. Enumerable.Range(0, DevicesPerHost).Select(device => new DevicePlan(
                    $"host-{host:0000}/0000:{device + 1:x2}:00.0", "p2pdma",
                    [new PciBar(0, true, 0x40_0000_0000UL + ((ulong)device << 27), ResourceBytes)])),
            ])),
        ],
        new(
            Clients, client => new EvenArrivals(client, Clients, PerSecond, time.TotalSeconds), 40, 40, 20,
            unbindWeight, [(4096, 70), (65536, 25), (1 << 20, 5)],
            new(HoldKind.Exponential, TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(2)),
            [.. Enumerable.Range(1, Hosts * DevicesPerHost).Select(rank => Math.Pow(rank, -0.9))],
            TimeSpan.FromSeconds(3)),
        new(TimeSpan.FromMilliseconds(50), HolderChoice.Prefer, TimeSpan.FromSeconds(5)),
        [new("steady", time, 1, false), new("drain", TimeSpan.FromSeconds(10), 0, true)],
        [], []);
}
