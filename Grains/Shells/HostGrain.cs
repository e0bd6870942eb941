using Fleet.Kernel;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>One machine: asks its devices, some at a time, and adds up what they answer.</summary>
/// <remarks>
/// Which devices it has is durable: an activation that was not told asks for it. A call that is lost with a silo is
/// repeated. Concurrency: reentrant; everything between two awaits is one turn. No lifecycle rule stands here.
/// </remarks>
[Reentrant, KeepAlive]
internal sealed class HostGrain(FleetContext context, GrainLinks links, TimeProvider time) : Grain, IHostGrain
{
    internal const string NamePrefix = "host:";

    private const int InFlightMax = 32;

    private HostPlan? _plan;

    private string Name => NamePrefix + this.GetPrimaryKeyString();

    public async ValueTask<BuildReply> Build(RunPlan run, HostPlan plan)
    {
        _plan = plan;
        await context.Incarnations.KeepAsync(Name, PlanText.Of(new PlanText.HostText(run, plan)));
        if (run.IsSpread)
        {
            RequestContext.Set(ColocatedPlacementDirector.SpreadKey, true);
        }

        var failed = new List<FailedBind>();
        var bound = 0;
        await Each(async (grain, device) =>
        {
            var reply = await Settle(grain, await grain.Build(run, device));
            bound += reply.IsDone && reply.Err is not (Errno.ENODEV or Errno.ENOENT) ? 1 : 0;
            if (!reply.IsDone || reply.Err is not (Errno.OK or Errno.EBUSY))
            {
                failed.Add(new(device.Name, reply.Err, reply.WaitsFor));
            }
        });
        return new(plan.Devices.Count, bound, failed);
    }

    public ValueTask<HostReport> Quiesce() => Reports(grain => grain.Report());

    public ValueTask<HostReport> Close() => Reports(grain => grain.Close());

    public async ValueTask<long> ReapSession(int session, string name)
    {
        var reaped = 0L;
        await Each(async (grain, _) =>
        {
            var here = await grain.ReapSession(session, name);
            reaped += here;
        });
        return reaped;
    }

    public async ValueTask<int> Remove(long op)
    {
        var removed = 0;
        await Each(async (grain, _) =>
        {
            var reply = await grain.Remove(op);
            while (!reply.IsDone)
            {
                reply = await grain.AwaitTicket(reply.Ticket);
            }

            removed += reply.Err is Errno.OK ? 1 : 0;
        });
        return removed;
    }

    public async ValueTask Check() => await Each(async (grain, _) => await grain.Check());

    private async ValueTask<HostReport> Reports(Func<IPciDeviceGrain, ValueTask<DeviceReport>> ask)
    {
        var counters = DeviceCounters.None;
        var open = new List<OpenTicket>();
        var bound = 0;
        await Each(async (grain, _) =>
        {
            var report = await ask(grain);
            counters = counters.Plus(report.Counters);
            open.AddRange(report.Open);
            bound += report.IsBound ? 1 : 0;
        });
        return new(this.GetPrimaryKeyString(), _plan?.Devices.Count ?? 0, bound, counters, open);
    }

    /// <summary>Polls a bind until it is done, or is known never to be.</summary>
    private static async ValueTask<TicketReply> Settle(IPciDeviceGrain grain, TicketReply ticket)
    {
        while (!ticket.IsDone && !IsStuck(await grain.Report(), ticket.Ticket))
        {
            ticket = await grain.AwaitTicket(ticket.Ticket);
        }

        return ticket;

        static bool IsStuck(DeviceReport report, long ticket) =>
            report.Open.Any(open => open.Ticket == ticket && open.IsStuck);
    }

    /// <summary>
    /// Runs one piece of work for each device, a bounded number of them at once, all in this grain's turns.
    /// </summary>
    private async Task Each(Func<IPciDeviceGrain, DevicePlan, Task> work)
    {
        if (_plan is null && (await context.Incarnations.KnownAsync(Name)).Plan is { } kept)
        {
            _plan ??= PlanText.Parse<PlanText.HostText>(kept).Plan;
        }

        var devices = _plan?.Devices ?? [];
        var next = 0;
        var workers = new Task[Math.Min(InFlightMax, devices.Count)];
        for (var i = 0; i < workers.Length; i++)
        {
            workers[i] = Work();
        }

        await Task.WhenAll(workers);

        async Task Work()
        {
            while (next < devices.Count)
            {
                var device = devices[next++];
                for (var isDone = false; !isDone;)
                {
                    try
                    {
                        await work(links.Devices[device.Key], device);
                        isDone = true;
                    }
                    catch (Exception e) when (LostCall.Is(e))
                    {
                        await LostCall.PauseAsync(time);
                    }
                }
            }
        }
    }
}
