using Fleet.Kernel.Host;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One page map of the fleet: decodes, lets <see cref="MapAgent"/> decide, commits, encodes.</summary>
/// <remarks>
/// It loads nothing: it begins with the life that its device gives it. One that is asked for memory which it never had
/// says "gone", and has the device look. Concurrency: reentrant; everything between two awaits is one turn. No
/// lifecycle rule stands here.
/// </remarks>
[Reentrant, KeepAlive, ColocatedPlacement]
internal sealed class PgmapGrain : PartGrain, IPgmapGrain
{
    private readonly ClientLedger _ledger;
    private readonly MapAgent _agent;
    private bool _hasTold;
    private ReachedObjects? _reached;

    public PgmapGrain(FleetContext context, GrainLinks links, ClientLedger ledger)
        : base(context)
    {
        _ledger = ledger;
        _agent = new(context, this.GetPrimaryKeyString(), links.ResourceOf);
    }

    protected override ObjectLog Log => _agent.Log;

    private OnceCalls Clients => new(_ledger, _agent.Log);

    public ValueTask<AccessReply> Access(AccessRequest request)
    {
        (_reached ??= _agent.Reached).Fetch();
        return Log.Serves
            ? Clients.RunAsync<AccessCall, AccessRequest, AccessReply>(new(_agent), request)
            : AccessOnceServing(request);
    }

    public async ValueTask<AccessReply[]> AccessMany(AccessRequests requests)
    {
        (_reached ??= _agent.Reached).Fetch();
        return await IsServing()
            ? await Clients.RunManyAsync<AccessCall, AccessRequest, AccessReply>(new(_agent), requests.Elements)
            : Refusals.Of(requests.Elements.Length, AccessCall.Gone);
    }

    public async ValueTask<PinReply> Pin(PinRequest request) => await IsServing()
        ? await Clients.RunAsync<PinCall, PinRequest, PinReply>(new(_agent), request) : PinCall.Gone;

    public async ValueTask<UnpinReply> Unpin(UnpinRequest request) => await IsServing()
        ? await Clients.RunAsync<UnpinCall, UnpinRequest, UnpinReply>(new(_agent), request) : UnpinCall.Gone;

    public async ValueTask<ResolveReply> Resolve(ResolveRequest request)
    {
        // An incarnation that is over has no say: whoever has taken its place is asked.
        if (!Log.Serves && !await MayServe())
        {
            return new(CallStand.Running, 0, default);
        }

        var stand = _ledger.Of(request.Session, request.Client).Resolve(request.Of, out var reply);
        return new(stand, Log.Gen, reply);
    }

    public ValueTask<At> Store(MapLife life, At cause, PartCall call) => Once(call, async () =>
    {
        await Log.OpenAsync();
        return await Committed(_agent.Store(life, cause));
    });

    public ValueTask<At> AddMemory(int life, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.AddMemory(life, cause)));

    public ValueTask<At> InitPages(int life, RefSlotState slot, At cause, PartCall call) =>
        Once(call, async () => await Committed(await _agent.InitPages(life, slot, cause)));

    public ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause, PartCall call) => Once(call, async () =>
    {
        await Log.OpenAsync();
        return await Committed(await _agent.SetUp(life, slot, cause));
    });

    public ValueTask<SlotReport> Fold(int life) => Once(default, () => new ValueTask<SlotReport>(_agent.Fold(life)));

    public ValueTask<At> PutInitial(int life, At cause, PartCall call) =>
        Once(call, async () => await Committed(await _agent.PutInitial(life, cause)));

    public ValueTask<At> Remove(int life, At cause, At reference, PartCall call) =>
        Once(call, () => Committed(_agent.Remove(life, cause, reference)));

    public ValueTask<At> Erase(int life, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.Erase(life, cause)));

    public ValueTask<At> Fence(int deviceGen, At cause, string actor, PartCall call) => Once(
        call, () => _agent.Fence(deviceGen, cause, actor));

    public ValueTask<At> Look() => Once(default, () => new ValueTask<At>(Log.Last));

    /// <summary>One that never had a life holds nothing of a session: there is nothing to bar.</summary>
    public ValueTask<At> Bar(int session, string name) => Once(
        default, () => Log.IsOpen ? Committed(_agent.Bar(session, name)) : default);

    public ValueTask<long> Reap(int session, string name) => Once(default, async () =>
    {
        var reaped = Log.IsOpen ? await _agent.Reap(session) : 0;
        await Log.CommitAsync();
        return reaped;
    });

    private async ValueTask<AccessReply> AccessOnceServing(AccessRequest request) =>
        await IsServing() ? await Access(request) : AccessCall.Gone;

    /// <summary>As <see cref="MayServe"/>; false where it has no memory, and its agent would say the same.</summary>
    private async ValueTask<bool> IsServing() => Log.Serves || (await MayServe() && Log.Serves);

    /// <summary>Waits until this activation may answer, or knows that it never may again.</summary>
    private async ValueTask<bool> MayServe()
    {
        while (!Log.Serves)
        {
            var log = Log;
            if (!log.IsOpen)
            {
                TellDevice();
                return true; // It has no memory, and its agent answers so.
            }

            if (log.IsOver)
            {
                DeactivateOnIdle();
                return false;
            }

            await log.Tenure!.Term.RenewedAsync();
            if (!log.Serves && !log.IsOver)
            {
                return false; // The process is about to end.
            }
        }

        return true;
    }

    /// <summary>Somebody holds what this activation never had: the device has to find out that the life was
    /// lost.</summary>
    private void TellDevice()
    {
        if (!_hasTold)
        {
            _hasTold = true;
            var key = this.GetPrimaryKeyString();
            GrainFactory.GetGrain<IPciDeviceGrain>(key[..key.LastIndexOf('/')]).Check().AsTask().Ignore();
        }
    }
}
