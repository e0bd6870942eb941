using System.Diagnostics;
using System.Globalization;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.LoadTests.Recovery;

/// <summary>From <c>kill -9</c> of a silo to the first alloc that succeeds on a device it hosted.</summary>
/// <remarks>
/// Three silo processes and a private PostgreSQL on this machine, liveness <c>tuned</c>, local directory. Nothing loads
/// the fleet beforehand; after the kill one caller for each device of the dead silo binds and allocates again until it
/// succeeds, as a load does. Another silo takes the dead one's place before the next round.
/// </remarks>
internal static class RecoveryBench
{
    public const string Name = "recovery";

    private const string Run = "recovery";
    private const string Settings =
        "{\"" + ClusterSettings.Key + "\":{\"liveness\":\"tuned\",\"directory\":\"local\"}}";
    private const int Silos = 3;
    private const int DevicesPerHost = 30;

    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RenewInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(20);

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-recovery-");
        File.SetUnixFileMode(folder.FullName, (UnixFileMode)0b111_101_101); // The server's own user enters it.
        var server = PrivateServer.In(Path.Combine(folder.FullName, "db"));
        try
        {
            var address = (await server.UpAsync(ct)).Address;
            return await MeasureAsync(address, isQuick ? 2 : 10, ct);
        }
        finally
        {
            await server.DownAsync(CancellationToken.None);
            folder.Delete(recursive: true);
        }
    }

    private static async Task<IReadOnlyList<Line>> MeasureAsync(string address, int kills, CancellationToken ct)
    {
        var store = StoreAddress.Parse(address);
        await using var results = await ResultStores.OpenAsync(store, ct);
        var objects = new ObjectTable();
        await using var writer = await results.CreateRunAsync(
            new RunInfo(Run) { Profile = "ALL", StartedAt = DateTimeOffset.UtcNow, Settings = Settings }, objects, ct);
        await using var cluster = await PostgresCluster.OpenAsync(store, Run, ct);
        await cluster.AnnounceAsync(Run, ct);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var renewing = RenewAsync(cluster, over.Token);
        var silos = new Dictionary<string, SiloProcess>();
        try
        {
            for (var number = 1; number <= Silos; number++)
            {
                Start(silos, address, $"silo-{number}");
            }

            await using var fleet = await ConnectAsync(cluster, silos, ct);
            var devices = await BuildAsync(fleet.Grains, ct);
            var session = objects.Intern("session:bench");
            var (firsts, medians, lasts, lost) = (new List<double>(), new List<double>(), new List<double>(), 0);
            for (var kill = 0; kill < kills; kill++)
            {
                var victim = (await cluster.MembersAsync()).Where(member => member.IsActive)
                    .ElementAt(kill % Silos);
                var hosted = await HostedAsync(fleet.Grains, devices, victim.Address);
                var began = Stopwatch.GetTimestamp();
                using (var process = Process.GetProcessById(silos[victim.Name].Pid))
                {
                    process.Kill();
                }

                var back = await Task.WhenAll(
                    hosted.Select(device => BackAsync(device, session, began, ct)));
                if (back.Length > 0)
                {
                    Array.Sort(back);
                    firsts.Add(back[0]);
                    medians.Add(Comparison.Median(back));
                    lasts.Add(back[^1]);
                    lost += back.Length;
                    await Console.Error.WriteLineAsync(string.Create(
                        CultureInfo.InvariantCulture,
                        $"{victim.Name} killed: {back.Length} devices; first alloc after {back[0]:0.00} s, median "
                        + $"{medians[^1]:0.00}, last {back[^1]:0.00}"));
                }

                await silos[victim.Name].DisposeAsync();
                silos.Remove(victim.Name);
                Start(silos, address, $"silo-{Silos + kill + 1}");
                await using var all = await ConnectAsync(cluster, silos, ct);
            }

            return
            [
                LineOf("first alloc on a device of the dead silo", firsts, lost, ""),
                LineOf("median device of the dead silo", medians, lost, "5 s"),
                LineOf("last device of the dead silo", lasts, lost, "10 s"),
            ];
        }
        finally
        {
            await over.CancelAsync();
            await renewing;
            await cluster.EndAsync(Run, CancellationToken.None);
            foreach (var silo in silos.Values)
            {
                await silo.DisposeAsync();
            }
        }
    }

    private static Line LineOf(string what, List<double> seconds, int lost, string aim) => new(
        Name, "kill -9: " + what, Comparison.Median(seconds), "s", null, null, null, null, null, aim,
        string.Create(
            CultureInfo.InvariantCulture,
            $"{seconds.Min():0.00}–{seconds.Max():0.00} s over {seconds.Count} kills, {lost} devices lost in all"));

    private static void Start(Dictionary<string, SiloProcess> silos, string address, string name) =>
        silos[name] = SiloProcess.Start(Run, address, name, _ => { });

    private static Task<ClusterFleet> ConnectAsync(
        PostgresCluster cluster, Dictionary<string, SiloProcess> silos, CancellationToken ct) =>
        ClusterFleet.ConnectAsync(
            cluster, Run, Silos, StartPatience, new ClusterSettings().Gateways, () => DemandRunning(silos), ct);

    private static void DemandRunning(Dictionary<string, SiloProcess> silos)
    {
        if (silos.Values.FirstOrDefault(silo => silo.HasExited) is { } gone)
        {
            throw new InvalidOperationException($"{gone.Name} ended by itself.");
        }
    }

    private static async Task<List<IPciDeviceGrain>> BuildAsync(IGrainFactory grains, CancellationToken ct)
    {
        var plan = new RunPlan(Run, "ALL", 1, TimeSpan.FromSeconds(2), 3600, []);
        var devices = new List<IPciDeviceGrain>();
        for (var host = 1; host <= Silos; host++)
        {
            ct.ThrowIfCancellationRequested();
            var name = $"host-{host:0000}";
            DevicePlan[] own =
            [
                .. Enumerable.Range(0, DevicesPerHost).Select(device => new DevicePlan(
                    $"{name}/0000:01:{device:x2}.0", "p2pdma",
                    [new PciBar(4, true, 0x40_0000_0000UL + ((ulong)device << 27), 16UL << 20)])),
            ];
            var built = await grains.GetGrain<IHostGrain>(name).Build(plan, new HostPlan(name, own));
            if (built.Bound != own.Length)
            {
                throw new InvalidOperationException($"{own.Length - built.Bound} devices of {name} did not bind.");
            }

            devices.AddRange(own.Select(device => grains.GetGrain<IPciDeviceGrain>(device.Key)));
        }

        return devices;
    }

    private static async Task<List<IPciDeviceGrain>> HostedAsync(
        IGrainFactory grains, IReadOnlyList<IPciDeviceGrain> devices, string address)
    {
        var hosted = new List<IPciDeviceGrain>();
        foreach (var device in devices)
        {
            var at = await grains.GetGrain<IManagementGrain>(0).GetActivationAddress(device);
            if (at?.ToParsableString() == address)
            {
                hosted.Add(device);
            }
        }

        return hosted;
    }

    /// <summary>Seconds until an alloc succeeded.</summary>
    private static async Task<double> BackAsync(
        IPciDeviceGrain device, int session, long began, CancellationToken ct)
    {
        for (var op = 1L; ; op++)
        {
            try
            {
                var reply = await device.Alloc(new AllocRequest(op, session, 4096)).AsTask()
                    .WaitAsync(CallPatience, ct);
                if (reply.Err is Errno.OK)
                {
                    var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
                    await device.Free(
                        new FreeRequest(op, session, reply.At.Gen, reply.Number, reply.Address, 4096));
                    return seconds;
                }

                await device.Bind(0).AsTask().WaitAsync(CallPatience, ct);
            }
            catch (Exception e) when (e is TimeoutException or OrleansException)
            {
                await Task.Delay(RetryPause, ct);
            }
        }
    }

    private static async Task RenewAsync(PostgresCluster cluster, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(RenewInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(ct))
            {
                await cluster.RenewAsync(ct);
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }
}
