using Fleet.Client.Load;
using Fleet.Kernel;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Faults;

/// <summary>A fleet whose answers to allocations tell which devices are back; only runs with strikes go through
/// it.</summary>
internal sealed class RecoveryPort(IFleetPort fleet, RecoveryWatch watch) : IFleetPort
{
    public async ValueTask<AllocReply> AllocAsync(int device, AllocRequest request)
    {
        var sentNs = MonotonicNs.Now;
        var reply = await fleet.AllocAsync(device, request);
        Saw(device, reply, sentNs);
        return reply;
    }

    public async ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests)
    {
        var sentNs = MonotonicNs.Now;
        var replies = await fleet.AllocManyAsync(device, requests);
        foreach (var reply in replies)
            Saw(device, reply, sentNs);
        return replies;
    }

    public ValueTask<FreeReply> FreeAsync(int device, FreeRequest request) => fleet.FreeAsync(device, request);

    public ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests) =>
        fleet.FreeManyAsync(device, requests);

    public ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request) =>
        fleet.AccessAsync(device, resource, request);

    public ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests) =>
        fleet.AccessManyAsync(device, resource, requests);

    public ValueTask<PinReply> PinAsync(int device, PinRequest request) => fleet.PinAsync(device, request);

    public ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request) => fleet.UnpinAsync(device, request);

    public ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request) =>
        fleet.ResolveAtDeviceAsync(device, request);

    public ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request) =>
        fleet.ResolveAtMapAsync(device, resource, request);

    public ValueTask<TicketReply> BindAsync(int device, long op) => fleet.BindAsync(device, op);

    public ValueTask<TicketReply> UnbindAsync(int device, long op) => fleet.UnbindAsync(device, op);

    public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => fleet.AwaitTicketAsync(device, ticket);

    private void Saw(int device, AllocReply reply, long sentNs)
    {
        if (reply.Err is Errno.OK)
            watch.Allocated(device, reply.At.Gen, sentNs);
    }
}
