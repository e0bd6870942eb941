using Fleet.Checking;
using Fleet.Client.Cluster;
using Fleet.Client.Load;
using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Fleet.Silo;
using Fleet.Storage.Spool;

namespace Fleet.Client.Runs;

/// <summary>One silo in this process; its events go through the spool of the process.</summary>
internal sealed class EmbeddedTarget : IFleetTarget
{
    /// <summary>How incarnations name the one silo.</summary>
    public const string SiloName = "silo-1";

    private readonly EmbeddedFleet _fleet;
    private readonly OnlineChecker _checker;
    private readonly FaultStreams _faults;

    private EmbeddedTarget(EmbeddedFleet fleet, OnlineChecker checker, FaultStreams faults) =>
        (_fleet, _checker, _faults) = (fleet, checker, faults);

    public (long Count, string Last) Faults => (_faults.Count, _faults.Last);

    public IReadOnlyList<string> Gone => [];

    public bool MayAnswer => true;

    public IGrainFactory Grains => _fleet.Grains;

    /// <param name="lost">The fleet that the run had before; null for none.</param>
    /// <param name="onFinding">Called once for each kind of finding, on the turn that decided it.</param>
    public static async Task<EmbeddedTarget> StartAsync(
        RunRequest request, SpoolWriter spool, TimeSpan longPoll, Action<Finding> onFinding,
        LostFleet? lost, CancellationToken ct)
    {
        var checker = new OnlineChecker(request.Profile.Name, spool.Objects, onFinding);
        var faults = new FaultStreams(checker);
        var fleet = await EmbeddedFleet.StartAsync(
            new()
            {
                Run = request.Name,
                Objects = spool.Objects,
                Log = new SpoolLog(spool),
                Streams = request.Scenario.Faults.IsEmpty ? checker : faults,
                LongPoll = longPoll,
                Incarnations = lost is null ? new MemoryIncarnations() : lost,
                ProcessId = spool.Options.Proc,
                Process = SiloName,
            },
            ct);
        return new(fleet, checker, faults);
    }

    public Task<GatewayRoutes?> RouteAsync(GrainFleetPort port, LoadFleet fleet, CancellationToken ct) =>
        Task.FromResult<GatewayRoutes?>(null);

    public Task<OnlineSnapshot> SnapshotAsync() => Task.FromResult(_checker.Snapshot());

    public Task<IReadOnlyList<CommittedEvents>> CommittedAsync() =>
        Task.FromResult<IReadOnlyList<CommittedEvents>>([]);

    public ValueTask DisposeAsync() => _fleet.DisposeAsync();
}
