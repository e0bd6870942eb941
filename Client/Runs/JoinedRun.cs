using Fleet.Client.Cluster;
using Fleet.Client.Load;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>What a generator that joined a run did.</summary>
/// <param name="Operations">Those of the generators that it follows included.</param>
public sealed record JoinedSummary(
    string Run, string Generator, long Operations, long Stored, double? Achieved, bool IsDrained)
{
    /// <summary>The lost generator whose place it took; null for none.</summary>
    public string? Follows { get; init; }

    /// <summary>Operations that it had sent and that have no record.</summary>
    public long Unknown { get; init; }
}

/// <summary>A further generator of a run that another process began: makes its share, stores it, reports it.</summary>
internal static class JoinedRun
{
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LostPatience = TimeSpan.FromSeconds(20);

    /// <exception cref="UsageException">The run has no free seat, or its scenario cannot be read here.</exception>
    public static async Task<JoinedSummary> RunAsync(
        string reference, StoreAddress address, IRunProgress progress, CancellationToken interrupt)
    {
        await using var store = await ResultStores.OpenAsync(address, interrupt);
        var name = await RunStore.NameOfAsync(reference, store, interrupt);
        await using var writer = await store.ResumeRunAsync(name, interrupt);
        await using var cluster = await PostgresCluster.OpenAsync(address, ClusterOf(writer.Info), interrupt);
        var gateways = ClusterSettings.Of(writer.Info.Settings).Gateways;
        await using var fleet = await ClusterFleet.ConnectAsync(
            cluster, ClusterOf(writer.Info), 1, ConnectPatience, gateways, static () => { }, interrupt);
        var run = fleet.Grains.GetGrain<IRunGrain>(name);
        var seat = await TakeSeatAsync(run, name, writer, progress, interrupt);
        var plan = SharedRun.FromJson(seat.Plan);
        var request = RunRequest.Create(plan.Scenario, plan.Options, address, false, "", DateTimeOffset.UtcNow) with
        {
            Name = name,
        };
        var share = (Place: seat.Place - 1, Of: seat.Generators);
        var before = await FollowAsync(seat, name, request, fleet.Grains, writer, progress, interrupt);
        var (generatorName, sessionName) = (RunNames.GeneratorOf(seat.Number), RunNames.SessionOf(seat.Number));
        var objects = RunNames.NewTable();
        var proc = await writer.JoinAsync(
            generatorName, SpoolOptions.MonotonicClock(), Environment.MachineName, Environment.ProcessId, interrupt);
        using var spool = SpoolWriter.Create(
            new(
                SharedRun.SpoolDirectoryOf(name, seat.Number), name, proc, generatorName,
                SpoolOptions.MonotonicClock()),
            objects);
        await using var drain = SpoolDrain.Start(spool, writer);
        var devices = new LoadFleet(request.Plan, objects);
        var session = fleet.Grains.GetGrain<ISessionGrain>(sessionName);
        var sessionNumber = objects.Intern(sessionName);
        await session.Open(name, sessionNumber, SessionLease.Length, [.. devices.Hosts.Select(host => host.Name)]);
        var port = new GrainFleetPort(fleet.Grains, devices);
        await using var routes = await GatewayRoutes.StartAsync(fleet, port, devices, gateways, interrupt);
        await using var generator = new LoadGenerator(
            request.Scenario, devices, port, spool, generatorName, sessionName, sessionNumber)
        {
            Share = share,
            Before = before?.Load,
        };
        if (before is not null)
            generator.AddBefore(before.Counters, before.Latency);
        var shared = new SharedRun(run, seat.Number, generator);
        progress.Begin($"{generatorName} waits for the others of {name}");
        await shared.AwaitStartAsync(interrupt);
        progress.Begin("running the load");
        await HammerAsync(generator, shared, session, interrupt);

        progress.Begin("storing what was recorded");
        await SessionLease.CloseAsync(session);
        await generator.GiveUpAsync(Patience.LongPoll);
        var stored = await drain.CompleteAsync(CancellationToken.None);
        var report = SharedRun.Report(seat.Number, generator, stored, before);
        await SharedRun.PatientlyAsync(
            async () =>
            {
                await run.Finish(report);
                return true;
            }, CancellationToken.None);
        foreach (var number in seat.Follows)
            Forget(SharedRun.SpoolDirectoryOf(name, number));
        return new(
            name, generatorName, generator.Counters.Operations, report.Stored, generator.AchievedShare,
            generator.IsDrained)
        {
            Follows = seat.Follows.Length > 0 ? RunNames.GeneratorOf(seat.Follows[^1]) : null,
            Unknown = before?.Unknown ?? 0,
        };
    }

