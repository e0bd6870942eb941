using Fleet.Checking;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Runs;

/// <summary>What is left of the fleet when it is gone.</summary>
internal sealed record LiveResult(
    LoadGenerator Generator, RunMonitor Monitor, long Reaped, IReadOnlyList<HostReport> Hosts,
    OnlineSnapshot Online, IReadOnlyList<CommittedEvents> Committed)
{
    public LiveFaults? Faults { get; init; }

    public IReadOnlyDictionary<string, long> MessageFaults { get; init; } =
        new Dictionary<string, long>();

    public OtherGenerators Others { get; init; } = OtherGenerators.None;

    /// <summary>The metric of the threshold whose miss ended the load; null for none.</summary>
    public string? AbortedBy { get; init; }

    /// <summary>Names of the silos whose processes ended and have no successor.</summary>
    public IReadOnlyList<string> Gone { get; init; } = [];
}
