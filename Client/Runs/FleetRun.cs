using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Fleet.Checking;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Silo.Cluster;
using Fleet.Silo.Faults;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using HdrHistogram;

namespace Fleet.Client.Runs;

/// <summary>One run from its start to its sealed result: builds a fleet in this process, hammers it, stores and
/// judges.</summary>
/// <remarks>
/// Order: store, spool, fleet, build, session, load, drain, close, store the rest, check, seal. Whatever ends the load
/// early, the
/// rest is done all the same, so that what was recorded is stored and judged.
/// </remarks>
public sealed class FleetRun(RunRequest request, IRunProgress progress)
{
    private const int HostsBuiltAtOnce = 8;

    private const long SegmentBytesMin = 1 << 20;

    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(1);
    /// <summary>How much later than the first another generator may end before it counts as lost.</summary>
    private static readonly TimeSpan OthersPatience = TimeSpan.FromMinutes(3);

    /// <summary>How long the fleet may be without an answer outside the load.</summary>
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromMinutes(3);

    /// <summary>Silos that a fault struck all at once are replaced before so many looks.</summary>
    private const int DesertedLooks = 20;

    /// <summary>How long a lost generator may take to be followed, once there is nothing else to wait for.</summary>
    private static readonly TimeSpan LostPatience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan QuickLook = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    /// <summary>Once the verdict is decided the load goes on for so long, to count how often it happens.</summary>
    private static readonly TimeSpan AfterFinding = TimeSpan.FromSeconds(3);

