using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
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
    private static readonly TimeSpan KilledAfter = TimeSpan.FromSeconds(5);

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        Size[] sizes = isQuick
            ? [new(10, 100, 1), new(40, 100, 2)]
            : [new(10, 100, 1), new(100, 100, 1), new(100, 1000, 1), new(1000, 1000, 10)];
        ClusterSimulation.Run(PlanOf(new(2, 10, 1), 1, []));
        foreach (var size in sizes)
        {
            var cells = new List<Outcome>();
            for (var number = 1; number <= size.Cells; number++)
            {
                await Task.Yield();
                ct.ThrowIfCancellationRequested();
                cells.Add(Run(PlanOf(size, (ulong)number, [])));
                if (size.Cells > 1)
                {
                    yield return LineOf(size, $"cell {number} of {size.Cells}", [cells[^1]], struck: null);
                }
            }

            var struck = Run(PlanOf(size, 1, [new(
                SimulatedFault.SiloKill, KilledAfter, null, 0, null, "1", ["infrastructure"])]));
            yield return LineOf(size, $"cells: {size.Cells}", cells, struck);
        }
    }

    private static Line LineOf(Size size, string what, List<Outcome> cells, Outcome? struck)
    {
        var devices = size.Devices / size.Cells * cells.Count;
        var events = cells.Sum(cell => cell.Events);
        return new(
            Name,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{size.Hosts:N0} hosts × {size.DevicesPerHost:N0} devices, {size.Cells * SilosOfCell} silos, {what}"),
            events / (double)devices, "events/device", null, null, null, null, null, "",
            string.Create(
                CultureInfo.InvariantCulture,
                $"all bound after {cells.Max(cell => cell.Built.TotalSeconds):N1} virtual s; "
                + $"{cells.Sum(cell => cell.Operations):N0} operations, {cells.Sum(cell => cell.Occurrences):N0} "
                + $"occurrences, {cells.Sum(cell => cell.CpuSeconds):N0} CPU-s, "
                + $"{cells.Max(cell => cell.PeakBytes) * (double)cells.Count / devices:N0} B/device at the peak "
                + $"of a cell; {cells.Sum(cell => cell.Findings)} findings")
            + (struck is null ? "" : string.Create(
                CultureInfo.InvariantCulture,
                $"; one silo killed: {struck.Failovers:N0} failovers, "
                + $"{struck.Binds - cells[0].Binds:N0} bound again in "
                + $"{Load.TotalSeconds - KilledAfter.TotalSeconds:N0} s, {struck.Events - cells[0].Events:N0} events "
                + $"more, {struck.Unknown:N0} operations of unknown outcome, {struck.Resolved:N0} of them resolved, "
                + $"{struck.CpuSeconds:N0} CPU-s, {struck.Findings} findings")));
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
            result.Online.Findings.Count, result.Built,
            result.Operations.Where(one => one.Kind is OperationKind.Bind).Sum(one => one.Ok));
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
        long Resolved, int Findings, TimeSpan Built, long Binds);

    /// <summary>The largest heap seen.</summary>
    private sealed class PeakMemory
    {
        private long _bytes;

        public long Bytes => Interlocked.Read(ref _bytes);

        public void Look() =>
            Interlocked.Exchange(ref _bytes, Math.Max(Bytes, GC.GetTotalMemory(forceFullCollection: false)));
    }
}
