using System.Diagnostics;
using System.Globalization;
using Fleet.Grains;
using Fleet.Kernel.P2pdma;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Plans;

namespace Fleet.LoadTests.Cold;

/// <summary>Activation and bind of devices against as many empty grains, what either holds, and an unbind of
/// all.</summary>
/// <remarks>
/// A bound device is three grains, so its floor is three empty ones, activated by a grain that calls as many at a time
/// as a host does. Both run in turns in one silo, with fresh keys each round; recorded to the spool and checked online.
/// </remarks>
internal static class ColdBench
{
    public const string Name = "cold";

    internal const int DevicesPerHost = 100;
    private const int WarmHosts = 10;
    private const int WarmRoundsMax = 20;
    private const int GrainsOfDevice = 3;

    /// <summary>Build, Init and SetUp, one to each grain: they activate.</summary>
    private const int CallsOfBind = 3;

    /// <summary>Kill, Fold, Confirm, WaitZero twice, PutInitial, Remove, Erase, Exit, and the device's own.</summary>
    private const int CallsOfUnbind = 10;

    private static readonly RunPlan Run = new("bench", "ALL", 1, TimeSpan.FromSeconds(2), 3600, []);

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var (rounds, hosts) = isQuick ? (2, 10) : (10, 100);
        await using var fleet = await MeasuredFleet.StartAsync(1, 100, Recording.Spooled, ct);
        await WarmUpAsync(fleet, isQuick ? 1 : WarmRoundsMax, ct);
        List<Spent> built = [], activated = [], called = [];
        for (var round = 0; round < rounds; round++)
        {
            ct.ThrowIfCancellationRequested();
            activated.Add(await SpentAsync(() => ActivateAsync(fleet, $"e{round}", hosts)));
            built.Add(await SpentAsync(() => BuildAsync(fleet, $"b{round}", hosts)));
            called.Add(await SpentAsync(() => CallAsync(fleet, $"e{round}", hosts, CallsOfUnbind)));
            fleet.Empty();
        }