    /// <summary>Seats of a run whose processes are gone and left their spools on this machine.</summary>
    public static async Task<IReadOnlyList<int>> LeftHereAsync(string run, IRunWriter writer, CancellationToken ct)
    {
        var processes = await writer.Reader.ProcessesAsync(ct);
        return
        [
            .. Enumerable.Range(2, RunNames.SeatsMax - 1).Where(number =>
                SpoolReader.Exists(SharedRun.SpoolDirectoryOf(run, number))
                && processes.LastOrDefault(process => process.Name == RunNames.GeneratorOf(number)) is { } process
                && process.Host == Environment.MachineName && !RunRecovery.IsAlive(process.Pid)),
        ];
    }

    private static async Task<RunSeat> TakeSeatAsync(
        IRunGrain run, string name, IRunWriter writer, IRunProgress progress, CancellationToken ct)
    {
        var left = await LeftHereAsync(name, writer, ct);
        using var timer = new PeriodicTimer(Patience.Look);
        var began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var seat = await SharedRun.PatientlyAsync(
                () => run.Join($"{Environment.MachineName}/{Environment.ProcessId}", [.. left]), ct);
            if (seat.Number > RunNames.SeatsMax)
                throw new UsageException($"The run {name} has used all of its {RunNames.SeatsMax} seats.");
            if (seat.Number > 0)
                return seat;

            // Whoever was killed a moment ago is not taken for lost before it was silent for a while.
            if (left.Count == 0 || TimeProvider.System.GetElapsedTime(began) > LostPatience)
                throw new UsageException(
                    $"The run {name} has no free seat; accepted: a run that was begun with --generators N and waits "
                    + "for some of them, or one that lost a generator of this machine.");

            progress.Begin($"waiting until {RunNames.GeneratorOf(left[^1])} counts as lost");
            await timer.WaitForNextTickAsync(ct);
        }
    }

    /// <summary>Ends what the lost generators of a place left open, and stores what they recorded.</summary>
    private static async Task<ShareBefore?> FollowAsync(
        RunSeat seat, string name, RunRequest request, IGrainFactory grains, IRunWriter writer, IRunProgress progress,
        CancellationToken ct)
    {
        if (seat.Follows.Length == 0)
            return null;

        progress.Begin($"storing what {RunNames.GeneratorOf(seat.Follows[^1])} left behind");
        foreach (var number in seat.Follows)
            await grains.GetGrain<ISessionGrain>(RunNames.SessionOf(number)).Close();
        var names = seat.Follows.Select(RunNames.GeneratorOf).ToHashSet(StringComparer.Ordinal);
        var processes = (await writer.Reader.ProcessesAsync(ct)).Where(process => names.Contains(process.Name));
        var clients = request.Scenario.Load.Clients;
        var before = await ShareBefore.ReadAsync(
            [.. seat.Follows.Select(number => SharedRun.SpoolDirectoryOf(name, number)).Where(SpoolReader.Exists)],
            writer, [.. processes], (clients - seat.Place + seat.Generators) / seat.Generators, null, ct);
        return before.IsExact ? before
            : throw new Fleet.Storage.StorageException(
                $"What {RunNames.GeneratorOf(seat.Follows[^1])} recorded is not stored once and whole; its spool stays "
                + "where it is.");
    }

    private static void Forget(string spool)
    {
        if (Directory.Exists(spool))
            Directory.Delete(spool, recursive: true);
    }

    private static async Task HammerAsync(
        LoadGenerator generator, SharedRun shared, ISessionGrain session, CancellationToken interrupt)
    {
        using var over = new CancellationTokenSource();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupt);
        var following = shared.FollowAsync(stop, over.Token);
        var renewing = SessionLease.RenewAsync(session, over.Token);
        await generator.RunAsync(stop.Token);
        await generator.AwaitTicketsAsync(generator.TicketPatience);
        await over.CancelAsync();
        await Task.WhenAll(following, renewing);
    }

    /// <summary>Silos that a run starts for itself are a cluster of the run's name.</summary>
    public static string ClusterOf(RunInfo run)
    {
        using var json = System.Text.Json.JsonDocument.Parse(run.Settings);
        return json.RootElement.TryGetProperty("cluster", out var cluster) && cluster.GetString() is { } name
            ? name : run.Run;
    }
}
