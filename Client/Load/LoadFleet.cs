using System.Collections.Immutable;
using Fleet.Client.Inventory;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;

namespace Fleet.Client.Load;

/// <summary>What a holder holds, by the driver of the device.</summary>
public enum HolderKind : byte
{
    /// <summary>Peer-to-peer memory.</summary>
    Memory,

    /// <summary>A request in flight in a block device's queue.</summary>
    Request,

    /// <summary>A page that get_user_pages pinned.</summary>
    Pin,

    /// <summary>One of the last two, by the draw.</summary>
    PinOrRequest,
}

/// <summary>The devices of a run with the numbers of their objects and what the load knows of them.</summary>
/// <remarks>
/// Concurrency: any thread. What it knows (allocations that are out, whether an unbind is under way) only steers the
/// load; no
/// rule of the lifecycle is decided from it.
/// </remarks>
public sealed class LoadFleet
{
    private readonly int[] _liveAllocations;
    private readonly int[] _isBusy;
    private readonly int[] _knownGens;
    private readonly int[] _knownMapGens;

    public LoadFleet(FleetPlan plan, ObjectTable objects)
    {
        Devices = [.. plan.Devices.Select(ToDevicePlan)];
        Hosts = [.. plan.Devices.Zip(Devices).GroupBy(pair => pair.First.Host)
            .Select(host => new HostPlan(host.Key, [.. host.Select(pair => pair.Second)]))];
        DeviceIds = [.. Devices.Select(device => objects.Intern(device.Name))];
        MapIds = [.. Devices.Select(device => Enumerable.Range(0, device.Resources.Count)
            .Select(resource => objects.Intern(device.MapName(resource))).ToImmutableArray())];
        RefIds = [.. Devices.Select(device => Enumerable.Range(0, device.Resources.Count)
            .Select(resource => objects.Intern(device.RefName(resource))).ToImmutableArray())];
        Holds = [.. Devices.Select(HoldOf)];
        _liveAllocations = new int[Devices.Length];
        _isBusy = new int[Devices.Length];
        _knownGens = [.. Enumerable.Repeat(1, Devices.Length)];
        _knownMapGens = [.. _knownGens];
    }

    public ImmutableArray<HostPlan> Hosts { get; }

    public ImmutableArray<DevicePlan> Devices { get; }

    public ImmutableArray<int> DeviceIds { get; }

    public ImmutableArray<ImmutableArray<int>> MapIds { get; }

    public ImmutableArray<ImmutableArray<int>> RefIds { get; }

    /// <summary>What a client takes when it is due to allocate at a device.</summary>
    public ImmutableArray<HolderKind> Holds { get; }

    public int LiveAllocations(int device) => Volatile.Read(ref _liveAllocations[device]);

    public void Allocated(int device) => Interlocked.Increment(ref _liveAllocations[device]);

    public void Released(int device) => Interlocked.Decrement(ref _liveAllocations[device]);

    /// <summary>The newest incarnation of a device that any client has heard of; from 1, with which every object of a
    /// run begins, so that a first call is protected too.</summary>
    public int KnownGen(int device) => Volatile.Read(ref _knownGens[device]);

    /// <summary>As <see cref="KnownGen"/>, of the device's first page map, in which pages are pinned.</summary>
    public int KnownMapGen(int device) => Volatile.Read(ref _knownMapGens[device]);

    /// <summary>An answer came from an incarnation of a device.</summary>
    /// <returns>True for the first one that tells of a failover.</returns>
    public bool Learn(int device, int gen) => Raise(ref _knownGens[device], gen);

    public void LearnMap(int device, int gen) => Raise(ref _knownMapGens[device], gen);

    /// <summary>Claims a device for one bind or unbind; false while another is under way or waits for its
    /// rebind.</summary>
    public bool TryClaim(int device) => Interlocked.CompareExchange(ref _isBusy[device], 1, 0) == 0;

    public void Unclaim(int device) => Volatile.Write(ref _isBusy[device], 0);

    private static bool Raise(ref int newest, int gen)
    {
        var known = Volatile.Read(ref newest);
        while (gen > known)
        {
            var seen = Interlocked.CompareExchange(ref newest, gen, known);
            if (seen == known)
                return true;
            known = seen;
        }

        return false;
    }

    private static HolderKind HoldOf(DevicePlan device) => (device.HasPins, device.HasQueue) switch
    {
        (true, true) => HolderKind.PinOrRequest,
        (true, false) => HolderKind.Pin,
        (false, true) => HolderKind.Request,
        _ => HolderKind.Memory,
    };

    private static DevicePlan ToDevicePlan(PlannedDevice device) => new(
        device.Key,
        device.Driver,
        [
            .. device.Resources.Select(resource => new PciBar(
                resource.Bar,
                IsMemory: true,
                resource.CpuAddress,
                resource.SizeBytes,
                unchecked((long)(resource.BusAddress - resource.CpuAddress)))),
        ]);
}
