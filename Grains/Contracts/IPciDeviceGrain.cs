using Fleet.Protocol.Devices;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>
/// One device; key <c>host/0000:3b:00.0</c>, <c>host/nd:REGION</c> or <c>host/hmm:N</c>.
/// </summary>
/// <remarks>
/// Every hot operation is one call and one turn. The caller sets its own deadline: a call that times out has an unknown
/// outcome.
/// </remarks>
[Alias("fleet.IPciDeviceGrain")]
public interface IPciDeviceGrain : IGrainWithStringKey
{
    /// <summary>Says what the device is; a second time it changes nothing.</summary>
    [Alias("Configure")]
    ValueTask Configure([Immutable] RunPlan run, [Immutable] DevicePlan plan);

    /// <summary><see cref="Configure"/> and <see cref="Bind"/> as one call.</summary>
    [Alias("Build")]
    ValueTask<TicketReply> Build([Immutable] RunPlan run, [Immutable] DevicePlan plan);

    /// <summary>
    /// pci_alloc_p2pmem, or for a pmem blk_queue_enter; see <see cref="DeviceAgent.Alloc"/> for the errors.
    /// </summary>
    [Alias("Alloc")]
    ValueTask<AllocReply> Alloc([Immutable] AllocRequest request);

    /// <summary>pci_free_p2pmem or blk_queue_exit; see <see cref="DeviceAgent.Free"/> for the errors.</summary>
    [Alias("Free")]
    ValueTask<FreeReply> Free([Immutable] FreeRequest request);

    /// <summary>
    /// A request of a raw pmem reads or writes pages; see <see cref="DeviceAgent.Access"/> for the errors.
    /// </summary>
    [Alias("Access")]
    ValueTask<AccessReply> Access([Immutable] AccessRequest request);

    /// <summary>As many allocs, in order, each with its own answer.</summary>
    [Alias("AllocMany")]
    ValueTask<AllocReply[]> AllocMany([Immutable] AllocRequests requests);

    [Alias("FreeMany")]
    ValueTask<FreeReply[]> FreeMany([Immutable] FreeRequests requests);

    /// <summary>Says what became of an alloc, free or access whose answer was lost, and is a barrier.</summary>
    [Alias("Resolve")]
    ValueTask<ResolveReply> Resolve([Immutable] ResolveRequest request);

    /// <summary>
    /// Binds its driver; <see cref="TicketReply.Err"/> is the first error of an add_resource, and the driver is bound
    /// all the same.
    /// </summary>
    /// <param name="op">Asked again under the same number it is the same bind; 0 for one that is never
    /// repeated.</param>
    /// <returns>Done within the run's patience, or a ticket for <see cref="AwaitTicket"/>; <c>EBUSY</c> when
    /// bound.</returns>
    [Alias("Bind")]
    ValueTask<TicketReply> Bind(long op);

    /// <summary>Unbinds; waits for holders as long as they hold. <c>ENODEV</c> when nothing is bound.</summary>
    [Alias("Unbind")]
    ValueTask<TicketReply> Unbind(long op);

    /// <summary>Surprise removal: whatever is bound ends where it stands, and nothing of it is held any more.</summary>
    /// <remarks>
    /// A new incarnation of the device fences its page maps and resources. Old handles get <c>ENODEV</c>; the
    /// device ends
    /// unbound and may be bound again. <c>ENODEV</c> when nobody has said what the device is.
    /// </remarks>
    [Alias("Remove")]
    ValueTask<TicketReply> Remove(long op);

    /// <summary>Looks whether its page maps and resources still have the life that it began there; where one has not,
    /// the whole life is fenced.</summary>
    [Alias("Check")]
    ValueTask Check();

    /// <summary>Waits for a ticket, no longer than one long poll.</summary>
    /// <returns>For a number that is not known, or of an incarnation that is over: done, with <c>ENOENT</c>.</returns>
    [Alias("AwaitTicket")]
    ValueTask<TicketReply> AwaitTicket(long ticket);

    /// <summary>Bars a session, then frees what it holds.</summary>
    /// <returns>Allocations freed.</returns>
    [Alias("ReapSession")]
    ValueTask<long> ReapSession(int session, string name);

    [Alias("Report")]
    ValueTask<DeviceReport> Report();

    /// <summary>Ends the run: each open ticket becomes a <c>hang</c> event.</summary>
    [Alias("Close")]
    ValueTask<DeviceReport> Close();
}
