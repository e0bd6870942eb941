using Fleet.Kernel;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One device of the fleet: decodes, lets <see cref="DeviceAgent"/> decide, encodes.</summary>
/// <remarks>
/// An activation that knows of no device asks what is durable and begins the next incarnation; one that learns of a
/// later
/// incarnation answers "gone" and goes. A new incarnation in place (a part was lost, the device was pulled out) is
/// a new
/// agent. Concurrency: reentrant; everything between two awaits is one turn. No lifecycle rule stands here.
/// </remarks>
[Reentrant, ColocatedPlacement]
internal sealed class PciDeviceGrain : Grain, IPciDeviceGrain
{
    /// <summary>Ticket of a removal that takes its time.</summary>
    private const long RemovalTicket = -1;

    private static readonly AllocReply NoAlloc = new(Errno.ENODEV, default, 0, 0, -1, -1);
    private static readonly FreeReply NoFree = new(Errno.ENODEV, default, -1);
    private static readonly AccessReply NoAccess = new(Errno.ENODEV, default, 0);

    private readonly FleetContext _context;
    private readonly GrainLinks _links;
    private readonly ClientLedger _ledger;
    private readonly LongPoll _poll;
    private DeviceAgent _agent;
    private Task? _beginning;
    private RunPlan? _run;
    private DevicePlan? _plan;
    private TimeSpan _patience;

    public PciDeviceGrain(FleetContext context, GrainLinks links, ClientLedger ledger, LongPoll poll)
    {
        (_context, _links, _ledger, _poll) = (context, links, ledger, poll);
        _agent = NewAgent();
    }

