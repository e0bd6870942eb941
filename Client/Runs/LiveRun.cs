using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>The part of a run in which the fleet is alive: start, build, session, load, drain, close.</summary>
/// <param name="names">Of this process and of its session.</param>
/// <param name="before">What a run that was cut off left; null for a new one.</param>
/// <param name="seconds">What the parts took is added here.</param>
internal sealed class LiveRun(
    RunRequest request, IRunProgress progress, ObjectTable objects, (string Generator, string Session) names,
    CutOffRun? before, Dictionary<string, double> seconds)
{
    private const int HostsBuiltAtOnce = 8;

    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(2);

    /// <summary>How much later than the first another generator may end before it counts as lost.</summary>
    private static readonly TimeSpan OthersPatience = TimeSpan.FromMinutes(3);

    /// <summary>How long a lost generator may take to be followed, once there is nothing else to wait for.</summary>
    private static readonly TimeSpan LostPatience = TimeSpan.FromSeconds(30);

    private readonly LoadEnd _end = new(request, progress);

    /// <summary>Something of the load may be recorded.</summary>
    public bool HasLoad { get; private set; }

    /// <summary>Names of the silos whose processes ended and have no successor.</summary>
    public IReadOnlyList<string> Gone { get; private set; } = [];

    private Scenario Scenario => request.Scenario;

    private async Task<IFleetTarget> StartTargetAsync(SpoolWriter spool, CancellationToken ct) => request.IsEmbedded
        ? await EmbeddedTarget.StartAsync(request, spool, Patience.LongPoll, _end.OnFinding, before?.Fleet, ct)
        : await ClusterTarget.StartAsync(request, before?.SiloGeneration ?? 1, _end.OnFinding, progress.Say, ct);

    /// <summary>The part of the run in which the fleet is alive.</summary>
    public async Task<LiveResult> RunAsync(
        LoadFleet fleet, IRunWriter writer, SpoolWriter spool, SpoolDrain drain, CancellationToken interrupt)
    {
        progress.Begin("starting the fleet");
        var starting = Stopwatch.StartNew();
        await using var silo = await StartTargetAsync(spool, interrupt);
        seconds["start"] = starting.Elapsed.TotalSeconds;

        progress.Begin(string.Create(
            CultureInfo.InvariantCulture,
                $"binding {fleet.Devices.Length:N0} devices of {fleet.Hosts.Length:N0} hosts"));
        var building = Stopwatch.StartNew();
        await FenceAsync(spool, fleet);
        await CloseLostSessionsAsync(silo.Grains, interrupt);
        var failed = await BuildAsync(silo, fleet, interrupt);
        seconds["build"] = building.Elapsed.TotalSeconds;

        var session = silo.Grains.GetGrain<ISessionGrain>(names.Session);
        var sessionNumber = objects.Intern(names.Session);
        await AskAsync(
            silo,
            () => session.Open(
                request.Name, sessionNumber, SessionLease.Length, [.. fleet.Hosts.Select(host => host.Name)]),
            interrupt);

        var watch = new RecoveryWatch(fleet);
        var faults = LiveFaults.Of(request, silo, watch, fleet, progress.Say);
        await using var generators = faults?.Generators;
        var port = new GrainFleetPort(silo.Grains, fleet);
        await using var routes = await silo.RouteAsync(port, fleet, interrupt);
        var generator = new LoadGenerator(
            Scenario, fleet, faults is null ? port : new RecoveryPort(port, watch), spool, names.Generator,
            names.Session, sessionNumber)
        {
            Share = (0, request.Generators),
            Before = before?.Share.Load,
        };
        if (before is not null)
            generator.AddBefore(before.Share.Counters, before.Share.Latency);
        if (faults is not null)
            faults.OpenTickets = () => generator.OpenTickets;
        generator.TryAgain(failed);
        using var over = new CancellationTokenSource();
        var renewing = SessionLease.RenewAsync(session, over.Token);
        var run = silo.Grains.GetGrain<IRunGrain>(request.Name);
        var shared = request.IsEmbedded ? null : new SharedRun(run, 1, generator);
        if (shared is not null)
        {
            await AskAsync(
                silo,
                () => run.Open(
                    SharedRun.ToJson(request.Shared!.ForOthers()), request.Generators,
                    $"{Environment.MachineName}/{Environment.ProcessId}"),
                interrupt);
            faults?.Generators?.Start(request.Generators);
            if (request.Generators > 1)
                progress.Begin(
                    $"waiting for {request.Generators - 1} more: fleet run --join {request.Name} --store …");
            await shared.AwaitStartAsync(interrupt);
        }

        progress.Begin("running the load");
        HasLoad = true;
        writer.Keep();
        var loading = Stopwatch.StartNew();
        var others = OtherGenerators.None;
        var metrics = new MetricsStore(writer);
        using var loadOver = new CancellationTokenSource();
        var striking = faults?.RunAsync(loadOver.Token) ?? Task.CompletedTask;
        var management = silo.Grains.GetGrain<IManagementGrain>(0);
        var monitor = new RunMonitor(
            Scenario,
            generator,
            new(
                () => _end.Findings,
                async () => (await silo.SnapshotAsync()).Probes,
                () => spool.Operations + spool.Events - drain.RowsStored,
                () => FaultsOf(silo, faults),
                metrics.AddAsync),
            new(async ct =>
            [
                ("activations", await management.GetTotalActivationCount()), .. await DatabaseSizeAsync(writer, ct),
            ]),
            progress);
        var watching = monitor.RunAsync(over.Token);
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupt))
        {
            var stopping = Task.WhenAll(
                _end.FollowAsync(silo, monitor, stop, over.Token),
                shared?.FollowAsync(stop, over.Token) ?? Task.CompletedTask);
            await generator.RunAsync(stop.Token);
            seconds["load"] = loading.Elapsed.TotalSeconds;
            await loadOver.CancelAsync();
            await striking; // A fault strikes the load; what waits for what it broke is not taken for stuck.
            progress.Begin("waiting for what is open");
            if (request.Generators > 1)
            {
                if (interrupt.IsCancellationRequested || _end.IsDecided || _end.AbortedBy is not null)
                    await AskAsync(
                        silo, async () => await run.Order(null, isStopped: true, null, null), CancellationToken.None);
                others = await SharedRun.AwaitOthersAsync(
                    run, silo.Grains, request.Name, writer,
                    (Scenario.Duration + OthersPatience, faults?.Generators is null ? LostPatience : OthersPatience),
                    progress.Say, CancellationToken.None);
            }

            Gone = silo.Gone;
            await AwaitQuietAsync(generator, silo, fleet);
            await over.CancelAsync();
            await Task.WhenAll(renewing, watching, stopping);
            await metrics.EndAsync();
            await monitor.EndAsync();
            await metrics.EndAsync();
        }

        // Closing the session frees what no client could: calls whose answers were lost. That may end a wait.
        var reaped = await AskAsync(silo, session.Close, CancellationToken.None);
        if (reaped > 0)
            await AwaitQuietAsync(generator, silo, fleet);
        await generator.GiveUpAsync(Patience.LongPoll);
        var reports = await Task.WhenAll(
            fleet.Hosts.Select(host => AskAsync(
                silo, silo.Grains.GetGrain<IHostGrain>(host.Name).Close, CancellationToken.None)));
        foreach (var report in others.Reports)
            SharedRun.Merge(report, generator);
        seconds["live"] = starting.Elapsed.TotalSeconds;
        return new(
            generator, monitor, reaped, reports, await silo.SnapshotAsync(), await silo.CommittedAsync())
        {
            Faults = faults,
            MessageFaults = silo is ClusterTarget cluster
                ? cluster.MessageFaults : new Dictionary<string, long>(),
            Others = others,
            AbortedBy = _end.AbortedBy,
            Gone = Gone,
        };
    }

    /// <summary>Ends the lives that a lost fleet of the run left open.</summary>
    private async Task FenceAsync(SpoolWriter spool, LoadFleet fleet)
    {
        if (before?.Fleet is not { } lost)
            return;

        progress.Begin("ending what the lost fleet left open");
        await lost.FenceAsync(
            new(
                objects, null, new Fleet.Silo.SpoolLog(spool), lost, new SpoolClock(),
                EmbeddedTarget.SiloName, spool.Options.Proc),
            request.ToRunPlan(CallPatience, SessionLease.Length), fleet);
    }

    /// <summary>Frees what earlier processes of this generator's share held in a fleet that outlived them.</summary>
    private async Task CloseLostSessionsAsync(IGrainFactory grains, CancellationToken ct)
    {
        if (before is null || request.IsEmbedded)
            return;

        progress.Begin("freeing what the lost generator held");
        foreach (var seat in before.Seats)
            await SharedRun.PatientlyAsync(() => grains.GetGrain<ISessionGrain>(RunNames.SessionOf(seat)).Close(), ct);
    }

    private sealed class SpoolClock : Protocol.Streams.IEventClock
    {
        public long NowNs => MonotonicNs.Now;
    }

    /// <returns>Places of the devices whose bind failed.</returns>
    private async Task<List<int>> BuildAsync(IFleetTarget silo, LoadFleet fleet, CancellationToken ct)
    {
        var plan = request.ToRunPlan(CallPatience, SessionLease.Length);
        var failed = new ConcurrentBag<string>();
        await Parallel.ForEachAsync(
            fleet.Hosts,
            new ParallelOptions { MaxDegreeOfParallelism = HostsBuiltAtOnce, CancellationToken = ct },
            async (host, _) =>
            {
                var reply = await AskAsync(
                    silo, () => silo.Grains.GetGrain<IHostGrain>(host.Name).Build(plan, host), ct);
                foreach (var device in reply.Failed.Where(device => device.Err is not Errno.OK))
                    failed.Add(device.Device);
            });
        var places = fleet.Devices.Index()
            .ToDictionary(device => device.Item.Key, device => device.Index, StringComparer.Ordinal);
        return [.. failed.Select(key => places[key.StartsWith("dev:", StringComparison.Ordinal) ? key[4..] : key])];
    }

    /// <summary>Waits for open tickets as long as patience lasts, unless every one of them is known never to
    /// end.</summary>
    private async Task AwaitQuietAsync(LoadGenerator generator, IFleetTarget silo, LoadFleet fleet)
    {
        if (await generator.AwaitTicketsAsync(Patience.Look))
            return;

        var reports = await Task.WhenAll(
            fleet.Hosts.Select(host => AskAsync(
                silo, silo.Grains.GetGrain<IHostGrain>(host.Name).Quiesce, CancellationToken.None)));
        var open = reports.SelectMany(report => report.Open).ToList();
        if (open.Any(ticket => !ticket.IsStuck) || open.Count < generator.TicketsOpen)
            await generator.AwaitTicketsAsync(Scenario.Unbind.Patience);
    }

    /// <summary>Asks until it is answered, for as long as somebody may answer.</summary>
    private static Task<T> AskAsync<T>(IFleetTarget silo, Func<ValueTask<T>> ask, CancellationToken ct) =>
        SharedRun.PatientlyAsync(ask, ct, () => silo.MayAnswer, Patience.Answer);

    private static Task AskAsync(IFleetTarget silo, Func<ValueTask> ask, CancellationToken ct) => AskAsync(
        silo,
        async () =>
        {
            await ask();
            return true;
        },
        ct);

    /// <summary>Of the files that this run writes to; nothing where a server holds them.</summary>
    private static (long Count, string Last) FaultsOf(IFleetTarget fleet, LiveFaults? faults) =>
        faults?.Struck is { Count: > 0 } struck ? (fleet.Faults.Count + struck.Count, struck.Last) : fleet.Faults;

    /// <summary>Of a result file with its log, or of the whole database of a server.</summary>
    private async Task<IEnumerable<(string Gauge, double Value)>> DatabaseSizeAsync(
        IRunWriter writer, CancellationToken ct)
    {
        if (request.Store.Directory is { } directory)
        {
            return Directory.Exists(directory)
                ? [(
                    ResourceWatch.Database,
                    new DirectoryInfo(directory).EnumerateFiles($"{request.Name}.*").Sum(file => (double)file.Length))]
                : [];
        }

        try
        {
            var table = await writer.Reader.QueryAsync(
                "SELECT pg_database_size(current_database())", new(Patience.Look, 1), ct);
            return [(ResourceWatch.Database, Convert.ToDouble(table.Rows[0][0], CultureInfo.InvariantCulture))];
        }
        catch (StorageException)
        {
            return []; // A server that is away, or busy, is not asked again for its size.
        }
    }
}
