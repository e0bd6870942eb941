using Fleet.Client.Load;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>What a generator that joined a run did.</summary>
public sealed record JoinedSummary(
    string Run, string Generator, long Operations, long Stored, double? Achieved, bool IsDrained);

/// <summary>A further generator of a run that another process began: makes its share, stores it, reports it.</summary>
internal static class JoinedRun
{
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(1);

    /// <exception cref="UsageException">The run has no free seat, or its scenario cannot be read here.</exception>
    public static async Task<JoinedSummary> RunAsync(
        string reference, StoreAddress address, IRunProgress progress, CancellationToken interrupt)
    {
        await using var store = await ResultStores.OpenAsync(address, interrupt);
        var name = await RunStore.NameOfAsync(reference, store, interrupt);
        await using var writer = await store.ResumeRunAsync(name, interrupt);
        await using var cluster = await PostgresCluster.OpenAsync(address, ClusterOf(writer.Info), interrupt);
        await using var fleet = await ClusterFleet.ConnectAsync(
            cluster, ClusterOf(writer.Info), 1, ConnectPatience, static () => { }, interrupt);
        var run = fleet.Grains.GetGrain<IRunGrain>(name);
        var seat = await run.Join($"{Environment.MachineName}/{Environment.ProcessId}");
        if (seat.Number == 0)
            throw new UsageException(
                $"The run {name} has no free seat; accepted: a run that was begun with --generators N and waits for "
                + "some of them.");

        var plan = SharedRun.FromJson(seat.Plan);
        var request = RunRequest.Create(plan.Scenario, plan.Options, address, false, "", DateTimeOffset.UtcNow) with
        {
            Name = name,
        };
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
        await session.Open(name, sessionNumber, Lease, [.. devices.Hosts.Select(host => host.Name)]);
        await using var generator = new LoadGenerator(
            request.Scenario, devices, new GrainFleetPort(fleet.Grains, devices), spool, generatorName, sessionName,
            sessionNumber)
        {
            Share = (seat.Number - 1, seat.Generators),
        };
        var shared = new SharedRun(run, seat.Number, generator);
        progress.Begin($"{generatorName} waits for the others of {name}");
        await shared.AwaitStartAsync(interrupt);
        progress.Begin("running the load");
        await HammerAsync(generator, shared, session, interrupt);

        progress.Begin("storing what was recorded");
        await session.Close();
        await generator.GiveUpAsync(LongPoll);
        var stored = await drain.CompleteAsync(CancellationToken.None);
        await run.Finish(SharedRun.Report(seat.Number, generator, stored));
        return new(
            name, generatorName, generator.Counters.Operations, stored.OperationsStored, generator.AchievedShare,
            generator.IsDrained);
    }

    private static async Task HammerAsync(
        LoadGenerator generator, SharedRun shared, ISessionGrain session, CancellationToken interrupt)
    {
        using var over = new CancellationTokenSource();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupt);
        var following = shared.FollowAsync(stop, over.Token);
        var renewing = FleetRun.RenewAsync(session, Lease, over.Token);
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
