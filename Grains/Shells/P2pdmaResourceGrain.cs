using Fleet.Protocol.Calls;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>One percpu_ref of the fleet: decodes, lets <see cref="ResourceAgent"/> decide, commits, encodes.</summary>
/// <remarks>
/// It loads nothing: it begins with the life that its device gives it. Concurrency: reentrant; everything between two
/// awaits is one turn. It calls nobody.
/// </remarks>
[Reentrant, KeepAlive, ColocatedPlacement]
internal sealed class P2pdmaResourceGrain : PartGrain, IP2pdmaResourceGrain
{
    private readonly ResourceAgent _agent;
    private readonly LongPoll _poll;

    public P2pdmaResourceGrain(FleetContext context, LongPoll poll)
        : base(context)
    {
        _agent = new(context, this.GetPrimaryKeyString());
        _poll = poll;
    }

    protected override ObjectLog Log => _agent.Log;

    public ValueTask<At> Init(int life, At cause, PartCall call) => Once(call, async () =>
    {
        await Log.OpenAsync();
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
        await Log.CommitAsync();
        return reply;
    });

    public ValueTask<At> Exit(int life, bool endsCleanup, At cause, PartCall call) =>
        Once(call, () => Committed(_agent.Exit(life, endsCleanup, cause)));

    public ValueTask<At> Fence(int life, At cause, string actor, PartCall call) => Once(
        call, () => _agent.Fence(life, cause, actor));

    public ValueTask<At> Look() => Once(default, () => new ValueTask<At>(Log.Last));
}
