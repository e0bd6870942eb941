using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One device of the fleet: decodes, lets <see cref="DeviceAgent"/> decide, encodes.</summary>
/// <remarks>
/// An activation that knows of no device asks what is durable and begins the next incarnation; one that learns of a
/// later incarnation answers "gone" and goes. A new incarnation in place (a part was lost, the device was pulled out)
/// is a new agent. Concurrency: reentrant; everything between two awaits is one turn. No lifecycle rule stands here.
/// </remarks>
[Reentrant, KeepAlive, ColocatedPlacement]
internal sealed class PciDeviceGrain : FencedGrain, IPciDeviceGrain
{
    /// <summary>Ticket of a removal that takes its time.</summary>
    private const long RemovalTicket = -1;

    private readonly GrainLinks _links;
    private readonly ClientLedger _ledger;
    private readonly LongPoll _poll;
    private DeviceAgent _agent;
    private Task? _beginning;
    private RunPlan? _run;
    private DevicePlan? _plan;
    private TimeSpan _patience;
    private ReachedObjects? _reached;

    public PciDeviceGrain(FleetContext context, GrainLinks links, ClientLedger ledger, LongPoll poll)
        : base(context)
    {
        (_links, _ledger, _poll) = (links, ledger, poll);
        _agent = NewAgent();
    }

    protected override ObjectLog Log => _agent.Log;

    private OnceCalls Clients => new(_ledger, _agent.Log);

    /// <summary>What has begun this device or does so; null where nothing has, or it failed and has to be done
    /// again.</summary>
    private Task? Beginning => _beginning is { IsCompleted: true, IsCompletedSuccessfully: false } ? null : _beginning;

    public async ValueTask Configure(RunPlan run, DevicePlan plan)
    {
        await (_beginning = Beginning ?? ConfigureAsync(run, plan, isKept: false));
        if (_plan is null)
        {
            // It had asked what is durable, and nothing was.
            await (_beginning = ConfigureAsync(run, plan, isKept: false));
        }
    }

    public async ValueTask<TicketReply> Build(RunPlan run, DevicePlan plan)
    {
        await Configure(run, plan);
        return await Bind(0);
    }

    public ValueTask<AllocReply> Alloc(AllocRequest request)
    {
        _reached?.Fetch();
        return _agent.Log.Serves
            ? Clients.RunAsync<AllocCall, AllocRequest, AllocReply>(new(_agent), request)
            : AllocOnceServing(request);
    }

    public ValueTask<FreeReply> Free(FreeRequest request)
    {
        // From the first free on: the tables of what is held are there by then.
        (_reached ??= _agent.Reached).Fetch();
        return _agent.Log.Serves
            ? Clients.RunAsync<FreeCall, FreeRequest, FreeReply>(new(_agent), request)
            : FreeOnceServing(request);
    }

    public async ValueTask<AccessReply> Access(AccessRequest request) => await IsServing()
        ? await Clients.RunAsync<RequestAccessCall, AccessRequest, AccessReply>(new(_agent), request)
        : AccessCall.Gone;

    public async ValueTask<AllocReply[]> AllocMany(AllocRequests requests)
    {
        _reached?.Fetch();
        return await IsServing()
            ? await Clients.RunManyAsync<AllocCall, AllocRequest, AllocReply>(new(_agent), requests.Elements)
            : Refusals.Of(requests.Elements.Length, AllocCall.Gone);
    }

    public async ValueTask<FreeReply[]> FreeMany(FreeRequests requests)
    {
        (_reached ??= _agent.Reached).Fetch();
        return await IsServing()
            ? await Clients.RunManyAsync<FreeCall, FreeRequest, FreeReply>(new(_agent), requests.Elements)
            : Refusals.Of(requests.Elements.Length, FreeCall.Gone);
    }

    public async ValueTask<ResolveReply> Resolve(ResolveRequest request)
    {
        // An incarnation that is over has no say: whoever has taken its place is asked.
        if (!await MayServe())
        {
            return new(CallStand.Running, 0, default);
        }

        var stand = _ledger.Of(request.Session, request.Client).Resolve(request.Of, out var reply);
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
        var links = _links.New(this);
        var agent = new DeviceAgent(Context, this.GetPrimaryKeyString(), links);
        links.Owner = agent.Log;
        _reached = null;
        return agent;
    }

    private async ValueTask<AllocReply> AllocOnceServing(AllocRequest request) =>
        await IsServing() ? await Alloc(request) : AllocCall.Gone;

    private async ValueTask<FreeReply> FreeOnceServing(FreeRequest request) =>
        await IsServing() ? await Free(request) : FreeCall.Gone;

    /// <summary>As <see cref="MayServe"/>; false where nobody has said what the device is, and its agent would say the
    /// same.</summary>
    private async ValueTask<bool> IsServing() => _agent.Log.Serves || (await MayServe() && _agent.Log.Serves);

    /// <summary>Waits until this activation has an incarnation that may answer, or knows that it has none.</summary>
    private async ValueTask<bool> MayServe()
    {
        while (!_agent.Log.Serves)
        {
            var log = _agent.Log;
            if (!log.IsOpen || _beginning is { IsCompleted: false })
            {
                await (_beginning = Beginning ?? AwakeAsync());
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
        var known = await Context.Incarnations.KnownAsync(_agent.Log.Name);
        if (known.Plan is { } text)
        {
            var kept = PlanText.Parse<PlanText.DeviceText>(text);
            await ConfigureAsync(kept.Run, kept.Plan, isKept: true);
        }
        else
        {
            _beginning = null;
        }
    }

    private async Task ConfigureAsync(
        RunPlan run, DevicePlan plan, bool isKept, string cause = FenceCause.Failover)
    {
        if (_plan is not null)
        {
            // An agent is configured once, also one whose configuring failed.
            _agent.Stop();
            _agent = NewAgent();
        }

        (_run, _plan) = (run, plan);
        _patience = run.Patience < _poll.For ? run.Patience : _poll.For;
        await _agent.Configure(
            run, plan, isKept ? null : PlanText.Of(run, plan), cause);
    }

    internal void OnPartLost(DeviceAgent agent) => LosePart(agent).Ignore();

    /// <summary>Another incarnation follows the one whose part was lost, also where that one still begins.</summary>
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
