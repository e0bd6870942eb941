using System.Collections.Immutable;
using Fleet.Grains;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Load;

/// <summary>The live fleet: one grain call for each hot operation.</summary>
public sealed class GrainFleetPort(IGrainFactory grains, LoadFleet fleet) : IFleetPort
{
    private readonly ImmutableArray<IPciDeviceGrain> _devices =
        [.. fleet.Devices.Select(device => grains.GetGrain<IPciDeviceGrain>(device.Key))];

    private readonly ImmutableArray<ImmutableArray<IPgmapGrain>> _maps =
    [
        .. fleet.Devices.Select(device => Enumerable.Range(0, device.Resources.Count)
            .Select(resource => grains.GetGrain<IPgmapGrain>(device.ResourceKey(resource))).ToImmutableArray()),
    ];

    public ValueTask<AllocReply> AllocAsync(int device, AllocRequest request) => _devices[device].Alloc(request);

    public ValueTask<FreeReply> FreeAsync(int device, FreeRequest request) => _devices[device].Free(request);

    public ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request) =>
        fleet.Holds[device] is HolderKind.Request
            ? _devices[device].Access(request) : _maps[device][resource].Access(request);

    public ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests) =>
        _devices[device].AllocMany(requests);

    public ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests) =>
        _devices[device].FreeMany(requests);

    public ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests) =>
        _maps[device][resource].AccessMany(requests);

    public ValueTask<PinReply> PinAsync(int device, PinRequest request) => _maps[device][0].Pin(request);

    public ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request) => _maps[device][0].Unpin(request);

    public ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request) =>
        _devices[device].Resolve(request);

    public ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request) =>
        fleet.Holds[device] is HolderKind.Request
            ? _devices[device].Resolve(request) : _maps[device][resource].Resolve(request);

    public ValueTask<TicketReply> BindAsync(int device, long op) => _devices[device].Bind(op);

    public ValueTask<TicketReply> UnbindAsync(int device, long op) => _devices[device].Unbind(op);

    public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => _devices[device].AwaitTicket(ticket);
}
