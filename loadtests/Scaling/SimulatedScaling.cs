using System.Globalization;
using Fleet.Kernel.P2pdma;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Plans;
using Fleet.Simulation.Cluster;

namespace Fleet.LoadTests.Scaling;

/// <summary>A fleet up to 1,000 hosts of 1,000 devices on virtual clusters: what it holds, and what a dead silo
/// costs.</summary>
/// <remarks>
/// The agents are those of the live fleet, so events, messages and failovers are counted and not estimated. Time of the
/// virtual network and database is drawn, not measured, and neither has a limit of throughput: docs/scaling.md
/// multiplies the counts by measured costs. The largest fleet is simulated cell by cell, since a device never talks to
/// another one's objects: what cells do not share, membership and directory, is arithmetic.
/// </remarks>
internal static class SimulatedScaling
{
    public const string Name = "scaling-simulated";

    private const int SilosOfCell = 4;
    private const int Clients = 256;
    private const double PerSecond = 1000;

    private static readonly TimeSpan Load = TimeSpan.FromSeconds(20);

    public static Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        Size[] sizes = isQuick
            ? [new(10, 100, 1), new(40, 100, 2)]
            : [new(10, 100, 1), new(100, 100, 1), new(100, 1000, 1), new(1000, 1000, 10)];
        ClusterSimulation.Run(PlanOf(new(2, 10, 1), 1, []));
        var lines = new List<Line>();
        foreach (var size in sizes)
        {
            lines.Add(Measure(size, ct));
            Console.Error.WriteLine($"{lines[^1].What}: {lines[^1].Notes}");
        }

        return Task.FromResult<IReadOnlyList<Line>>(lines);
    }

    private static Line Measure(Size size, CancellationToken ct)
    {
        var cells = new List<Outcome>();
        for (ulong seed = 1; seed <= (ulong)size.Cells; seed++)
        {
            ct.ThrowIfCancellationRequested();
            cells.Add(Run(PlanOf(size, seed, [])));
        }

        var struck = Run(PlanOf(
            size, 1, [new(SimulatedFault.SiloKill, TimeSpan.FromSeconds(5), null, 0, null, "1", ["infrastructure"])]));
        var events = cells.Sum(cell => cell.Events);
        return new(
            Name,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{size.Hosts:N0} hosts × {size.DevicesPerHost:N0} devices, {size.Cells * SilosOfCell} silos, cells: "
                + $"{size.Cells}"),
            events / (double)size.Devices, "events/device", null, null, null, null, null, "",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{cells.Sum(cell => cell.Operations):N0} operations, {cells.Sum(cell => cell.Occurrences):N0} "
                + $"occurrences, {cells.Sum(cell => cell.CpuSeconds):N0} CPU-s, "
                + $"{cells.Max(cell => cell.PeakBytes) * (double)size.Cells / size.Devices:N0} B/device at the peak "
                + $"of a cell; one silo killed: {struck.Failovers:N0} failovers, "
                + $"{struck.Events - cells[0].Events:N0} events more, {struck.Unknown:N0} operations of unknown "
                + $"outcome, {struck.Resolved:N0} of them resolved; "
                + $"{cells.Sum(cell => cell.Findings) + struck.Findings} findings"));
    }

    private static Outcome Run(SimulationPlan plan)
    {
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var cpu = Environment.CpuUsage.TotalTime;
        var peak = new PeakMemory();
        using var timer = new Timer(_ => peak.Look(), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));
        var result = ClusterSimulation.Run(plan);
        return new(
            result.History.Operations, result.History.Events, result.Occurrences,
            (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, peak.Bytes - before,
            result.Faults.GetValueOrDefault("failover"), result.Operations.Sum(one => one.Unknown),
            result.Faults.GetValueOrDefault("unknown-resolved-executed")
                + result.Faults.GetValueOrDefault("unknown-resolved-not-seen"),
            result.Online.Findings.Count);
    }

    private static SimulationPlan PlanOf(Size size, ulong seed, IReadOnlyList<FaultPlan> faults) => new(
        new RunPlan("scaling", "ALL", seed, TimeSpan.FromSeconds(2), 30, []),
        [
            .. Enumerable.Range(1, size.Hosts / size.Cells).Select(host => new HostPlan($"host-{host:0000}",
            [
                .. Enumerable.Range(0, size.DevicesPerHost).Select(device => new DevicePlan(
                    $"host-{host:0000}/{device >> 8:x4}:{device & 0xff:x2}:00.0", "p2pdma",
                    [new PciBar(0, true, 0x40_0000_0000UL + ((ulong)device << 27), 1 << 20)])),
            ])),
        ],
        new(
            Clients, client => new EvenArrivals(client, Clients, PerSecond, Load.TotalSeconds), 40, 40, 20, 0.2,
            [(4096, 80), (65536, 20)],
            new(HoldKind.Exponential, TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(1)),
            [.. Enumerable.Repeat(1.0, size.Devices / size.Cells)],
            TimeSpan.FromSeconds(3)),
        new(TimeSpan.FromMilliseconds(50), HolderChoice.Any, TimeSpan.FromSeconds(5)),
        [new("steady", Load, 1, false), new("drain", TimeSpan.FromSeconds(10), 0, true)],
        faults, [])
    {
        Silos = SilosOfCell,
        IsDigestOnly = true,
    };

    private sealed record Size(int Hosts, int DevicesPerHost, int Cells)
    {
        public int Devices => Hosts * DevicesPerHost;
    }

    private sealed record Outcome(
        long Operations, long Events, long Occurrences, double CpuSeconds, long PeakBytes, long Failovers, long Unknown,
        long Resolved, int Findings);

    /// <summary>The largest heap seen.</summary>
    private sealed class PeakMemory
    {
        private long _bytes;

        public long Bytes => Interlocked.Read(ref _bytes);

        public void Look() =>
            Interlocked.Exchange(ref _bytes, Math.Max(Bytes, GC.GetTotalMemory(forceFullCollection: false)));
    }
}
