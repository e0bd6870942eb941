using Fleet.Protocol.Streams;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One session: keeps its lease, and has it barred and reaped when that ends.</summary>
/// <remarks>
/// An open session is durable: an activation that was not told of it gives its client a whole lease, since it does not
/// know when the last renewal was. Concurrency: reentrant; a lapse and a close exclude each other by the turn in which
/// they begin.
/// </remarks>
[Reentrant]
internal sealed class SessionGrain(FleetContext context, TimeProvider time) : Grain, ISessionGrain
{
    private string[] _hosts = [];
    private IGrainTimer? _timer;
    private TimeSpan _lease;
    private long _renewed;
    private int _number;
    private bool _isOpen;

    /// <summary>Names of sessions begin so, and so do those under which they are kept.</summary>
    internal const string NamePrefix = "session:";

    private string Name => this.GetPrimaryKeyString();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if ((await context.Incarnations.KnownAsync(Name)).Plan is { } kept)
        {
            var session = PlanText.Parse<PlanText.SessionText>(kept);
            Begin(session.Number, session.Lease, session.Hosts);
        }
    }

    public async ValueTask Open(string run, int number, TimeSpan lease, string[] hosts)
    {
        Begin(number, lease, hosts);
        await context.Incarnations.KeepAsync(
            Name, PlanText.Of(new PlanText.SessionText(run, number, lease, hosts)));
    }

    public ValueTask<bool> Renew()
    {
        _renewed = time.GetTimestamp();
        return new(_isOpen);
    }

    public ValueTask<bool> Look() => new(_isOpen);

    public async ValueTask<long> Close()
    {
        if (!_isOpen)
        {
            return 0;
        }

        _isOpen = false;
        _timer?.Dispose();
        return await Reap();
    }

    private void Begin(int number, TimeSpan lease, string[] hosts)
    {
        (_number, _lease, _hosts, _isOpen) = (number, lease, hosts, true);
        _renewed = time.GetTimestamp();
        DelayDeactivation(TimeSpan.FromDays(3650));
        _timer?.Dispose();
        _timer = this.RegisterGrainTimer(
            Lapse, new GrainTimerCreationOptions { DueTime = lease, Period = lease / 4, Interleave = true });
    }

    private async Task Lapse(CancellationToken ct)
    {
        if (_isOpen && time.GetElapsedTime(_renewed) >= _lease)
        {
            _isOpen = false;
            _timer?.Dispose();
            await Reap();
        }
    }

    /// <summary>The session is over once everything of it was freed: until then a lost silo has it begun
    /// again.</summary>
    private async Task<long> Reap()
    {
        var reaped = 0L;
        foreach (var host in _hosts)
        {
            reaped += await GrainFactory.GetGrain<IHostGrain>(host).ReapSession(_number, Name);
        }

        await context.Incarnations.KeepAsync(Name, null);
        return reaped;
    }
}
