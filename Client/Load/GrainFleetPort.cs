using System.Collections.Immutable;
using Fleet.Grains;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Load;

/// <summary>The live fleet: one grain call for each hot operation.</summary>
/// <remarks>
/// Everything goes through the first client until a device is routed through another one. A question after a lost
/// answer takes the device back: that way is open as long as any silo serves. Binds and unbinds, which are few and wait
/// long, always take it. Concurrency: any thread; of two that route a device at once one is obeyed.
/// </remarks>
/// <param name="grains">The first client, which finds another gateway when one is gone.</param>
public sealed class GrainFleetPort(IGrainFactory grains, LoadFleet fleet) : IFleetPort
{
    private readonly Way[] _ways =
        [.. Enumerable.Range(0, fleet.Devices.Length).Select(device => new Way(grains, fleet.Devices[device]))];

    private volatile bool _isTakenBack;

    /// <summary>The client that a device is called through now.</summary>
    public IGrainFactory Through(int device) => _ways[device].Through;

    /// <summary>Calls a device through another client of the same fleet from now on.</summary>
    public void Route(int device, IGrainFactory through)
    {
        if (!ReferenceEquals(_ways[device].Through, through))
            _ways[device] = new(through, fleet.Devices[device]);
    }

    /// <summary>Takes back every device that is called through a client.</summary>
    public void TakeBack(IGrainFactory through)
    {
        for (var device = 0; device < _ways.Length; device++)
        {
            if (ReferenceEquals(_ways[device].Through, through))
                Route(device, grains);
        }
    }

    /// <summary>Whether answers were lost on the way of devices that were routed, since the last call.</summary>
    public bool WasTakenBack()
    {
        var was = _isTakenBack;
        _isTakenBack = false;
        return was;
    }

    public ValueTask<AllocReply> AllocAsync(int device, AllocRequest request) => _ways[device].Device.Alloc(request);

    public ValueTask<FreeReply> FreeAsync(int device, FreeRequest request) => _ways[device].Device.Free(request);

    public ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request) =>
        fleet.Holds[device] is HolderKind.Request
            ? _ways[device].Device.Access(request) : _ways[device].Maps[resource].Access(request);

    public ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests) =>
        _ways[device].Device.AllocMany(new(requests));

    public ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests) =>
        _ways[device].Device.FreeMany(new(requests));

    public ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests) =>
        _ways[device].Maps[resource].AccessMany(new(requests));

    public ValueTask<PinReply> PinAsync(int device, PinRequest request) => _ways[device].Maps[0].Pin(request);

    public ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request) => _ways[device].Maps[0].Unpin(request);

    public ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request) =>
        AfterLoss(device).Device.Resolve(request);

    public ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request) =>
        fleet.Holds[device] is HolderKind.Request
            ? AfterLoss(device).Device.Resolve(request) : AfterLoss(device).Maps[resource].Resolve(request);

    public ValueTask<TicketReply> BindAsync(int device, long op) => First(device).Bind(op);

    public ValueTask<TicketReply> UnbindAsync(int device, long op) => First(device).Unbind(op);

    public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => First(device).AwaitTicket(ticket);

    private IPciDeviceGrain First(int device) => grains.GetGrain<IPciDeviceGrain>(fleet.Devices[device].Key);

    private Way AfterLoss(int device)
    {
        if (!ReferenceEquals(_ways[device].Through, grains))
        {
            Route(device, grains);
            _isTakenBack = true;
        }

        return _ways[device];
    }

    /// <summary>A device's references, all of one client: they are replaced together.</summary>
    private sealed class Way(IGrainFactory through, DevicePlan device)
    {
        public IGrainFactory Through => through;

        public IPciDeviceGrain Device { get; } = through.GetGrain<IPciDeviceGrain>(device.Key);

        public ImmutableArray<IPgmapGrain> Maps { get; } =
        [
            .. Enumerable.Range(0, device.Resources.Count)
                .Select(resource => through.GetGrain<IPgmapGrain>(device.ResourceKey(resource))),
        ];
    }
}
