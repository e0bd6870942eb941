using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One percpu_ref of the fleet: decodes, lets <see cref="ResourceAgent"/> decide, commits, encodes.</summary>
/// <remarks>Concurrency: reentrant; everything between two awaits is one turn. It calls nobody.</remarks>
[Reentrant, ColocatedPlacement]
internal sealed class P2pdmaResourceGrain : Grain, IP2pdmaResourceGrain
{
    private readonly ResourceAgent _agent;
    private readonly LongPoll _poll;

    public P2pdmaResourceGrain(FleetContext context, LongPoll poll)
    {
        _agent = new(context, this.GetPrimaryKeyString());
        _poll = poll;
    }

    public async ValueTask<At> Init(int life, At cause)
    {
        DelayDeactivation(TimeSpan.FromDays(3650));
        await _agent.Log.OpenAsync();
        return await Committed(_agent.Init(life, cause));
    }

    public ValueTask<At> Kill(int life, At cause) => Committed(_agent.Kill(life, cause));

    public ValueTask<At> Confirm(int life, SlotReport[] folds) => Committed(_agent.Confirm(life, folds));

    public ValueTask<At> Report(int life, SlotReport report) => Committed(_agent.Report(life, report));

    public async ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause)
    {
        if (step is WaitStep.Poll)
        {
            await LongPoll.WaitAsync(_agent.Reaped, _poll.For);
        }

        var reply = _agent.WaitZero(life, step, cause);
        await _agent.Log.CommitAsync();
        return reply;
    }

    public ValueTask<At> Exit(int life, bool endsCleanup, At cause) => Committed(_agent.Exit(life, endsCleanup, cause));

    private async ValueTask<At> Committed(At at)
    {
        await _agent.Log.CommitAsync();
        return at;
    }
}
