using Fleet.Protocol.Devices;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One page map of the fleet: decodes, lets <see cref="MapAgent"/> decide, commits, encodes.</summary>
/// <remarks>Concurrency: reentrant; everything between two awaits is one turn. No lifecycle rule stands here.</remarks>
[Reentrant, ColocatedPlacement]
internal sealed class PgmapGrain : Grain, IPgmapGrain
{
    private readonly MapAgent _agent;

    public PgmapGrain(FleetContext context, IFleetLinks links) =>
        _agent = new(context, this.GetPrimaryKeyString(), links.Resource);

    public ValueTask<AccessReply> Access(AccessRequest request) =>
        Durable.ReplyAsync(_agent.Log, _agent.Access(request));

    public ValueTask<AccessReply[]> AccessMany(AccessRequest[] requests)
    {
        var replies = new AccessReply[requests.Length];
        for (var i = 0; i < requests.Length; i++)
        {
            replies[i] = _agent.Access(requests[i]);
        }

        return Durable.ReplyAsync(_agent.Log, replies);
    }

    public async ValueTask<PinReply> Pin(PinRequest request)
    {
        var reply = _agent.Get(request);
        await _agent.Log.CommitAsync();
        return reply;
    }

    public async ValueTask<UnpinReply> Unpin(UnpinRequest request)
    {
        var reply = await _agent.Put(request);
        await _agent.Log.CommitAsync();
        return reply;
    }

    public async ValueTask<At> Store(MapLife life, At cause)
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        await _agent.Log.OpenAsync();
        return await Committed(_agent.Store(life, cause));
    }

    public ValueTask<At> AddMemory(int life, At cause) => Committed(_agent.AddMemory(life, cause));

    public async ValueTask<At> InitPages(int life, RefSlotState slot, At cause) =>
        await Committed(await _agent.InitPages(life, slot, cause));

    public ValueTask<SlotReport> Fold(int life) => new(_agent.Fold(life));

    public async ValueTask<At> PutInitial(int life, At cause) => await Committed(await _agent.PutInitial(life, cause));

    public ValueTask<At> Remove(int life, At cause, At reference) => Committed(_agent.Remove(life, cause, reference));

    public ValueTask<At> Erase(int life, At cause) => Committed(_agent.Erase(life, cause));

    public ValueTask<At> Bar(int session, string name) => Committed(_agent.Bar(session, name));

    public async ValueTask<long> Reap(int session, string name)
    {
        var reaped = await _agent.Reap(session);
        await _agent.Log.CommitAsync();
        return reaped;
    }

    private async ValueTask<At> Committed(At at)
    {
        await _agent.Log.CommitAsync();
        return at;
    }
}
