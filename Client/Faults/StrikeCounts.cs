using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;

namespace Fleet.Client.Faults;

/// <summary>How many strikes on silos met what a run of strikes is made to meet.</summary>
/// <remarks>Concurrency: one caller at a time counts.</remarks>
internal sealed class StrikeCounts(LoadFleet fleet)
{
    /// <summary>Strikes on silos whose devices had allocations out.</summary>
    public int WithLiveHandles { get; private set; }

    /// <summary>Kills of silos that were tearing a device down.</summary>
    public int KillsInTeardown { get; private set; }

    /// <param name="devices">Places in the fleet of what was on the silo.</param>
    /// <param name="open">Binds and unbinds under way, anywhere.</param>
    public void Count(FaultKind kind, IReadOnlyCollection<int> devices, IEnumerable<OpenTicket> open)
    {
        WithLiveHandles += devices.Sum(fleet.LiveAllocations) > 0 ? 1 : 0;
        var keys = devices.Select(device => fleet.Devices[device].Key).ToHashSet(StringComparer.Ordinal);
        KillsInTeardown += kind is FaultKind.SiloKill && open.Any(
            ticket => ticket.Kind is OperationKind.Unbind && keys.Contains(ticket.Device)) ? 1 : 0;
    }
}
