using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One session: keeps its lease, and has it barred and reaped when that ends.</summary>
/// <remarks>
/// An open session is durable: an activation that was not told of it gives its client a whole lease, since it does not
/// know when the last renewal was. That a session ends is decided where incarnations are numbered, by the newest one
/// alone: an activation whose silo stood still or was cut off has heard no renewal, and must not end what its successor
/// keeps alive. What was decided is carried out by whoever serves the session then. Concurrency: reentrant; a lapse and
/// a close exclude each other by the turn in which they begin.
/// </remarks>
[Reentrant, KeepAlive]
internal sealed class SessionGrain(FleetContext context, TimeProvider time) : Grain, ISessionGrain
{
    /// <summary>Looks at the lease in the time of one.</summary>
    private const int LooksPerLease = 4;

    private PlanText.SessionText? _session;
    private Tenure? _tenure;
    private IGrainTimer? _timer;
    private long _renewed;
    private bool _isOpen;
    private bool _isOverdue;

    /// <summary>Names of sessions begin so, and so do those under which they are kept.</summary>
    internal const string NamePrefix = "session:";

    private string Name => this.GetPrimaryKeyString();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if ((await context.Incarnations.KnownAsync(Name)).Plan is null)
        {
            return;
        }

        _tenure = await context.Incarnations.BeginAsync(Name);
        if ((await context.Incarnations.KnownAsync(Name)).Plan is { } kept)
        {
            Begin(PlanText.Parse<PlanText.SessionText>(kept));
        }
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_tenure is { } tenure)
        {
            await context.Incarnations.LeaveAsync(Name, tenure);
        }
    }

    public async ValueTask Open(string run, int number, TimeSpan lease, string[] hosts)
    {
        var session = new PlanText.SessionText(run, number, lease, hosts);
        _tenure ??= await context.Incarnations.BeginAsync(Name, PlanText.Of(session));
        if (!await context.Incarnations.TryKeepAsync(Name, _tenure.Gen, PlanText.Of(session)))
        {
            throw Replaced();
        }

        Begin(session);
    }

    public ValueTask<bool> Renew()
    {
        (_renewed, _isOverdue) = (time.GetTimestamp(), false);
        return Look();
    }

    public ValueTask<bool> Look() => _tenure is { IsOver: true } ? throw Replaced() : new(_isOpen);

    public async ValueTask<long> Close()
    {
        if (!_isOpen)
        {
            return 0;
        }

        _timer?.Dispose();
        return await TryEnd() ? await Reap() : throw Replaced();
    }

    private void Begin(PlanText.SessionText session)
    {
        (_session, _isOpen, _renewed, _isOverdue) = (session, !session.IsOver, time.GetTimestamp(), false);
        _timer?.Dispose();
        _timer = this.RegisterGrainTimer(Watch, new GrainTimerCreationOptions
        {
            DueTime = _isOpen ? session.Lease : TimeSpan.Zero,
            Period = session.Lease / LooksPerLease,
            Interleave = true,
        });
    }

    private async Task Watch(CancellationToken ct)
    {
        if (_isOpen && !IsLapsed())
        {
            return;
        }

        _timer?.Dispose();
        if (!_isOpen || await TryEnd())
        {
            await Reap();
        }
    }

    /// <summary>
    /// A lease that is over is so at the next look too: renewals that came while this process stood still are read in
    /// between.
    /// </summary>
    private bool IsLapsed()
    {
        var isLapsed = _isOverdue;
        _isOverdue = time.GetElapsedTime(_renewed) >= _session!.Lease;
        return isLapsed && _isOverdue;
    }

    /// <summary>Decides that the session ends.</summary>
    /// <returns>False where another incarnation has it: this one goes.</returns>
    private async ValueTask<bool> TryEnd()
    {
        _isOpen = false;
        var over = PlanText.Of(_session! with { IsOver = true });
        if (!_tenure!.IsOver && await context.Incarnations.TryKeepAsync(Name, _tenure.Gen, over))
        {
            return true;
        }

        DeactivateOnIdle();
        return false;
    }

    /// <summary>The session is over once everything of it was freed: until then a lost silo has it begun
    /// again.</summary>
    private async Task<long> Reap()
    {
        var reaped = 0L;
        foreach (var host in _session!.Hosts)
        {
            var there = await LostCall.RepeatAsync(
                () => GrainFactory.GetGrain<IHostGrain>(host).ReapSession(_session.Number, Name), time);
            reaped += there;
        }

        await context.Incarnations.KeepAsync(Name, null);
        return reaped;
    }

    private StaleIncarnationException Replaced()
    {
        DeactivateOnIdle();
        return new(Name, _tenure!.Gen);
    }
}
