using System.Globalization;
using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Silo.Faults;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;

namespace Fleet.Silo.Cluster;

/// <summary>
/// A silo process on PostgreSQL: members, incarnations and lifecycle events are in the database, and nothing else of
/// it lasts.
/// </summary>
internal static class ClusterSilo
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(10);

    /// <summary>A database that was away for long finds every run abandoned at first; drivers need a moment.</summary>
    private const int StaleLooksMax = 20;

    /// <summary>Waits for a run of the cluster, serves it, and returns when it is over or the process is told to
    /// stop.</summary>
    /// <exception cref="StorageException">The store cannot be used.</exception>
    public static async Task ServeAsync(SiloArguments arguments, StoreAddress address, TextWriter said)
    {
        using var stop = new CancellationTokenSource();
        using var signals = StopSignals.On(stop);
        if (arguments.IsChild)
        {
            EndWithStandardInput(stop);
        }

        await using var store = await ResultStores.OpenAsync(address, stop.Token);
        await using var cluster = await PostgresCluster.OpenAsync(address, arguments.Cluster, stop.Token);
        try
        {
            var run = await AwaitRunAsync(cluster, arguments, said, stop.Token);
            await ServeAsync(arguments, store, cluster, run, said, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await said.WriteLineAsync($"{arguments.Name}: told to stop.");
        }
    }

    private static async Task ServeAsync(
        SiloArguments arguments, IResultStore store, PostgresCluster cluster, string run, TextWriter said,
        CancellationTokenSource stop)
    {
        await using var writer = await store.ResumeRunAsync(run, stop.Token);
        var proc = await writer.JoinAsync(
            arguments.Name, SpoolOptions.MonotonicClock(), Environment.MachineName, Environment.ProcessId, stop.Token);
        var objects = RunNames.NewTable();
        var checker = new OnlineChecker(writer.Info.Profile, objects, static _ => { });
        await using var lifecycle = PostgresLifecycle.Open(store, writer, run, objects, proc);
        var options = new EmbeddedFleetOptions
        {
            Run = run,
            Objects = objects,
            Log = lifecycle,
            Incarnations = lifecycle,
            Streams = checker,
            ProcessId = proc,
            Process = arguments.Name,
            LongPoll = LongPoll,
        };
        var settings = ClusterSettings.Of(writer.Info.Settings);
        var log = new SiloLogGate();
        var messages = settings.Messages.Count > 0
            ? new MessageFaultFilter(settings.Messages, writer.Info.Seed + (ulong)proc) : null;
        var work = new SiloWork(() => SiloReport.Of(
            proc, arguments.Name, lifecycle.Events, checker.Snapshot(), messages?.Counts ?? []));
        using var host = await SiloHost.StartAsync(
            options, log,
            (silo, siloPort, gatewayPort) =>
            {
                silo.UseLoopback(arguments.Cluster, siloPort, gatewayPort);
                cluster.UseMembership(silo);
                silo.Configure<SiloOptions>(names => names.SiloName = arguments.Name);
                settings.Apply(silo);
                if (messages is not null)
                {
                    silo.AddIncomingGrainCallFilter(messages);
                }

                cluster.UseGrainStorage(silo, SiloSetup.Storage);
                silo.Services.AddSingleton(work);
                silo.Services.AddPlacementDirector<OnSiloPlacement, OnSiloPlacementDirector>();
            },
            (arguments.SiloPort, arguments.GatewayPort), new GuestLifetime(), stop.Token);
        await said.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"{arguments.Name}: serves run {run} as process {proc}."));
        try
        {
            await AwaitEndAsync(cluster, run, stop.Token);
            await said.WriteLineAsync($"{arguments.Name}: run {run} is over.");
        }
        finally
        {
            log.IsStopping = true;

            // What had to last is stored; the graceful part only tells the others, and may not take for ever.
            using var patience = new CancellationTokenSource(LeavePatience);
            await host.StopAsync(patience.Token);
        }
    }

    private static async Task<string> AwaitRunAsync(
        PostgresCluster cluster, SiloArguments arguments, TextWriter said, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        for (var isFirst = true; ; isFirst = false)
        {
            if (await cluster.RunAsync(ct) is { Run: { } run, IsFresh: true })
            {
                return run;
            }

            if (isFirst)
            {
                await said.WriteLineAsync(
                    $"{arguments.Name}: waits for a run of cluster {arguments.Cluster}; "
                    + $"fleet run --cluster {arguments.Cluster} starts one.");
            }

            await timer.WaitForNextTickAsync(ct);
        }
    }

    private static async Task AwaitEndAsync(PostgresCluster cluster, string run, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        for (var stale = 0; stale < StaleLooksMax;)
        {
            await timer.WaitForNextTickAsync(ct);
            var seen = await cluster.RunAsync(ct);
            if (seen.IsKnown && seen.Run != run)
            {
                return;
            }

            stale = seen is { IsKnown: true, IsFresh: false } ? stale + 1 : 0;
        }
    }

    private static void EndWithStandardInput(CancellationTokenSource stop) => _ = Task.Run(async () =>
    {
        await Console.In.ReadToEndAsync();
        await stop.CancelAsync();
    });
}
