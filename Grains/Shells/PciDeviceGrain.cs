using Fleet.Protocol.Devices;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One device of the fleet: decodes, lets <see cref="DeviceAgent"/> decide, encodes.</summary>
/// <remarks>Concurrency: reentrant; everything between two awaits is one turn. No lifecycle rule stands here.</remarks>
[Reentrant, ColocatedPlacement]
internal sealed class PciDeviceGrain : Grain, IPciDeviceGrain
{
    private readonly DeviceAgent _agent;
    private readonly LongPoll _poll;
    private TimeSpan _patience;

    public PciDeviceGrain(FleetContext context, IFleetLinks links, LongPoll poll)
    {
        _agent = new(context, this.GetPrimaryKeyString(), links);
        _poll = poll;
    }

    public ValueTask Configure(RunPlan run, DevicePlan plan)
    {
        // A bound device has state that nothing else holds: it is never collected for being idle.
        DelayDeactivation(TimeSpan.FromDays(3650));
        _patience = run.Patience < _poll.For ? run.Patience : _poll.For;
        return _agent.Configure(run, plan);
    }

    public ValueTask<AllocReply> Alloc(AllocRequest request) =>
        Durable.ReplyAsync(_agent.Log, _agent.Alloc(request));

    public ValueTask<FreeReply> Free(FreeRequest request) =>
        Durable.ReplyAsync(_agent.Log, _agent.Free(request));

    public ValueTask<AccessReply> Access(AccessRequest request) =>
        Durable.ReplyAsync(_agent.Log, _agent.Access(request));

    public async ValueTask<AllocReply[]> AllocMany(AllocRequest[] requests)
    {
        var replies = new AllocReply[requests.Length];
        for (var i = 0; i < requests.Length; i++)
        {
            replies[i] = await _agent.Alloc(requests[i]);
        }

        await _agent.Log.CommitAsync();
        return replies;
    }

    public async ValueTask<FreeReply[]> FreeMany(FreeRequest[] requests)
    {
        var replies = new FreeReply[requests.Length];
        for (var i = 0; i < requests.Length; i++)
        {
            replies[i] = await _agent.Free(requests[i]);
        }

        await _agent.Log.CommitAsync();
        return replies;
    }

    public ValueTask<TicketReply> Bind(long op) => Await(_agent.Bind(op), _patience);

    public ValueTask<TicketReply> Unbind(long op) => Await(_agent.Unbind(op), _patience);

    public ValueTask<TicketReply> AwaitTicket(long ticket) => _agent.FindTicket(ticket) is { } found
        ? Await(found, _poll.For)
        : new(new TicketReply(ticket, true, Kernel.Errno.ENOENT, default, null));

    public ValueTask<long> ReapSession(int session, string name) => _agent.ReapSession(session, name);

    public ValueTask<DeviceReport> Report() => new(_agent.Report());

    public ValueTask<DeviceReport> Close() => _agent.Close();

    private async ValueTask<TicketReply> Await(Ticket ticket, TimeSpan patience)
    {
        await LongPoll.WaitAsync(ticket.Done, patience);
        return _agent.Reply(ticket);
    }
}
