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
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;

namespace Fleet.LoadTests.Recovery;

/// <summary>How soon the devices of a silo serve again after a kill, a pause and a graceful stop, each alone.</summary>
/// <remarks>
/// Three silo processes and a private PostgreSQL on this machine, liveness <c>tuned</c>, with the local and with the
/// distributed directory, under a light load. A device is back with the first allocation that a later incarnation
/// answers; one caller for each device of the struck silo asks for it, and binds the device where it is not bound.
/// The next strike waits until the fleet is whole: three silos, and every device allocates.
/// </remarks>
internal static class RecoveryBench
{
    public const string Name = "recovery";

    private const int Silos = 3;
    private const int Hosts = 3;
    private const int DevicesPerHost = 20;
    private const int Visitors = 8;

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PauseFor = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan WholePatience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan EvictionPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RenewInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan VisitPause = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    private enum Blow : byte
    {
        Kill,
        Pause,
        Stop,
    }

    /// <param name="MedianAim">Seconds, on a machine that does nothing else.</param>
    private readonly record struct Aim(Blow Blow, string Text, double MedianAim, double LastAim);

    private static readonly Aim[] Aims =
    [
        new(Blow.Kill, "kill -9", 5, 10), new(Blow.Pause, "pause of 12 s", 10, 15),
        new(Blow.Stop, "graceful stop", 5, 10),
    ];

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        await using var database = await MeasuredDatabase.StartAsync(Name, ct);
        var rounds = isQuick ? 1 : 5;
        return
        [
            .. await MeasureAsync(database.Address, DirectoryKind.Local, rounds, ct),
            .. await MeasureAsync(database.Address, DirectoryKind.Distributed, rounds, ct),
        ];
    }

    private static async Task<IReadOnlyList<Line>> MeasureAsync(
        string address, DirectoryKind directory, int rounds, CancellationToken ct)
    {
        await using var fleet = await StruckFleet.StartAsync(address, directory, ct);
        var lines = new List<Line>();
        foreach (var aim in Aims)
        {
            var strikes = new List<Strike>();
            for (var round = 0; round < rounds; round++)
            {
                strikes.Add(await fleet.StrikeAsync(aim.Blow, round, ct));
                await Console.Error.WriteLineAsync($"{directory} directory, {aim.Text}: {strikes[^1]}");
            }

            var lease = directory is DirectoryKind.Distributed && aim.Blow is not Blow.Stop ? Lease.TotalSeconds : 0;
            var what = string.Create(
                CultureInfo.InvariantCulture,
                $"{(lease > 0 ? $"lease of {lease:0} s" : directory.ToString().ToLowerInvariant())}, {aim.Text}: ");
            var backs = strikes.SelectMany(strike => strike.Backs).Order().ToArray();
            lines.Add(LineOf(
                what + "first alloc", Comparison.Median([.. strikes.Select(strike => strike.Backs[0])]), "", strikes));
            lines.Add(LineOf(what + "median device", Comparison.Median(backs), AimOf(aim.MedianAim + lease), strikes));
            lines.Add(LineOf(what + "last device", backs[^1], AimOf(aim.LastAim + lease), strikes));
        }

        return lines;
    }

    private static string AimOf(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s");

    private static Line LineOf(string what, double seconds, string aim, List<Strike> strikes) => new(
        Name, what, seconds, "s", null, null, null, null, null, aim,
        string.Create(
            CultureInfo.InvariantCulture,
            $"{strikes.Count} strikes, {strikes.Sum(strike => strike.Backs.Length)} devices; no member any more after ")
            + string.Create(
                CultureInfo.InvariantCulture,
                $"{Comparison.Median([.. strikes.Select(strike => strike.Dead)]):0.00} s, objects begun again by "
                + $"{Comparison.Median([.. strikes.Select(strike => strike.Reborn)]):0.00} s"));

    /// <summary>What one strike cost, in seconds since it.</summary>
    /// <param name="Dead">When the silo was no active member any more.</param>
    /// <param name="Reborn">When as many objects had begun again as it had devices.</param>
    /// <param name="Backs">When each device was back, the first one first.</param>
    private sealed record Strike(double Dead, double Reborn, double[] Backs)
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture,
            $"no member after {Dead:0.00} s, {Backs.Length} objects begun again by {Reborn:0.00}, first alloc "
            + $"{Backs[0]:0.00}, median {Comparison.Median(Backs):0.00}, last {Backs[^1]:0.00}");
    }

    /// <summary>A run with its silos, devices and a light load.</summary>
    private sealed class StruckFleet : IAsyncDisposable
    {
        private readonly string _run;
        private readonly string _address;
        private readonly IRunWriter _writer;
        private readonly IResultStore _results;
        private readonly PostgresCluster _cluster;
        private readonly Dictionary<string, SiloProcess> _silos = [];
        private readonly CancellationTokenSource _over;
        private readonly Task _renewing;
        private readonly int _session;
        private ClusterFleet? _client;
        private Task _visits = Task.CompletedTask;
        private List<(IPciDeviceGrain Grain, int[] Gen)> _devices = [];
        private int _started;

        private StruckFleet(
            string run, string address, IResultStore results, IRunWriter writer, PostgresCluster cluster, int session,
            CancellationToken ct)
        {
            (_run, _address, _results, _writer, _cluster, _session) = (run, address, results, writer, cluster, session);
            _over = CancellationTokenSource.CreateLinkedTokenSource(ct);
            _renewing = RenewAsync(cluster, _over.Token);
        }

        public static async Task<StruckFleet> StartAsync(string address, DirectoryKind directory, CancellationToken ct)
        {
            var run = "recovery-" + directory.ToString().ToLowerInvariant();
            var settings = "{\"" + ClusterSettings.Key + "\":{\"liveness\":\"tuned\",\"directory\":\""
                + directory.ToString().ToLowerInvariant() + "\",\"lease\":\"" + Lease + "\"}}";
            var store = StoreAddress.Parse(address);
            var results = await ResultStores.OpenAsync(store, ct);
            var objects = new ObjectTable();
            var info = new RunInfo(run) { Profile = "ALL", StartedAt = DateTimeOffset.UtcNow, Settings = settings };
            var writer = await results.CreateRunAsync(info, objects, ct);
            var cluster = await PostgresCluster.OpenAsync(store, run, ct);
            await cluster.AnnounceAsync(run, ct);
            var fleet = new StruckFleet(run, address, results, writer, cluster, objects.Intern("session:bench"), ct);
            try
            {
                for (var silo = 0; silo < Silos; silo++)
                {
                    fleet.StartSilo();
                }

                fleet._client = await ClusterFleet.ConnectAsync(
                    cluster, run, Silos, StartPatience, new ClusterSettings().Gateways, fleet.DemandRunning, ct);
                await fleet.BuildAsync(ct);
                fleet._visits = Task.WhenAll(
                    Enumerable.Range(0, Visitors).Select(visitor => fleet.VisitAsync(visitor, fleet._over.Token)));
                await fleet.AwaitWholeAsync(ct);
                return fleet;
            }
            catch
            {
                await fleet.DisposeAsync();
                throw;
            }
        }

        /// <summary>Strikes one silo, and returns when the fleet is whole again.</summary>
        public async Task<Strike> StrikeAsync(Blow blow, int round, CancellationToken ct)
        {
            var victim = (await _cluster.MembersAsync()).Where(member => member.IsActive).ElementAt(round % Silos);
            var hosted = await HostedAsync(victim.Address);
            var process = _silos[victim.Name];
            var before = (await _cluster.IncarnationsAsync(_run, ct)).Generations;
            var began = Stopwatch.GetTimestamp();
            var leaving = Task.CompletedTask;
            switch (blow)
            {
                case Blow.Kill:
                    using (var killed = Process.GetProcessById(process.Pid))
                    {
                        killed.Kill();
                    }

                    break;
                case Blow.Pause:
                    await SignalAsync(process.Pid, "STOP", ct);
                    leaving = GoOnAsync(process, ct);
                    break;
                default:
                    leaving = process.LeaveAsync();
                    break;
            }

            var dead = DeadAsync(victim.Address, began, ct);
            var reborn = RebornAsync(before + hosted.Count, began, ct);
            var backs = await Task.WhenAll(hosted.Select(device => BackAsync(device, began, ct)));
            await leaving;
            await process.DisposeAsync();
            _silos.Remove(victim.Name);
            StartSilo();
            await AwaitWholeAsync(ct);
            Array.Sort(backs);
            return new(await dead, await reborn, backs);
        }

        public async ValueTask DisposeAsync()
        {
            await _over.CancelAsync();
            await _visits;
            await _renewing;
            if (_client is not null)
            {
                await _client.DisposeAsync();
            }

            await _cluster.EndAsync(_run, CancellationToken.None);
            foreach (var silo in _silos.Values)
            {
                await silo.DisposeAsync();
            }

            await _cluster.DisposeAsync();
            await _writer.DisposeAsync();
            await _results.DisposeAsync();
            _over.Dispose();
        }

        private void StartSilo()
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"silo-{++_started}");
            _silos[name] = SiloProcess.Start(_run, _address, name, _ => { });
        }

        private void DemandRunning()
        {
            if (_silos.Values.FirstOrDefault(silo => silo.HasExited) is { } gone)
            {
                throw new InvalidOperationException($"{gone.Name} ended by itself.");
            }
        }

        private async Task BuildAsync(CancellationToken ct)
        {
            var grains = _client!.Grains;
            var plan = new RunPlan(_run, "ALL", 1, TimeSpan.FromSeconds(2), 3600, []);
            for (var host = 1; host <= Hosts; host++)
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

                _devices.AddRange(own.Select(device => (grains.GetGrain<IPciDeviceGrain>(device.Key), new int[1])));
            }
        }

        private async Task<List<(IPciDeviceGrain Grain, int[] Gen)>> HostedAsync(string address)
        {
            var hosted = new List<(IPciDeviceGrain, int[])>();
            foreach (var device in _devices)
            {
                var at = await _client!.Grains.GetGrain<IManagementGrain>(0).GetActivationAddress(device.Grain);
                if (at?.ToParsableString() == address)
                {
                    hosted.Add(device);
                }
            }

            return hosted.Count > 0 ? hosted : throw new InvalidOperationException($"{address} hosts no device.");
        }

        private async Task<double> DeadAsync(string address, long began, CancellationToken ct)
        {
            while ((await _cluster.MembersAsync()).Any(member => member.IsActive && member.Address == address))
            {
                await Task.Delay(Look, ct);
            }

            return Stopwatch.GetElapsedTime(began).TotalSeconds;
        }

        private async Task<double> RebornAsync(long generations, long began, CancellationToken ct)
        {
            while ((await _cluster.IncarnationsAsync(_run, ct)).Generations < generations)
            {
                await Task.Delay(Look, ct);
            }

            return Stopwatch.GetElapsedTime(began).TotalSeconds;
        }

        private async Task GoOnAsync(SiloProcess process, CancellationToken ct)
        {
            await Task.Delay(PauseFor, ct);
            await SignalAsync(process.Pid, "CONT", ct);
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
            patience.CancelAfter(EvictionPatience);
            await process.WaitForExitAsync(patience.Token);
        }

        private static async Task SignalAsync(int pid, string signal, CancellationToken ct)
        {
            using var kill = Process.Start("kill", ["-" + signal, pid.ToString(CultureInfo.InvariantCulture)]);
            await kill.WaitForExitAsync(ct);
        }

        /// <summary>Waits until all silos are members and every device allocates.</summary>
        private async Task AwaitWholeAsync(CancellationToken ct)
        {
            var began = Stopwatch.GetTimestamp();
            while ((await _cluster.MembersAsync()).Count(member => member.IsActive) != Silos)
            {
                DemandRunning();
                if (Stopwatch.GetElapsedTime(began) > WholePatience)
                {
                    throw new InvalidOperationException("The fleet was not whole again in time.");
                }

                await Task.Delay(Look, ct);
            }

            await Task.WhenAll(_devices.Select(device => AllocatedAsync(device, gen: 0, ct)));
        }

        /// <summary>Seconds until a later incarnation allocated.</summary>
        private async Task<double> BackAsync(
            (IPciDeviceGrain Grain, int[] Gen) device, long began, CancellationToken ct)
        {
            await AllocatedAsync(device, Volatile.Read(ref device.Gen[0]), ct);
            return Stopwatch.GetElapsedTime(began).TotalSeconds;
        }

        private async Task AllocatedAsync((IPciDeviceGrain Grain, int[] Gen) device, int gen, CancellationToken ct)
        {
            while (await TryOnceAsync(device, ct) <= gen)
            {
                await Task.Delay(RetryPause, ct);
            }
        }

        /// <summary>Allocates and frees, or binds where nothing is bound.</summary>
        /// <returns>The incarnation that allocated; 0 for none.</returns>
        private async Task<int> TryOnceAsync((IPciDeviceGrain Grain, int[] Gen) device, CancellationToken ct)
        {
            try
            {
                var reply = await device.Grain.Alloc(new AllocRequest(1, _session, 4096)).AsTask()
                    .WaitAsync(CallPatience, ct);
                if (reply.Err is not Errno.OK)
                {
                    await device.Grain.Bind(0).AsTask().WaitAsync(CallPatience, ct);
                    return 0;
                }

                Volatile.Write(ref device.Gen[0], Math.Max(device.Gen[0], reply.At.Gen));
                await device.Grain.Free(
                        new FreeRequest(1, _session, reply.At.Gen, reply.Number, reply.Address, 4096)).AsTask()
                    .WaitAsync(CallPatience, ct);
                return reply.At.Gen;
            }
            catch (Exception e) when (LostCall.Is(e, ct))
            {
                return 0;
            }
        }

        private async Task VisitAsync(int visitor, CancellationToken ct)
        {
            var random = new Random(visitor);
            try
            {
                while (true)
                {
                    await TryOnceAsync(_devices[random.Next(_devices.Count)], ct);
                    await Task.Delay(VisitPause, ct);
                }
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
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
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
        }
    }
}
