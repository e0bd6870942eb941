using Fleet.Checking;
using Fleet.Client.Cluster;
using Fleet.Client.Load;

namespace Fleet.Client.Runs;

/// <summary>What one process of the fleet says it made durable.</summary>
/// <param name="Proc">Its number in the run.</param>
/// <param name="IsGone">It ended before the run did: the figure is what it said last.</param>
public readonly record struct CommittedEvents(int Proc, string Name, long Events, bool IsGone = false);

/// <summary>Where the devices of a run live: in this process, or in silos of their own.</summary>
/// <remarks>Disposing it ends what it started, and nothing else.</remarks>
internal interface IFleetTarget : IAsyncDisposable
{
    /// <summary>The way to the fleet's grains.</summary>
    IGrainFactory Grains { get; }

    /// <summary>Lets a port call each device over the gateway of its own silo, for as long as what it returns
    /// lives.</summary>
    /// <returns>Null where nothing is between the two.</returns>
    Task<GatewayRoutes?> RouteAsync(GrainFleetPort port, LoadFleet fleet, CancellationToken ct);

    /// <summary>What every online checker of the fleet decided so far, as if it were one.</summary>
    Task<OnlineSnapshot> SnapshotAsync();

    /// <summary>Names of the silos whose processes ended and have no successor.</summary>
    IReadOnlyList<string> Gone { get; }

    /// <summary>False once there is no process left that could answer.</summary>
    bool MayAnswer { get; }

    /// <summary>Faults that struck in this process so far, with the newest one.</summary>
    (long Count, string Last) Faults { get; }

    /// <summary>Events that did not go through this process's spool, by the process that stored them.</summary>
    Task<IReadOnlyList<CommittedEvents>> CommittedAsync();
}
