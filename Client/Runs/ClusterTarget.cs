using Fleet.Checking;
using Fleet.Client.Cluster;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Cluster;

namespace Fleet.Client.Runs;

/// <summary>Silos in processes of their own, joined by PostgreSQL: started here, or found under a cluster's
/// name.</summary>
internal sealed class ClusterTarget : IFleetTarget
{
    /// <summary>A silo that ends before it serves is noticed at once; a busy machine starts one slowly.</summary>
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(180);

    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan RenewInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FindingInterval = TimeSpan.FromMilliseconds(500);

    private readonly RunRequest _request;
    private readonly PostgresCluster _cluster;
    private readonly LocalSilos? _silos;
    private readonly CancellationTokenSource _over = new();
    private readonly List<Task> _watches = [];
    private ClusterFleet? _fleet;

    private ClusterTarget(RunRequest request, PostgresCluster cluster, LocalSilos? silos) =>
        (_request, _cluster, _silos) = (request, cluster, silos);

    /// <summary>Null where somebody else started them.</summary>
    public LocalSilos? Silos => _silos;

    public IReadOnlyList<string> Gone => _silos?.Gone ?? [];

    /// <remarks>Silos of somebody else may come back at any time.</remarks>
    public bool MayAnswer => _silos is null || _silos.Gone.Count < _silos.All.Count;

    /// <summary>Messages that were struck, by kind, as every silo said last.</summary>
    public IReadOnlyDictionary<string, long> MessageFaults => _fleet!.MessageFaults;

    /// <summary>What befell messages, as silos said last.</summary>
    public (long Count, string Last) Faults => _fleet?.MessageFaults is { Count: > 0 } faults
        ? (faults.Sum(fault => fault.Value), faults.MaxBy(fault => fault.Value).Key) : (0, "");

    public IGrainFactory Grains => _fleet!.Grains;

    /// <summary>Announces the run, starts the silos that are asked for, and waits until enough serve.</summary>
    /// <param name="generation">Of the silo processes that are started, from 1 in a run.</param>
    /// <param name="said">Takes what silo processes say.</param>
    /// <exception cref="StorageException">The cluster serves another run, or too few silos came.</exception>
    public static async Task<ClusterTarget> StartAsync(
        RunRequest request, int generation, Action<Finding> onFinding, Action<string> said, CancellationToken ct)
    {
        var name = request.Cluster ?? request.Name;
        var cluster = await PostgresCluster.OpenAsync(request.Store, name, ct);
        var target = new ClusterTarget(
            request, cluster,
            request.Cluster is null
                ? new LocalSilos(cluster, name, request.Store, LiveFaults.ProxiedBy(request.Scenario), said) : null);
        try
        {
            var waiting = request.Silos > 0 ? request.Silos : await target._cluster.WaitingAsync(ct);
            if (request.IsResumed && target._silos is not null)
                await target._cluster.ForgetMembersAsync(ct);
            await target._cluster.AnnounceAsync(request.Name, ct);
            target._watches.Add(target.RenewAsync());
            target._silos?.Start(request.Silos, generation);
            target._fleet = await ClusterFleet.ConnectAsync(
                cluster, name, Math.Max(1, waiting), StartPatience, request.Scenario.Cluster.Gateways,
                () => target._silos?.DemandRunning(), ct);
            target._watches.Add(target.WatchFindingsAsync(onFinding));
            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    public async Task<GatewayRoutes?> RouteAsync(GrainFleetPort port, LoadFleet fleet, CancellationToken ct) =>
        await GatewayRoutes.StartAsync(_fleet!, port, fleet, _request.Scenario.Cluster.Gateways, ct);

    public async Task<OnlineSnapshot> SnapshotAsync() => SiloReport.Merge([.. await _fleet!.ReportsAsync()]);

    public async Task<IReadOnlyList<CommittedEvents>> CommittedAsync()
    {
        return
        [
            .. (await _fleet!.SealAsync()).Select(silo => new CommittedEvents(
                silo.Report.Proc, silo.Report.Name, silo.Report.EventsCommitted, IsGone: !silo.IsFinal)),
        ];
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_watches);
        if (_fleet is not null)
            await _fleet.DisposeAsync();
        if (_silos is not null)
            await _silos.DisposeAsync();
        await EndAsync();
        await _cluster.DisposeAsync();
        _over.Dispose();
    }

    private async Task EndAsync()
    {
        using var patience = new CancellationTokenSource(EndPatience);
        try
        {
            await _cluster.EndAsync(_request.Name, patience.Token);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested)
        {
            return; // The store is away: silos end by themselves, and the announcement goes stale.
        }
    }

    private async Task RenewAsync()
    {
        using var timer = new PeriodicTimer(RenewInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(_over.Token))
                await _cluster.RenewAsync(_over.Token);
        }
        catch (OperationCanceledException) when (_over.IsCancellationRequested)
        {
            return;
        }
    }

    /// <summary>Passes on each kind of finding once, soon after a silo's checker decided it.</summary>
    private async Task WatchFindingsAsync(Action<Finding> onFinding)
    {
        var seen = new HashSet<(string, string)>();
        using var timer = new PeriodicTimer(FindingInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(_over.Token))
            {
                foreach (var finding in (await SnapshotAsync()).Findings)
                {
                    if (seen.Add((finding.Rule, finding.Signature)))
                        onFinding(finding);
                }
            }
        }
        catch (OperationCanceledException) when (_over.IsCancellationRequested)
        {
            return;
        }
    }
}
