using Fleet.Protocol.Wire;

namespace Fleet.Client.Load;

/// <summary>The fleet as a load sees it: devices by their place in the plan, whatever runs them.</summary>
/// <remarks>
/// Concurrency: any thread. A call that throws, or never returns, has an unknown outcome. The live fleet is behind it
/// today; the
/// simulation takes the same load through the same port.
/// </remarks>
public interface IFleetPort
{
    ValueTask<AllocReply> AllocAsync(int device, AllocRequest request);

    ValueTask<FreeReply> FreeAsync(int device, FreeRequest request);

    /// <param name="resource">Index of the resource in the device's plan.</param>
    ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request);

    /// <summary>As many allocs, in order, each with its own answer.</summary>
    ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests);

    ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests);

    /// <param name="resource">Index of the resource in the device's plan.</param>
    ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests);

    /// <summary>Pins a page of the device's page map.</summary>
    ValueTask<PinReply> PinAsync(int device, PinRequest request);

    ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request);

    /// <summary>What became of an alloc, free or request's access whose answer was lost.</summary>
    ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request);

    /// <summary>What became of an access, pin or unpin whose answer was lost.</summary>
    ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request);

    /// <summary>Asked again under the same number, it is the same bind.</summary>
    ValueTask<TicketReply> BindAsync(int device, long op);

    ValueTask<TicketReply> UnbindAsync(int device, long op);

    /// <summary>Long poll: returns when the ticket is done, or after a while with what it waits for.</summary>
    ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket);
}
