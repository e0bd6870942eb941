using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Simulation.Cluster;

namespace Fleet.Agreement.Tests;

/// <summary>The agents on a virtual cluster.</summary>
internal sealed class SimulatedEngine(RunPlan run, DevicePlan device) : IEngine
{
    private readonly SequentialFleet _fleet = new(run, new(device.Key[..device.Key.IndexOf('/')], [device]));
    private long _ticket;
    private long _op;

    public ValueTask<Result> Alloc(ulong sizeBytes) => new(AgentEngine.Of(_fleet.Alloc(0, sizeBytes, 1)));

    public ValueTask<Result> Free(Held held) => new(AgentEngine.Of(
        _fleet.Free(0, new(++_op, 1, 1, held.Number, held.Address, held.SizeBytes))));

    public ValueTask<Result> Access(Held held, ulong tag) => new(AgentEngine.Of(
        _fleet.Access(0, held.Resource, AgentEngine.Request(++_op, held, tag))));

    public ValueTask<Result> Bind() => Begin(TicketKind.Bind);

    public ValueTask<Result> Unbind() => Begin(TicketKind.Unbind);

    public ValueTask<bool> IsOpen(bool isExpected) => new(_ticket != 0 && !_fleet.Look(0, _ticket).IsDone);

    private ValueTask<Result> Begin(TicketKind kind)
    {
        var reply = _fleet.Begin(kind, 0);
        _ticket = reply.Ticket;
        return new(Result.None with { Err = reply.IsDone ? reply.Err : Errno.OK });
    }
}

/// <summary>The agents in the grains of a real silo.</summary>
internal sealed class LiveEngine(IGrainFactory grains, DevicePlan plan) : IEngine
{
    /// <summary>Looks at a wait that nobody holds up, before one long poll and the last look.</summary>
    private const int LooksMax = 200;

    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(60);

    private readonly IPciDeviceGrain _device = grains.GetGrain<IPciDeviceGrain>(plan.Key);
    private TicketReply _ticket;
    private long _op;

    public Task Configure(RunPlan run) => _device.Configure(run, plan).AsTask();

    public async ValueTask<Result> Alloc(ulong sizeBytes) =>
        AgentEngine.Of(await _device.Alloc(new(++_op, 1, sizeBytes)));

    public async ValueTask<Result> Free(Held held) => AgentEngine.Of(
        await _device.Free(new(++_op, 1, 1, held.Number, held.Address, held.SizeBytes)));

    public async ValueTask<Result> Access(Held held, ulong tag) => AgentEngine.Of(
        await grains.GetGrain<IPgmapGrain>(plan.ResourceKey(held.Resource))
            .Access(AgentEngine.Request(++_op, held, tag)));

    public async ValueTask<Result> Bind() => await Begin(await _device.Bind(++_op));

    public async ValueTask<Result> Unbind() => await Begin(await _device.Unbind(++_op));

    public async ValueTask<bool> IsOpen(bool isExpected)
    {
        var from = TimeProvider.System.GetTimestamp();
        for (var looks = 0; _ticket.Ticket != 0 && !_ticket.IsDone; looks++)
        {
            var open = (await _device.Report()).Open.FirstOrDefault(open => open.Ticket == _ticket.Ticket);
            if (open is not null && isExpected && (IsAtRest(open) || looks > LooksMax))
            {
                return true;
            }

            if (TimeProvider.System.GetElapsedTime(from) > Longest)
            {
                return true;
            }

            // What nobody holds is about to go on, unless a count was lost: then no look shows more than a long poll.
            if (open is null || !isExpected || looks == LooksMax)
            {
                _ticket = await _device.AwaitTicket(_ticket.Ticket);
            }
        }

        return false;
    }

    /// <summary>Nothing but an operation can move it: it is stuck, or somebody holds what it waits for.</summary>
    private static bool IsAtRest(OpenTicket open) =>
        open.IsStuck || open.WaitsFor.Contains("held by", StringComparison.Ordinal);

    private ValueTask<Result> Begin(TicketReply reply)
    {
        _ticket = reply;
        return new(Result.None with { Err = reply.IsDone ? reply.Err : Errno.OK });
    }
}

/// <summary>Answers of the agents in the words of a <see cref="Result"/>.</summary>
internal static class AgentEngine
{
    public static Result Of(in AllocReply reply) => Result.None with
    {
        Err = reply.Err,
        Number = reply.Number,
        Address = reply.Address,
        Resource = reply.Resource,
        Owner = reply.Owner,
    };

    public static Result Of(in FreeReply reply) => Result.None with { Err = reply.Err, Owner = reply.Owner };

    public static Result Of(in AccessReply reply) => Result.None with { Err = reply.Err, Tag = reply.Tag };

    public static AccessRequest Request(long op, Held held, ulong tag) => new(
        op, 1, 1, held.Number, held.Address >> 12, 1, tag == 0 ? AccessDirection.Read : AccessDirection.Write,
        AccessVia.Cpu, tag);
}