    private static readonly JsonSerializerOptions SummaryJson = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
    };

    private readonly ObjectTable _objects = RunNames.NewTable();
    private readonly Dictionary<string, double> _seconds = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _decided = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stopwatch _total = new();
    private string? _abortedBy;
    private string _generatorName = RunNames.Generator;
    private string _sessionName = RunNames.Session;
    private CutOffRun? _before;
    private bool _hasLoad;
    private long _findings;
    private IReadOnlyList<string> _gone = [];

    private Scenario Scenario => request.Scenario;

    /// <param name="interrupt">
    /// Ends the load; the run is then drained, stored and judged, and says that it was interrupted.
    /// </param>
    /// <exception cref="Storage.StorageException">The store cannot be used; nothing is left behind.</exception>
    public async Task<RunSummary> RunAsync(CancellationToken interrupt)
    {
        var spoolDirectory = request.IsResumed
            ? RunRecovery.NextSpoolDirectoryOf(request.Store, request.Name)
            : RunRecovery.SpoolDirectoryOf(request.Store, request.Name);
        try
        {
            return await RunAsync(spoolDirectory, interrupt);
        }
        catch (Exception e) when (!request.IsEmbedded && LostCall.Is(e, interrupt))
        {
            throw CutOff(
                "No silo of it answers any more"
                + (_gone.Count > 0 ? $" ({string.Join(", ", _gone)} ended)." : "."),
                e);
        }
        catch (Exception e) when (_hasLoad && e is StorageException or OutcomeUnknownException)
        {
            throw CutOff(e.Message, e);
        }
        catch (Exception e) when (
            !request.IsResumed && !_hasLoad && e is OperationCanceledException or StorageException or UsageException)
        {
            // Nothing half written stays behind; after a defect of Fleet the spool stays, as the evidence of it.
            if (Directory.Exists(spoolDirectory))
                Directory.Delete(spoolDirectory, recursive: true);
            throw;
        }
    }

    private CutOffException CutOff(string why, Exception cause) => new(
        $"The run {request.Name} is cut off: {why} What was recorded is kept: fleet resume {request.Name} goes on with "
        + "it, and with --finish judges what there is.", cause);

    private async Task<RunSummary> RunAsync(string spoolDirectory, CancellationToken interrupt)
    {
        _total.Start();
        await using var store = await ResultStores.OpenAsync(request.Store, interrupt);

        await using var writer = request.IsResumed
            ? await store.ResumeRunAsync(request.Name, interrupt)
            : await store.CreateRunAsync(InfoOf(SpoolOptions.MonotonicClock()), _objects, interrupt);
        var info = writer.Info;
        if (request.IsResumed)
        {
            progress.Begin("storing what the run had recorded when it was cut off");
            _before = await CutOffRun.ReadAsync(writer, request, interrupt);
            _generatorName = RunNames.GeneratorOf(_before.Seat);
            _sessionName = RunNames.SessionOf(_before.Seat);
        }

        var process = await EnterAsync(writer, interrupt);
        using var spool = SpoolWriter.Create(SpoolOptionsOf(spoolDirectory, process, info.Clock), _objects);
        await using var drain = SpoolDrain.Start(spool, writer);

        var fleet = new LoadFleet(request.Plan, _objects);
        var live = await LiveAsync(fleet, writer, spool, drain, interrupt);
        await using var generator = live.Generator;

        progress.Begin("storing what was recorded");
        var storing = Stopwatch.StartNew();
        var stored = await drain.CompleteAsync(CancellationToken.None);
        var counts = await CountAsync(writer, generator, stored, live);
        _seconds["store"] = storing.Elapsed.TotalSeconds;

        progress.Begin("checking what is stored");
        var checking = Stopwatch.StartNew();
        var isQuiescent = generator.IsDrained;
        var verdict = await StoredCheck.CheckPatientlyAsync(
            writer,
            reader => StoredCheck.CheckAsync(
                reader, request.Profile.Name, counts.AreEqual, isQuiescent, Scenario.RequiredProbes,
                CancellationToken.None),
            progress,
            CancellationToken.None);
        _seconds["check"] = checking.Elapsed.TotalSeconds;
        _seconds["total"] = _total.Elapsed.TotalSeconds;

        var report = verdict.Report;
        var summary = Summarize(live, verdict, counts, interrupt.IsCancellationRequested);
        await StoreAsync(writer, verdict, live);
        _before?.Forget();
        var location = await writer.SealAsync(
            new(summary.Verdict, summary.ExitCode)
            {
                Complete = counts.AreEqual && report.Complete,
                Quiescent = isQuiescent,
                EndedAt = DateTimeOffset.UtcNow,
                Summary = JsonSerializer.Serialize(summary, SummaryJson),
            },
            CancellationToken.None);
        return summary with { Location = location };
    }

    /// <summary>Enters this process into the run.</summary>
    /// <returns>Its number there.</returns>
    private async Task<int> EnterAsync(IRunWriter writer, CancellationToken ct)
    {
        var clock = SpoolOptions.MonotonicClock();
        if (request.IsResumed)
            return await writer.JoinAsync(
                _generatorName, clock, Environment.MachineName, Environment.ProcessId, ct);

        // The first name of the table, so that the process has one number in records and in the list of processes.
        var process = _objects.Intern(_generatorName);
        await writer.AddProcessAsync(
            new(process, _generatorName, clock, Environment.MachineName, Environment.ProcessId), ct);
        return process;
    }

    private SpoolOptions SpoolOptionsOf(string directory, int process, string clock)
    {
        const int segmentsWithinBound = 8;
        var options = new SpoolOptions(directory, request.Name, process, _generatorName, clock);
        return request.SpoolBoundBytes is { } bound
            ? options with
            {
                BoundBytes = bound,
                SegmentBytes = (int)Math.Clamp(bound / segmentsWithinBound, SegmentBytesMin, options.SegmentBytes),
            }
            : options;
    }

    private RunInfo InfoOf(string clock) => new(request.Name)
    {
        Scenario = Scenario.Name,
        Profile = request.Profile.Name,
        Seed = Scenario.Seed,
        Clock = clock,
        EpochNs = MonotonicNs.Now,
        StartedAt = DateTimeOffset.UtcNow,
        CommandLine = StoreAddress.Redact(request.CommandLine),
        Settings = JsonSerializer.Serialize(
            new
            {
                claim = Scenario.Claim,
                devices = request.Plan.Devices.Length,
                resources = request.Plan.ResourceCount,
                silos = request.Silos,
                cluster = request.Cluster,
                clusterSettings = Scenario.Cluster with { Messages = MessagesOf(Scenario) },
                probes = Scenario.RequiredProbes,
                plan = SharedRun.ToJson(request.Shared!),
                phases = Scenario.Phases.Select(phase => new { phase.Name, phase.For.TotalSeconds, phase.RateShare }),
            },
            SummaryJson),
    };

    private static MessageFault[] MessagesOf(Scenario scenario) =>
    [
        .. scenario.Faults.Where(fault => fault.Kind is FaultKind.Message).SelectMany(fault =>
        {
            var share = fault.When is FaultSchedule.Probability probability ? probability.Value : 0;
            MessageFaultKind[] kinds = fault.Target switch
            {
                "delay" => [MessageFaultKind.Delay],
                "drop" => [MessageFaultKind.Drop],
                "duplicate" => [MessageFaultKind.Duplicate],
                "cancel" => [MessageFaultKind.Cancel],
                _ => [MessageFaultKind.Delay, MessageFaultKind.Drop, MessageFaultKind.Duplicate],
            };
            return kinds.Select(kind => new MessageFault(kind, share / kinds.Length));
        }),
    ];

    /// <summary>What is left of the fleet when it is gone.</summary>
    private sealed record LiveResult(
        LoadGenerator Generator, RunMonitor Monitor, long Reaped, IReadOnlyList<HostReport> Hosts,
        OnlineSnapshot Online, IReadOnlyList<CommittedEvents> Committed)
    {
        public LiveFaults? Faults { get; init; }

        public IReadOnlyDictionary<string, long> MessageFaults { get; init; } =
            new Dictionary<string, long>();

        public OtherGenerators Others { get; init; } = OtherGenerators.None;
    }

    private async Task<RunCounts> CountAsync(
        IRunWriter writer, LoadGenerator generator, DrainReport stored, LiveResult live)
    {
        var (acknowledged, rows) = (stored.EventsAcknowledged, stored.EventsStored);
        foreach (var process in live.Committed)
        {
            var events = (await writer.CountAsync(process.Proc, CancellationToken.None)).Events;

            // What a silo that ended acknowledged after its last report is in the store, and nowhere else.
            acknowledged += process.IsGone ? Math.Max(process.Events, events) : process.Events;
            rows += events;
        }

        // A silo that ended before it was ever asked said nothing.
        var told = live.Committed.Select(process => process.Proc).ToHashSet();
        foreach (var process in request.IsEmbedded ? [] : await writer.Reader.ProcessesAsync(CancellationToken.None))
        {
            if (RunNames.NumberOf(process.Name) > 0 || told.Contains(process.Proc))
                continue;

            var events = (await writer.CountAsync(process.Proc, CancellationToken.None)).Events;
            (acknowledged, rows) = (acknowledged + events, rows + events);
        }

        // What earlier processes of the run left is counted in the store, and was compared with their spools.
        var (reports, recovered) = (
            live.Others.Reports, live.Others.OperationsRecovered + (_before?.Share.Operations ?? 0));
        acknowledged += _before?.Share.Events ?? 0;
        rows += _before?.Share.Events ?? 0;
        return new(
            generator.Counters.Operations + live.Others.OperationsRecovered,
            stored.OperationsAcknowledged + reports.Sum(one => one.Spooled) + recovered,
            stored.OperationsStored + reports.Sum(one => one.Stored) + recovered,
            acknowledged,
            rows);
    }

    private async Task<IFleetTarget> StartTargetAsync(SpoolWriter spool, CancellationToken ct) => request.IsEmbedded
        ? await EmbeddedTarget.StartAsync(request, spool, LongPoll, OnFinding, _before?.Fleet, ct)
        : await ClusterTarget.StartAsync(request, _before?.SiloGeneration ?? 1, OnFinding, progress.Say, ct);

    /// <summary>The part of the run in which the fleet is alive.</summary>
    private async Task<LiveResult> LiveAsync(
        LoadFleet fleet, IRunWriter writer, SpoolWriter spool, SpoolDrain drain, CancellationToken interrupt)
    {
        progress.Begin("starting the fleet");
        var starting = Stopwatch.StartNew();
        await using var silo = await StartTargetAsync(spool, interrupt);
        _seconds["start"] = starting.Elapsed.TotalSeconds;

        progress.Begin(string.Create(
            CultureInfo.InvariantCulture,
                $"binding {fleet.Devices.Length:N0} devices of {fleet.Hosts.Length:N0} hosts"));
        var building = Stopwatch.StartNew();
        await FenceAsync(spool, fleet);
        await CloseLostSessionsAsync(silo.Grains, interrupt);
        var failed = await BuildAsync(silo, fleet, interrupt);
        _seconds["build"] = building.Elapsed.TotalSeconds;

        var session = silo.Grains.GetGrain<ISessionGrain>(_sessionName);
        var sessionNumber = _objects.Intern(_sessionName);
        await AskAsync(
            silo,
            () => session.Open(request.Name, sessionNumber, Lease, [.. fleet.Hosts.Select(host => host.Name)]),
            interrupt);

        var watch = new RecoveryWatch(fleet);
        var faults = LiveFaults.Of(request, silo, watch, fleet, progress.Say);
        await using var generators = faults?.Generators;
        IFleetPort port = new GrainFleetPort(silo.Grains, fleet);
        var generator = new LoadGenerator(
            Scenario, fleet, faults is null ? port : new RecoveryPort(port, watch), spool, _generatorName, _sessionName,
            sessionNumber)
        {
            Share = (0, request.Generators),
            Before = _before?.Share.Load,
        };
        if (_before is not null)
            generator.AddBefore(_before.Share.Counters, _before.Share.Latency);
        if (faults is not null)
            faults.OpenTickets = () => generator.OpenTickets;
        generator.TryAgain(failed);
        using var over = new CancellationTokenSource();
        var renewing = RenewAsync(session, Lease, over.Token);
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
        _hasLoad = true;
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
                () => Interlocked.Read(ref _findings),
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
                StopOnceDecidedAsync(stop, over.Token), StopOnMissAsync(monitor, stop, over.Token),
                StopOnceDesertedAsync(silo, stop, over.Token),
                shared?.FollowAsync(stop, over.Token) ?? Task.CompletedTask);
            await generator.RunAsync(stop.Token);
            _seconds["load"] = loading.Elapsed.TotalSeconds;
            await loadOver.CancelAsync();
            await striking; // A fault strikes the load; what waits for what it broke is not taken for stuck.
            progress.Begin("waiting for what is open");
            if (request.Generators > 1)
            {
                if (interrupt.IsCancellationRequested || _decided.Task.IsCompleted || _abortedBy is not null)
                    await AskAsync(
                        silo, async () => await run.Order(null, isStopped: true, null, null), CancellationToken.None);
                others = await SharedRun.AwaitOthersAsync(
                    run, silo.Grains, request.Name, writer,
                    (Scenario.Duration + OthersPatience, faults?.Generators is null ? LostPatience : OthersPatience),
                    progress.Say, CancellationToken.None);
            }

            _gone = silo.Gone;
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
        await generator.GiveUpAsync(LongPoll);
        var reports = await Task.WhenAll(
            fleet.Hosts.Select(host => AskAsync(
                silo, silo.Grains.GetGrain<IHostGrain>(host.Name).Close, CancellationToken.None)));
        foreach (var report in others.Reports)
            SharedRun.Merge(report, generator);
        _seconds["live"] = starting.Elapsed.TotalSeconds;
        return new(
            generator, monitor, reaped, reports, await silo.SnapshotAsync(), await silo.CommittedAsync())
        {
            Faults = faults,
            MessageFaults = silo is ClusterTarget cluster
                ? cluster.MessageFaults : new Dictionary<string, long>(),
            Others = others,
        };
    }

    /// <summary>Ends the lives that a lost fleet of the run left open.</summary>
    private async Task FenceAsync(SpoolWriter spool, LoadFleet fleet)
    {
        if (_before?.Fleet is not { } lost)
            return;

        progress.Begin("ending what the lost fleet left open");
        await lost.FenceAsync(
            new(
                _objects, null, new Fleet.Silo.SpoolLog(spool), lost, new SpoolClock(),
                EmbeddedTarget.SiloName, spool.Options.Proc),
            request.ToRunPlan(CallPatience, Lease), fleet);
    }

    /// <summary>Frees what earlier processes of this generator's share held in a fleet that outlived them.</summary>
    private async Task CloseLostSessionsAsync(IGrainFactory grains, CancellationToken ct)
    {
        if (_before is null || request.IsEmbedded)
            return;

        progress.Begin("freeing what the lost generator held");
        foreach (var seat in _before.Seats)
            await SharedRun.PatientlyAsync(() => grains.GetGrain<ISessionGrain>(RunNames.SessionOf(seat)).Close(), ct);
    }

    private sealed class SpoolClock : Protocol.Streams.IEventClock
    {
        public long NowNs => MonotonicNs.Now;
    }

    /// <returns>Places of the devices whose bind failed.</returns>
    private async Task<List<int>> BuildAsync(IFleetTarget silo, LoadFleet fleet, CancellationToken ct)
    {
        var plan = request.ToRunPlan(CallPatience, Lease);
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
        if (await generator.AwaitTicketsAsync(QuickLook))
            return;

        var reports = await Task.WhenAll(
            fleet.Hosts.Select(host => AskAsync(
                silo, silo.Grains.GetGrain<IHostGrain>(host.Name).Quiesce, CancellationToken.None)));
        var open = reports.SelectMany(report => report.Open).ToList();
        if (open.Any(ticket => !ticket.IsStuck) || open.Count < generator.TicketsOpen)
            await generator.AwaitTicketsAsync(Scenario.Unbind.Patience);
    }

    internal static async Task RenewAsync(ISessionGrain session, TimeSpan lease, CancellationToken over)
    {
        using var timer = new PeriodicTimer(lease / 3);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
                await RenewAsync(session);
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    private static async Task RenewAsync(ISessionGrain session)
    {
        try
        {
            await session.Renew();
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            return; // Its silo died or stands still; the lease outlasts two such answers.
        }
    }

    internal static Task<long> CloseAsync(ISessionGrain session) =>
        SharedRun.PatientlyAsync(session.Close, CancellationToken.None, patience: AnswerPatience);

    /// <summary>Asks until it is answered, for as long as somebody may answer.</summary>
    private static Task<T> AskAsync<T>(IFleetTarget silo, Func<ValueTask<T>> ask, CancellationToken ct) =>
        SharedRun.PatientlyAsync(ask, ct, () => silo.MayAnswer, AnswerPatience);

    private static Task AskAsync(IFleetTarget silo, Func<ValueTask> ask, CancellationToken ct) => AskAsync(
        silo,
        async () =>
        {
            await ask();
            return true;
        },
        ct);

    /// <summary>Ends the load once no silo is left that could answer it: it would only ask on.</summary>
    private async Task StopOnceDesertedAsync(IFleetTarget silo, CancellationTokenSource stop, CancellationToken over)
    {
        using var timer = new PeriodicTimer(QuickLook);
        try
        {
            for (var looks = 0; looks < DesertedLooks;)
            {
                await timer.WaitForNextTickAsync(over);
                looks = silo.MayAnswer ? 0 : looks + 1;
            }

            progress.Say($"{string.Join(", ", silo.Gone)} ended, and no silo is left: the load ends.");
            await stop.CancelAsync();
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task StopOnceDecidedAsync(CancellationTokenSource stop, CancellationToken over)
    {
        if (request.KeepGoing)
            return;

        try
        {
            await _decided.Task.WaitAsync(over);
            await Task.Delay(AfterFinding, over);
            await stop.CancelAsync();
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    /// <summary>Ends the load once a threshold is missed that asks for it.</summary>
    private async Task StopOnMissAsync(RunMonitor monitor, CancellationTokenSource stop, CancellationToken over)
    {
        try
        {
            _abortedBy = (await monitor.Aborted.WaitAsync(over)).Threshold.Metric;
            await stop.CancelAsync();
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

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
                "SELECT pg_database_size(current_database())", new(QuickLook, 1), ct);
            return [(ResourceWatch.Database, Convert.ToDouble(table.Rows[0][0], CultureInfo.InvariantCulture))];
        }
        catch (StorageException)
        {
            return []; // A server that is away, or busy, is not asked again for its size.
        }
    }

    private void OnFinding(Finding finding)
    {
        Interlocked.Increment(ref _findings);
        if (finding.Class is FindingClass.Safety or FindingClass.Liveness or FindingClass.Leak or FindingClass.Harness)
            _decided.TrySetResult();
        progress.Found(finding);
    }

    private async Task StoreAsync(
        IRunWriter writer, StoredVerdict verdict, LiveResult live)
    {
        var (online, generator) = (live.Online, live.Generator);
        var ct = CancellationToken.None;
        var report = verdict.Report;
        await writer.AddEvidenceAsync([.. verdict.Sql.Select(result => result.Evidence)], ct);
        await writer.AddFindingsAsync("stored", report.Findings, ct);
        await writer.AddEvidenceAsync([.. report.Rules.Select(rule => ToEvidence("stored", rule))], ct);
        await writer.AddEvidenceAsync([.. online.Rules.Select(rule => ToEvidence("online", rule))], ct);
        await writer.AddProbesAsync(
            [.. report.Probes.Select(
                probe => new ProbeCount(probe.Key, probe.Value, Scenario.RequiredProbes.Contains(probe.Key)))], ct);
        await writer.AddLatencyAsync(
            [.. generator.Latency.All().SelectMany(
                one => LatencyRecorder.BucketsOf(one.Metric, one.Of, one.Histogram))], ct);
        await writer.AddFaultsAsync(
            [
                .. live.Faults?.Records ?? [],
                .. MessageRecords(live, writer.Info.EpochNs),
                .. Scenario.Faults.Where(fault => fault.Kind is FaultKind.Inject).Select(fault => new FaultRecord(
                    writer.Info.EpochNs,
                    "inject",
                    Kernel.Host.FailPoints.WireName(fault.Point!.Value),
                    string.Join(' ', fault.Expect),
                    $"{fault.Errno} {fault.When}")),
            ],
            ct);
    }

    /// <summary>Messages are too many for a record each: one for each kind, with how often it struck.</summary>
    private IEnumerable<FaultRecord> MessageRecords(LiveResult live, long sinceNs) =>
        live.MessageFaults.Select(struck => new FaultRecord(
            sinceNs,
            struck.Key,
            "messages",
            string.Join(' ', Scenario.Faults.Where(fault => fault.Kind is FaultKind.Message)
                .SelectMany(fault => fault.Expect).Distinct()),
            string.Create(CultureInfo.InvariantCulture, $"struck {struck.Value:N0} messages")));

    private static Storage.Results.RuleEvidence ToEvidence(string checker, Checking.Rules.RuleEvidence rule) =>
        new(checker, rule.Rule, rule.Ok, rule.Violated, rule.Undecided);

    private RunSummary Summarize(
        LiveResult live,
        StoredVerdict verdict,
        RunCounts counts,
        bool interrupted)
    {
        var (generator, monitor, online) = (live.Generator, live.Monitor, live.Online);
        var counters = generator.Counters;
        var report = verdict.Report;
        List<string> disagreements = [.. verdict.Disagreements, .. Disagreement(report, online)];
        var reasons = disagreements.Select(one => $"Two checkers disagree: {one}").Concat(report.Reasons).ToList();
        if (!counts.AreEqual)
        {
            reasons.Insert(
                0, $"{counts.OperationsAcknowledged} operations were acknowledged, {counts.OperationsSpooled} spooled, "
                + $"{counts.OperationsStored} are stored; {counts.EventsAcknowledged} events were acknowledged, "
                + $"{counts.EventsStored} are stored: the history lost or doubled records.");
        }

        var achieved = generator.AchievedShare;
        var results = monitor.Judge(isOver: true, online.Probes);
        var isUndecided = results.Any(result => result.State is ThresholdState.NoData);
        var isMissed = results.Any(result => result.State is ThresholdState.Missed);
        var rateMissed = achieved < RateSharePassed;
        if (rateMissed)
            reasons.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                        $"Only {achieved:P1} of the operations that were due were sent: the rate was missed."));
        var failures = Unexplained(live, counters, report);
        reasons.AddRange(failures);
        reasons.AddRange(live.Others.Lost);
        if (!generator.IsDrained)
            reasons.Add("Clients were not drained in time: rules that need a quiet end decide nothing.");
        reasons.AddRange(results.Where(result => result.State is ThresholdState.Missed or ThresholdState.NoData)
            .Select(result => ThresholdSummary.From(result).Sentence));
        if (_abortedBy is { } metric)
            reasons.Add($"The load was ended early, because the threshold on {metric} was missed.");
        var exit = disagreements.Count > 0 || !counts.AreEqual || report.ExitCode == ExitCode.Harness ? ExitCode.Harness
            : report.Verdict is RunVerdict.Invalid ? ExitCode.Invalid
            : interrupted ? ExitCode.Interrupted
            : failures.Count > 0 || live.Others.Lost.Count > 0 ? ExitCode.Infrastructure
            : report.Verdict is RunVerdict.Unknown || rateMissed || isUndecided ? ExitCode.Unknown
            : isMissed ? ExitCode.Threshold
            : ExitCode.Valid;
        var runVerdict = report.Verdict is RunVerdict.Valid && (rateMissed || isUndecided) ? RunVerdict.Unknown
            : report.Verdict;
        var expected = Scenario.Expect.TryGetValue(request.Profile.Name, out var word) ? word.ToString()
            .ToLowerInvariant() : null;
        return new()
        {
            Run = request.Name,
            Scenario = Scenario.Name,
            Profile = request.Profile.Name,
            Seed = Scenario.Seed,
            Verdict = runVerdict,
            ExitCode = exit,
            Expected = expected,
            AsExpected = expected is null ? null : expected == runVerdict.ToString().ToLowerInvariant(),
            Reasons = reasons,
            Hosts = live.Hosts.Count,
            Devices = request.Plan.Devices.Length,
            Resources = request.Plan.ResourceCount,
            Clients = Scenario.Load.Clients,
            Operations = [.. OperationsOf(counters)],
            OperationsTotal = counters.Operations,
            OperationsPerSecond = generator.SendingTime > TimeSpan.Zero
                ? counters.Operations / generator.SendingTime.TotalSeconds : 0,
            Unbinds = counters.Of(OperationKind.Unbind),
            UnbindsWithHolders = counters.UnbindsWithHolders,
            EventsStored = counts.EventsStored,
            Counts = counts,
            Silos = request.Silos,
            Reaped = live.Reaped,
            Stuck =
            [
                .. generator.Stuck.Select(stuck => new StuckSummary(
                    stuck.Device, LatencyRecorder.NameOf(stuck.Kind), stuck.Since.TotalSeconds, stuck.WaitsFor)),
            ],
            Probes = report.Probes.Where(probe => probe.Value > 0 || Scenario.RequiredProbes.Contains(probe.Key))
                .ToDictionary(),
            Latency = [.. generator.Latency.All().Where(one => one.Histogram.TotalCount > 0)
                .Select(one => LatencySummary.From(one.Metric, one.Of, one.Histogram))],
            Thresholds = [.. results.Select(ThresholdSummary.From)],
            Achieved = achieved,
            Due = generator.Achieved.Due,
            Sent = generator.Achieved.Sent,
            Phases = [.. generator.Phases],
            Resumed = _before?.Share.Load.Times ?? 0,
            Errors = ErrorsOf(counters),
            Gauges = [.. monitor.Gauges],
            TimerLagMaxMs = generator.TimerLagMax.TotalMilliseconds,
            Failures = counters.Failures.ToDictionary(),
            BindErrors = counters.BindErrors.ToDictionary(error => error.Key.ToString(), error => error.Value),
            Findings =
            [
                .. report.Findings.Select((finding, place) => new FindingSummary(
                    place + 1, finding.Rule, finding.Class.ToString()
                        .ToLowerInvariant(), finding.Object, finding.Count, finding.Text, finding.Remedy)),
            ],
            Seconds = _seconds,
            Faults = FaultSummary.Of(live.Faults) with
            {
                Messages = live.MessageFaults,
                ResolvedExecuted = counters.ResolvedExecuted,
                ResolvedNotSeen = counters.ResolvedNotSeen,
                Unresolved = counters.Unresolved,
            },
            Interrupted = interrupted,
            Report = report,
        };
    }

    /// <summary>What went wrong beside the model, and no strike was expected to cause.</summary>
    private List<string> Unexplained(LiveResult live, LoadCounters counters, CheckReport report)
    {
        var expected = live.Faults?.Expected ?? new HashSet<string>();
        var unexplained = new List<string>();
        if (!counters.Failures.IsEmpty && !expected.Contains(FaultEffects.UnknownOutcomes))
            unexplained.Add("Calls failed that no fault of the plan explains.");
        var found = report.Findings.Count(finding => finding.Class is FindingClass.Infrastructure);
        if (report.ExitCode == ExitCode.Infrastructure && !expected.Contains(FaultEffects.Infrastructure))
            unexplained.Add($"{found} infrastructure finding(s) that no fault of the plan explains.");
        var gone = (live.Faults?.Unstruck ?? []).Union(_gone).ToList();
        if (gone.Count > 0 && !expected.Contains(FaultEffects.Failover))
            unexplained.Add($"{string.Join(", ", gone)} ended though no fault of the plan explains it.");
        return unexplained;
    }

    /// <summary>A run that sent less than this share of what was due says nothing about the load that it should have
    /// been.</summary>
    private const double RateSharePassed = 0.95;

    /// <summary>What the checker saw while it happened has to be in the stored history too.</summary>
    private static IEnumerable<string> Disagreement(CheckReport report, OnlineSnapshot online)
    {
        var stored = report.Findings.Select(finding => finding.Rule).ToHashSet(StringComparer.Ordinal);
        return online.Findings.Select(finding => finding.Rule).Distinct().Where(rule => !stored.Contains(rule))
            .Select(rule => $"{rule} was found while the fleet ran, and not in the stored history.");
    }

    private static IEnumerable<OperationSummary> OperationsOf(LoadCounters counters) =>
        from kind in Enum.GetValues<OperationKind>()
        where counters.Of(kind) > 0
        select new OperationSummary(
            LatencyRecorder.NameOf(kind),
            counters.Of(kind, OperationOutcome.Ok),
            counters.Of(kind, OperationOutcome.Fail),
            counters.Of(kind, OperationOutcome.Unknown));

    private static Dictionary<string, IReadOnlyDictionary<string, long>> ErrorsOf(LoadCounters counters) =>
        LatencyRecorder.Kinds
            .Select(kind => (Kind: LatencyRecorder.NameOf(kind), Errors: counters.ErrorsOf(kind).ToList()))
            .Where(kind => kind.Errors.Count > 0)
            .ToDictionary(
                kind => kind.Kind,
                kind => (IReadOnlyDictionary<string, long>)kind.Errors.ToDictionary(
                    error => error.Errno.ToString(), error => error.Count));
}