        var storms = await StormsAsync(fleet, "s", isQuick ? 1000 : 10_000, isQuick ? 2 : 3);
        var devices = hosts * DevicesPerHost;
        var ofCall = Median(called, spent => spent.CpuSeconds / (devices * CallsOfUnbind));
        return
        [
            Compared(
                $"{rounds} × {devices:N0} devices activated and bound", built, activated, devices, "1.5",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{GrainsOfDevice} empty grains activated, both by {CallsOfBind} calls of "
                    + $"{ofCall * 1e6:N0} µs; allocated {Median(built, spent => spent.AllocatedBytes) / devices:N0} "
                    + $"B/device against {Median(activated, spent => spent.AllocatedBytes) / devices:N0}")),
            new Line(
                Name, "memory of a bound idle device", Median(built, spent => spent.HeldBytes) / devices, "B/device",
                $"{GrainsOfDevice} empty grains", Median(activated, spent => spent.HeldBytes) / devices,
                Median(built, spent => spent.HeldBytes) / Median(activated, spent => spent.HeldBytes), null, null,
                "8192 B", Of(built, spent => spent.HeldBytes / devices, "B")),
            StormLine(storms, ofCall),
        ];
    }

    /// <summary>
    /// Binds and unbinds devices until the compiler has little left to do. They stay: a fleet that ended would give its
    /// memory back by and by, while that of others is counted.
    /// </summary>
    private static async Task WarmUpAsync(MeasuredFleet fleet, int roundsMax, CancellationToken ct)
    {
        var isWarm = false;
        for (var round = 0; round < roundsMax && !isWarm; round++)
        {
            ct.ThrowIfCancellationRequested();
            var compiling = Compiling.Start();
            await ActivateAsync(fleet, $"we{round}", WarmHosts);
            await StormsAsync(fleet, $"wb{round}-", WarmHosts * DevicesPerHost, 1);
            isWarm = compiling.IsLittle;
        }
    }

    private static Line Compared(
        string what, List<Spent> spent, List<Spent> floor, int devices, string aim, string notes)
    {
        var ratios = spent.Zip(floor, (own, bare) => own.CpuSeconds / bare.CpuSeconds).Order().ToArray();
        return new(
            Name, what, Median(spent, one => one.CpuSeconds) / devices * 1e6, "CPU-µs/device",
            $"{GrainsOfDevice} empty grains", Median(floor, one => one.CpuSeconds) / devices * 1e6,
            Comparison.Median(ratios), ratios[0], ratios[^1], aim,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{devices / Median(spent, one => one.WallSeconds):N0} devices/s wall against "
                + $"{devices / Median(floor, one => one.WallSeconds):N0}; {notes}"));
    }

    private static Line StormLine(List<Storm> storms, double secondsOfCall)
    {
        var cpu = Comparison.Median(storms.Select(storm => storm.Spent.CpuSeconds / storm.Devices)) * 1e6;
        var floor = CallsOfUnbind * secondsOfCall * 1e6;
        return new(
            Name, $"unbind of {storms[0].Devices:N0} bound devices at once", cpu, "CPU-µs/device",
            $"{CallsOfUnbind} bare calls", floor, cpu / floor, null, null, "",
            string.Create(
                CultureInfo.InvariantCulture,
                $"all done after {Comparison.Median(storms.Select(storm => storm.Spent.WallSeconds)):0.00} s; "
                + $"{storms.Sum(storm => storm.Devices - storm.Unbound)} not unbound"));
    }

    private static async Task<List<Storm>> StormsAsync(MeasuredFleet fleet, string name, int devices, int rounds)
    {
        var hosts = devices / DevicesPerHost;
        var storms = new List<Storm>();
        for (var round = 0; round < rounds; round++)
        {
            await BuildAsync(fleet, $"{name}{round}", hosts);
            var all = Enumerable.Range(0, hosts).SelectMany(host => PlanOf($"{name}{round}-{host:0000}").Devices)
                .Select(device => fleet.Grains.GetGrain<IPciDeviceGrain>(device.Key)).ToArray();
            var unbound = 0;
            var spent = await SpentAsync(async () =>
            {
                foreach (var one in await Task.WhenAll(all.Select(UnbindAsync)))
                {
                    unbound += one ? 1 : 0;
                }
            });
            storms.Add(new(devices, unbound, spent));
            fleet.Empty();
        }

        return storms;
    }

    private static async Task<bool> UnbindAsync(IPciDeviceGrain grain)
    {
        var reply = await grain.Unbind(0);
        while (!reply.IsDone)
        {
            reply = await grain.AwaitTicket(reply.Ticket);
        }

        return reply.Err is Kernel.Errno.OK;
    }

    /// <summary>Activates the empty grains of as many devices.</summary>
    internal static Task ActivateAsync(MeasuredFleet fleet, string name, int hosts) => CallAsync(fleet, name, hosts, 1);

    private static async Task CallAsync(MeasuredFleet fleet, string name, int hosts, int calls)
    {
        for (var host = 0; host < hosts; host++)
        {
            await fleet.Grains.GetGrain<IEmptyHostGrain>($"{name}-{host:0000}")
                .CallAll(DevicesPerHost * GrainsOfDevice, calls);
        }
    }

    /// <summary>Builds hosts, and so activates and binds their devices.</summary>
    internal static async Task BuildAsync(MeasuredFleet fleet, string name, int hosts)
    {
        for (var host = 0; host < hosts; host++)
        {
            var plan = PlanOf($"{name}-{host:0000}");
            var built = await fleet.Grains.GetGrain<IHostGrain>(plan.Name).Build(Run, plan);
            if (built.Bound != plan.Devices.Count)
            {
                throw new InvalidOperationException(
                    $"{plan.Devices.Count - built.Bound} devices of {plan.Name} did not bind.");
            }
        }
    }

    private static HostPlan PlanOf(string host) => new(host,
    [
        .. Enumerable.Range(0, DevicesPerHost).Select(device => new DevicePlan(
            $"{host}/0000:{(device / 32) + 1:x2}:{device % 32:x2}.0", "p2pdma",
            [new PciBar(4, true, 0x40_0000_0000UL + ((ulong)device << 27), 16UL << 20)])),
    ]);

    private static async Task<Spent> SpentAsync(Func<Task> work)
    {
        var held = GC.GetTotalMemory(forceFullCollection: true);
        var allocated = GC.GetTotalAllocatedBytes(precise: true);
        var cpu = Environment.CpuUsage.TotalTime;
        var wall = Stopwatch.GetTimestamp();
        await work();
        var spent = (
            Cpu: (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, Stopwatch.GetElapsedTime(wall).TotalSeconds);
        allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
        return new(spent.Cpu, spent.TotalSeconds, GC.GetTotalMemory(forceFullCollection: true) - held, allocated);
    }

    private static double Median(List<Spent> spent, Func<Spent, double> of) => Comparison.Median(spent.Select(of));

    private static string Of(List<Spent> spent, Func<Spent, double> of, string unit) => string.Create(
        CultureInfo.InvariantCulture, $"{spent.Min(of):N0}–{spent.Max(of):N0} {unit}");

    /// <param name="CpuSeconds">Of this process, all threads.</param>
    /// <param name="HeldBytes">Managed bytes that are still reachable afterwards, beyond those before.</param>
    /// <param name="AllocatedBytes">On the managed heap meanwhile, by this process.</param>
    private sealed record Spent(double CpuSeconds, double WallSeconds, double HeldBytes, double AllocatedBytes);

    private sealed record Storm(int Devices, int Unbound, Spent Spent);
}