    private OnceCalls Once => new(_ledger, _agent.Log);

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_agent.Log.Tenure is { } tenure)
        {
            await _context.Incarnations.LeaveAsync(_agent.Log.Name, tenure);
        }
    }

    public async ValueTask Configure(RunPlan run, DevicePlan plan)
    {
        await (_beginning ??= ConfigureAsync(run, plan, isKept: false));
        if (_plan is null)
        {
            // It had asked what is durable, and nothing was.
            await (_beginning = ConfigureAsync(run, plan, isKept: false));
        }
    }

    public ValueTask<AllocReply> Alloc(AllocRequest request)
    {
        if (!_agent.Log.Serves)
        {
            return AllocServed(request);
        }

        var once = Once;
        if (!once.MayExecute(request.Session, request.Client, request.Op, request.Op, out var stand, out var known))
        {
            return Again(once, request, stand, known);
        }

        var pending = _agent.Alloc(request);
        if (pending.IsCompletedSuccessfully && once.MayLeave)
        {
            var reply = pending.Result;
            once.Answer(request.Session, request.Client, request.Op, FrontReply.Of(reply));
            return new(reply);
        }

        return Slow(once, request, pending);

        static async ValueTask<AllocReply> Slow(OnceCalls once, AllocRequest request, ValueTask<AllocReply> pending) =>
            (await once.AnswerAsync(request.Session, request.Client, request.Op, Of(pending))).ToAlloc();

        static async ValueTask<AllocReply> Again(
            OnceCalls once, AllocRequest request, CallStand stand, FrontReply known) =>
            (await once.AgainAsync(request.Session, request.Client, request.Op, stand, known)).ToAlloc();

        static async ValueTask<FrontReply> Of(ValueTask<AllocReply> pending) => FrontReply.Of(await pending);
    }

    public ValueTask<FreeReply> Free(FreeRequest request)
    {
        if (!_agent.Log.Serves)
        {
            return FreeServed(request);
        }

        var once = Once;
        if (!once.MayExecute(request.Session, request.Client, request.Op, request.Op, out var stand, out var known))
        {
            return Again(once, request, stand, known);
        }

        var pending = _agent.Free(request);
        if (pending.IsCompletedSuccessfully && once.MayLeave)
        {
            var reply = pending.Result;
            once.Answer(request.Session, request.Client, request.Op, FrontReply.Of(reply));
            return new(reply);
        }

        return Slow(once, request, pending);

        static async ValueTask<FreeReply> Slow(OnceCalls once, FreeRequest request, ValueTask<FreeReply> pending) =>
            (await once.AnswerAsync(request.Session, request.Client, request.Op, Of(pending))).ToFree();

        static async ValueTask<FreeReply> Again(
            OnceCalls once, FreeRequest request, CallStand stand, FrontReply known) =>
            (await once.AgainAsync(request.Session, request.Client, request.Op, stand, known)).ToFree();

        static async ValueTask<FrontReply> Of(ValueTask<FreeReply> pending) => FrontReply.Of(await pending);
    }

    public async ValueTask<AccessReply> Access(AccessRequest request)
    {
        if (!_agent.Log.Serves && !await MayServe())
        {
            return NoAccess;
        }

        var once = Once;
        if (!once.MayExecute(request.Session, request.Client, request.Op, request.Op, out var stand, out var known))
        {
            return (await once.AgainAsync(request.Session, request.Client, request.Op, stand, known)).ToAccess();
        }

        var pending = _agent.Access(request);
        return (await once.AnswerAsync(request.Session, request.Client, request.Op, Of(pending))).ToAccess();

        static async ValueTask<FrontReply> Of(ValueTask<AccessReply> pending) => FrontReply.Of(await pending);
    }

    public async ValueTask<AllocReply[]> AllocMany(AllocRequest[] requests)
    {
        var replies = new AllocReply[requests.Length];
        if (!_agent.Log.Serves && !await MayServe())
        {
            Array.Fill(replies, NoAlloc);
            return replies;
        }

        var once = Once;
        for (var i = 0; i < requests.Length; i++)
        {
            var (session, client, op) = (requests[i].Session, requests[i].Client, requests[i].Op);
            replies[i] = once.MayExecute(session, client, op, requests[0].Op, out var stand, out var known)
                ? await _agent.Alloc(requests[i])
                : (await once.AgainAsync(session, client, op, stand, known)).ToAlloc();
            once.Answer(session, client, op, FrontReply.Of(replies[i]));
        }

        await _agent.Log.CommitAsync();
        return replies;
    }

    public async ValueTask<FreeReply[]> FreeMany(FreeRequest[] requests)
    {
        var replies = new FreeReply[requests.Length];
        if (!_agent.Log.Serves && !await MayServe())
        {
            Array.Fill(replies, NoFree);
            return replies;
        }

        var once = Once;
        for (var i = 0; i < requests.Length; i++)
        {
            var (session, client, op) = (requests[i].Session, requests[i].Client, requests[i].Op);
            replies[i] = once.MayExecute(session, client, op, requests[0].Op, out var stand, out var known)
                ? await _agent.Free(requests[i])
                : (await once.AgainAsync(session, client, op, stand, known)).ToFree();
            once.Answer(session, client, op, FrontReply.Of(replies[i]));
        }

        await _agent.Log.CommitAsync();
        return replies;
    }

    public async ValueTask<ResolveReply> Resolve(ResolveRequest request)
    {
        // An incarnation that is over has no say: whoever has taken its place is asked.
        if (!await MayServe())
        {
            return new(CallStand.Running, 0, default);
        }

        var stand = _ledger.Resolve(request.Session, request.Client, request.Of, out var reply);
        return new(stand, _agent.Log.Gen, reply);
    }

    public ValueTask<TicketReply> Bind(long op) => Begin(TicketKind.Bind, op);

    public ValueTask<TicketReply> Unbind(long op) => Begin(TicketKind.Unbind, op);

    public async ValueTask<TicketReply> Remove(long op)
    {
        if (!await MayServe() || _plan is null)
        {
            return Cut(RemovalTicket) with { Err = Errno.ENODEV };
        }

        return await Removal(BeginAgain(FenceCause.SurpriseRemoval), _patience);
    }

    public async ValueTask<TicketReply> AwaitTicket(long ticket)
    {
        if (ticket == RemovalTicket)
        {
            return await Removal(_beginning ?? Task.CompletedTask, _poll.For);
        }

        return await MayServe() && _agent.FindTicket(ticket) is { } found ? await Await(found, _poll.For) : Cut(ticket);
    }

    public async ValueTask Check()
    {
        if (await MayServe())
        {
            await _agent.CheckParts();
        }
    }

    public async ValueTask<long> ReapSession(int session, string name) =>
        await MayServe() ? await _agent.ReapSession(session, name) : throw Stale();

    public async ValueTask<DeviceReport> Report() => await MayServe() ? _agent.Report() : throw Stale();

    public async ValueTask<DeviceReport> Close() => await MayServe() ? await _agent.Close() : throw Stale();

    private static TicketReply Cut(long ticket) => new(ticket, true, Errno.ENOENT, default, null);

    private DeviceAgent NewAgent()
    {
        DeviceAgent? agent = null;
        agent = new(_context, this.GetPrimaryKeyString(), _links.Of(() => agent!.Log))
        {
            PartLost = _ => LosePart(agent!).Ignore(),
        };
        return agent;
    }

    private async ValueTask<AllocReply> AllocServed(AllocRequest request) =>
        await MayServe() ? await AllocUnder(request) : NoAlloc;

    private ValueTask<AllocReply> AllocUnder(AllocRequest request) =>
        _agent.Log.Serves ? Alloc(request) : _agent.Alloc(request);

    private async ValueTask<FreeReply> FreeServed(FreeRequest request) =>
        await MayServe() && _agent.Log.Serves ? await Free(request) : NoFree;

    /// <summary>Waits until this activation has an incarnation that may answer, or knows that it has none any
    /// more.</summary>
    private async ValueTask<bool> MayServe()
    {
        while (!_agent.Log.Serves)
        {
            var log = _agent.Log;
            if (!log.IsOpen || _beginning is { IsCompleted: false })
            {
                await (_beginning ??= AwakeAsync());
                if (!_agent.Log.IsOpen)
                {
                    return true; // Nobody has said yet what the device is, and its agent answers so.
                }
            }
            else if (log.IsOver)
            {
                DeactivateOnIdle();
                return false;
            }
            else
            {
                await log.Tenure!.Term.RenewedAsync();
                if (!log.Serves && !log.IsOver)
                {
                    return false; // The process is about to end.
                }
            }
        }

        return true;
    }

    /// <summary>Nobody configured this activation: what an earlier one was told is durable, if there was one.</summary>
    private async Task AwakeAsync()
    {
        var known = await _context.Incarnations.KnownAsync(_agent.Log.Name);
        if (known.Plan is { } text && _plan is null)
        {
            var kept = PlanText.Parse<PlanText.DeviceText>(text);
            await ConfigureAsync(kept.Run, kept.Plan, isKept: true);
        }
        else if (_plan is null)
        {
            _beginning = null;
        }
    }

    private async Task ConfigureAsync(
        RunPlan run, DevicePlan plan, bool isKept, string cause = FenceCause.Failover)
    {
        // A bound device has state that nothing else holds: it is never collected for being idle.
        DelayDeactivation(TimeSpan.FromDays(3650));
        (_run, _plan) = (run, plan);
        _patience = run.Patience < _poll.For ? run.Patience : _poll.For;
        await _agent.Configure(
            run, plan, isKept ? null : PlanText.Of(new PlanText.DeviceText(run, plan)), cause);
    }

    /// <summary>Another incarnation follows the one whose part was lost, also where that one is still
    /// beginning.</summary>
    private async Task LosePart(DeviceAgent agent)
    {
        while (_beginning is { IsCompleted: false } beginning)
        {
            await Task.WhenAny(beginning);
        }

        if (ReferenceEquals(agent, _agent))
        {
            await BeginAgain(FenceCause.Failover);
        }
    }

    /// <summary>Ends this incarnation and begins the next one in its place.</summary>
    private Task BeginAgain(string cause)
    {
        if (_beginning is { IsCompleted: false } beginning)
        {
            return beginning;
        }

        _agent.Stop();
        _agent = NewAgent();
        return _beginning = ConfigureAsync(_run!, _plan!, isKept: true, cause);
    }

    private async ValueTask<TicketReply> Removal(Task removal, TimeSpan patience)
    {
        await LongPoll.WaitAsync(removal, patience);
        return removal.IsCompleted
            ? new(RemovalTicket, true, Errno.OK, _agent.Log.Last, null)
            : new(RemovalTicket, false, Errno.OK, _agent.Log.Last, "its page maps and resources to be fenced");
    }

    private async ValueTask<TicketReply> Begin(TicketKind kind, long op)
    {
        if (!await MayServe())
        {
            return Cut(0);
        }

        // What an incarnation begins with ends lives at the page maps and resources: nothing new begins there before.
        while (_beginning is { IsCompleted: false } beginning)
        {
            await Task.WhenAny(beginning);
        }

        return await Await(kind is TicketKind.Bind ? _agent.Bind(op) : _agent.Unbind(op), _patience);
    }

    private async ValueTask<TicketReply> Await(Ticket ticket, TimeSpan patience)
    {
        var agent = _agent;
        await LongPoll.WaitAsync(ticket.Done, patience);
        return agent.Reply(ticket);
    }

    private StaleIncarnationException Stale() => new(_agent.Log.Name, _agent.Log.Gen);
}
