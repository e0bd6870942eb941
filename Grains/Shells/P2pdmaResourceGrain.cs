using Fleet.Protocol.Calls;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One percpu_ref of the fleet: decodes, lets <see cref="ResourceAgent"/> decide, commits, encodes.</summary>
/// <remarks>
/// It loads nothing: it begins with the life that its device gives it. Concurrency: reentrant; everything between two
/// awaits is one turn. It calls nobody.
/// </remarks>
[Reentrant, ColocatedPlacement]
internal sealed class P2pdmaResourceGrain : Grain, IP2pdmaResourceGrain
{
    private readonly FleetContext _context;
    private readonly ResourceAgent _agent;
    private readonly PartCalls _calls = new();
    private readonly LongPoll _poll;

    public P2pdmaResourceGrain(FleetContext context, LongPoll poll)
    {
        _context = context;
        _agent = new(context, this.GetPrimaryKeyString());
        _poll = poll;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_agent.Log.Tenure is { } tenure)
        {
            await _context.Incarnations.LeaveAsync(_agent.Log.Name, tenure);
        }
    }

    public ValueTask<At> Init(int life, At cause, PartCall call) => Once(call, async () =>
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        await _agent.Log.OpenAsync();
        return await Committed(_agent.Init(life, cause));
    });

    public ValueTask<At> Kill(int life, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.Kill(life, cause)));

    public ValueTask<At> Confirm(int life, SlotReport[] folds, PartCall call) =>
        Once(call, () => Committed(_agent.Confirm(life, folds)));

    public ValueTask<At> Report(int life, SlotReport report) => Committed(_agent.Report(life, report));

    public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause, PartCall call) => Once(call, async () =>
    {
        if (step is WaitStep.Poll)
        {
            await LongPoll.WaitAsync(_agent.Reaped, _poll.For);
        }

        var reply = _agent.WaitZero(life, step, cause);
        await _agent.Log.CommitAsync();
        return reply;
    });

    public ValueTask<At> Exit(int life, bool endsCleanup, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.Exit(life, endsCleanup, cause)));

    public ValueTask<At> Fence(int life, At cause, string actor, PartCall call) => Once(call, () =>
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        return _agent.Fence(life, cause, actor);
    });

    public ValueTask<At> Look() => Once(default, () => new ValueTask<At>(_agent.Log.Last));

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
