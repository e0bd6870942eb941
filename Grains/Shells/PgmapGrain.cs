using Fleet.Kernel;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One page map of the fleet: decodes, lets <see cref="MapAgent"/> decide, commits, encodes.</summary>
/// <remarks>
/// It loads nothing: it begins with the life that its device gives it. One that is asked for memory which it never had
/// says "gone", and has the device look. Concurrency: reentrant; everything between two awaits is one turn. No
/// lifecycle
/// rule stands here.
/// </remarks>
[Reentrant, ColocatedPlacement]
internal sealed class PgmapGrain : Grain, IPgmapGrain
{
    private readonly FleetContext _context;
    private readonly ClientLedger _ledger;
    private readonly MapAgent _agent;
    private readonly PartCalls _calls = new();
    private bool _hasTold;

    public PgmapGrain(FleetContext context, GrainLinks links, ClientLedger ledger)
    {
        (_context, _ledger) = (context, ledger);
        MapAgent? agent = null;
        _agent = agent = new(context, this.GetPrimaryKeyString(), links.Of(() => agent!.Log).Resource);
    }

    private OnceCalls Clients => new(_ledger, _agent.Log);

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_agent.Log.Tenure is { } tenure)
        {
            await _context.Incarnations.LeaveAsync(_agent.Log.Name, tenure);
        }
    }

    public ValueTask<AccessReply> Access(AccessRequest request)
    {
        if (!_agent.Log.Serves)
        {
            return Served(request);
        }

        var once = Clients;
        if (!once.MayExecute(request.Session, request.Client, request.Op, request.Op, out var stand, out var known))
        {
            return Again(once, request, stand, known);
        }

        var reply = _agent.Access(request);
        if (once.MayLeave)
        {
            once.Answer(request.Session, request.Client, request.Op, FrontReply.Of(reply));
            return new(reply);
        }

        return Slow(once, request, reply);

        static async ValueTask<AccessReply> Slow(OnceCalls once, AccessRequest request, AccessReply reply) =>
            (await once.AnswerAsync(
                request.Session, request.Client, request.Op, new(FrontReply.Of(reply)))).ToAccess();

        static async ValueTask<AccessReply> Again(
            OnceCalls once, AccessRequest request, CallStand stand, FrontReply known) =>
            (await once.AgainAsync(request.Session, request.Client, request.Op, stand, known)).ToAccess();
    }

    public async ValueTask<AccessReply[]> AccessMany(AccessRequest[] requests)
    {
        var replies = new AccessReply[requests.Length];
        if (!_agent.Log.Serves && !await MayServe())
        {
            Array.Fill(replies, new(Errno.ENODEV, default, 0));
            return replies;
        }

        var once = Clients;
        for (var i = 0; i < requests.Length; i++)
        {
            var (session, client, op) = (requests[i].Session, requests[i].Client, requests[i].Op);
            replies[i] = once.MayExecute(session, client, op, requests[0].Op, out var stand, out var known)
                ? _agent.Access(requests[i])
                : (await once.AgainAsync(session, client, op, stand, known)).ToAccess();
            once.Answer(session, client, op, FrontReply.Of(replies[i]));
        }

        if (!once.MayLeave)
        {
            await _agent.Log.CommitAsync();
        }

        return replies;
    }

    public async ValueTask<PinReply> Pin(PinRequest request)
    {
        if (!_agent.Log.Serves && !await MayServe())
        {
            return new(Errno.ENODEV, default, 0, 0, 0);
        }

        var (session, client, op) = (request.Session, request.Client, request.Op);
        return Clients.MayExecute(session, client, op, op, out var stand, out var known)
            ? (await Clients.AnswerAsync(session, client, op, new(FrontReply.Of(_agent.Get(request))))).ToPin()
            : (await Clients.AgainAsync(session, client, op, stand, known)).ToPin();
    }

    public async ValueTask<UnpinReply> Unpin(UnpinRequest request)
    {
        if (!_agent.Log.Serves && !await MayServe())
        {
            return new(Errno.ENODEV, default);
        }

        var (session, client, op) = (request.Session, request.Client, request.Op);
        return Clients.MayExecute(session, client, op, op, out var stand, out var known)
            ? (await Clients.AnswerAsync(session, client, op, Of(_agent.Put(request)))).ToUnpin()
            : (await Clients.AgainAsync(session, client, op, stand, known)).ToUnpin();

        static async ValueTask<FrontReply> Of(ValueTask<UnpinReply> pending) => FrontReply.Of(await pending);
    }

    public async ValueTask<ResolveReply> Resolve(ResolveRequest request)
    {
        // An incarnation that is over has no say: whoever has taken its place is asked.
        if (!_agent.Log.Serves && !await MayServe())
        {
            return new(CallStand.Running, 0, default);
        }

        var stand = _ledger.Resolve(request.Session, request.Client, request.Of, out var reply);
        return new(stand, _agent.Log.Gen, reply);
    }

    public ValueTask<At> Store(MapLife life, At cause, PartCall call) => Once(call, async () =>
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        await _agent.Log.OpenAsync();
        return await Committed(_agent.Store(life, cause));
    });

    public ValueTask<At> AddMemory(int life, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.AddMemory(life, cause)));

    public ValueTask<At> InitPages(int life, RefSlotState slot, At cause, PartCall call) =>
        Once(call, async () => await Committed(await _agent.InitPages(life, slot, cause)));

    public ValueTask<SlotReport> Fold(int life) => Once(default, () => new ValueTask<SlotReport>(_agent.Fold(life)));

    public ValueTask<At> PutInitial(int life, At cause, PartCall call) =>
        Once(call, async () => await Committed(await _agent.PutInitial(life, cause)));

    public ValueTask<At> Remove(int life, At cause, At reference, PartCall call) =>
        Once(call, () => Committed(_agent.Remove(life, cause, reference)));

    public ValueTask<At> Erase(int life, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.Erase(life, cause)));

    public ValueTask<At> Fence(int deviceGen, At cause, string actor, PartCall call) => Once(call, () =>
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        return _agent.Fence(deviceGen, cause, actor);
    });

    public ValueTask<At> Look() => Once(default, () => new ValueTask<At>(_agent.Log.Last));

    /// <summary>One that never had a life holds nothing of a session: there is nothing to bar.</summary>
    public ValueTask<At> Bar(int session, string name) => Once(
        default, () => _agent.Log.IsOpen ? Committed(_agent.Bar(session, name)) : default);

    public ValueTask<long> Reap(int session, string name) => Once(default, async () =>
    {
        var reaped = _agent.Log.IsOpen ? await _agent.Reap(session) : 0;
        await _agent.Log.CommitAsync();
        return reaped;
    });

    private async ValueTask<AccessReply> Served(AccessRequest request) =>
        !await MayServe() ? new(Errno.ENODEV, default, 0)
            : _agent.Log.Serves ? await Access(request) : _agent.Access(request);

    /// <summary>Waits until this activation may answer, or knows that it never may again.</summary>
    private async ValueTask<bool> MayServe()
    {
        while (!_agent.Log.Serves)
        {
            var log = _agent.Log;
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

    /// <summary>Somebody holds what this activation never had: the device has to find out that the life was lost.
    /// </summary>
    private void TellDevice()
    {
        if (!_hasTold)
        {
            _hasTold = true;
            var key = this.GetPrimaryKeyString();
            GrainFactory.GetGrain<IPciDeviceGrain>(key[..key.LastIndexOf('/')]).Check().AsTask().Ignore();
        }
    }

    /// <summary>One that a later incarnation replaced goes, and whoever called finds the later one.</summary>
    private ValueTask<T> Once<T>(PartCall call, Func<ValueTask<T>> execute)
    {
        if (_agent.Log.IsOver)
        {
            DeactivateOnIdle();
            throw new StaleIncarnationException(_agent.Log.Name, _agent.Log.Gen);
        }

        return _calls.Once(call, execute);
    }

    private async ValueTask<At> Committed(At at)
    {
        await _agent.Log.CommitAsync();
        return at;
    }
}
