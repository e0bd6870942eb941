using System.Globalization;
using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Silo.Faults;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Fleet.Silo.Telemetry;
using Fleet.Silo.Tls;
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
/// <remarks>
/// Each run is served by an Orleans silo of its own within the process, and the time between runs by another one: what
/// grains hold is a run's, and ends with it for certain. docs/decisions/0076.
/// </remarks>
internal sealed class ClusterSilo(
    SiloSettings settings, IResultStore store, PostgresCluster cluster, SiloState state, SiloTelemetry telemetry,
    SiloLog log)
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(500);

    /// <summary>A database that was away for long finds every run abandoned at first; drivers need a moment.</summary>
    private const int StaleLooksMax = 20;

    private readonly TlsFiles? _tls = TlsFiles.Of(settings);

    /// <summary>Serves the runs of the cluster, one after another, until the token says stop.</summary>
    /// <exception cref="StorageException">The store cannot be used.</exception>
    public async Task ServeAsync(CancellationToken stop)
    {
        do
        {
            var run = await AwaitRunAsync(stop);
            await ServeAsync(run, stop);
        }
        while (!settings.IsOnce);
    }

    private async Task ServeAsync(string run, CancellationToken stop)
    {
        using var activity = SiloTelemetry.Traces.StartActivity("silo serves run");
        activity?.SetTag("fleet.run", run);
        await using var writer = await store.ResumeRunAsync(run, stop);
        var proc = await writer.JoinAsync(
            settings.Name, SpoolOptions.MonotonicClock(), Environment.MachineName, Environment.ProcessId, stop);
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
            Process = settings.Name,
            LongPoll = LongPoll,
        };
        var asked = ClusterSettings.Of(writer.Info.Settings);
        var messages = asked.Messages.Count > 0
            ? new MessageFaultFilter(asked.Messages, writer.Info.Seed + (ulong)proc) : null;
        var work = new SiloWork(
            () => SiloReport.Of(
                proc, settings.Name, lifecycle.Events, checker.Snapshot(), messages?.Counts ?? []),
            lifecycle.SealAsync);
        Action? forget = null;
        using var host = await StartAsync(
            settings.Cluster,
            silo =>
            {
                forget = cluster.UseMembership(silo);
                asked.Apply(silo);
                if (messages is not null)
                {
                    silo.AddIncomingGrainCallFilter(messages);
                }

                cluster.UseGrainStorage(silo, SiloSetup.Storage);
                silo.Services.AddSingleton(work);
                silo.Services.AddPlacementDirector<OnSiloPlacement, OnSiloPlacementDirector>();
                silo.AddFleet(options);
            },
            stop);
        state.Enter(new(SiloPhase.Serves, run, proc, host.Services, work.Report));
        log.Say(string.Create(
            CultureInfo.InvariantCulture, $"{settings.Name}: serves run {run} as process {proc}."));
        try
        {
            await AwaitEndAsync(run, stop);
            forget!();
            telemetry.RunServed();
            log.Say($"{settings.Name}: run {run} is over.");
        }
        finally
        {
            await LeaveAsync(host, lifecycle, stop);
        }
    }

    /// <summary>Waits for a run as a member of the idle cluster: a silo that cannot work is known before.</summary>
    private async Task<string> AwaitRunAsync(CancellationToken ct)
    {
        if (await LookAsync(ct) is { } announced)
        {
            return announced;
        }

        using var host = await StartAsync(
            PostgresCluster.IdleNameOf(settings.Cluster), cluster.UseIdleMembership, ct);
        state.Enter(new(SiloPhase.Waits, null, 0, host.Services, null));
        log.Say(
            $"{settings.Name}: waits for a run of cluster {settings.Cluster}; fleet run --cluster {settings.Cluster} "
            + "starts one.");
        try
        {
            using var timer = new PeriodicTimer(Look);
            while (true)
            {
                await timer.WaitForNextTickAsync(ct);
                if (await LookAsync(ct) is { } run)
                {
                    return run;
                }
            }
        }
        finally
        {
            await LeaveAsync(host, serving: null, ct);
        }
    }

    private async Task<string?> LookAsync(CancellationToken ct)
    {
        var seen = await cluster.RunAsync(ct);
        state.Looked(seen.IsKnown);
        return seen.IsFresh ? seen.Run : null;
    }

    private async Task AwaitEndAsync(string run, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        for (var stale = 0; stale < StaleLooksMax;)
        {
            await timer.WaitForNextTickAsync(ct);
            var seen = await cluster.RunAsync(ct);
            state.Looked(seen.IsKnown);
            if (seen.IsKnown && seen.Run != run)
            {
                return;
            }

            stale = seen is { IsKnown: true, IsFresh: false } ? stale + 1 : 0;
        }
    }

    private async Task<IHost> StartAsync(string name, Action<ISiloBuilder> configure, CancellationToken ct)
    {
        log.Gate.IsStopping = false;
        using var activity = SiloTelemetry.Traces.StartActivity("silo joins");
        activity?.SetTag("fleet.cluster", name);
        return await SiloHost.StartAsync(
            log.Gate,
            (silo, siloPort, gatewayPort) =>
            {
                silo.UseEndpoints(name, settings, siloPort, gatewayPort);
                silo.Configure<SiloOptions>(options => options.SiloName = settings.Name);
                if (_tls is not null)
                {
                    var tls = new MutualTls(_tls, log.Tls);
                    silo.Configure<SiloConnectionOptions>(tls.Use);
                }

                if (settings is { Otlp: not null, TraceShare: > 0 })
                {
                    silo.AddActivityPropagation();
                }

                configure(silo);
            },
            settings, ct);
    }

    /// <summary>What had to last is stored; the graceful part only tells the others, and has to end.</summary>
    /// <param name="serving">What the others may take at once where the run goes on without this silo.</param>
    private async Task LeaveAsync(IHost host, PostgresLifecycle? serving, CancellationToken stop)
    {
        state.Enter(new(stop.IsCancellationRequested ? SiloPhase.Leaves : SiloPhase.Joins, null, 0, null, null));
        log.Gate.IsStopping = true;
        using var activity = SiloTelemetry.Traces.StartActivity("silo leaves");
        if (serving is not null && stop.IsCancellationRequested)
        {
            await serving.ResignAsync();
        }

        using var patience = new CancellationTokenSource(settings.StopPatience);
        await host.StopAsync(patience.Token);
    }
}
