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
        _maps[device][resource].Access(request);

    public ValueTask<TicketReply> BindAsync(int device, long op) => _devices[device].Bind(op);

    public ValueTask<TicketReply> UnbindAsync(int device, long op) => _devices[device].Unbind(op);

    public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => _devices[device].AwaitTicket(ticket);
}
