using Fleet.Kernel;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>
/// The law's host in a fleet: points cost nothing, turns are read sections, refs and page maps are elsewhere.
/// </summary>
/// <remarks>Concurrency: one grain turn between two awaits that wait. Source: design.md 2.1, 2.2.</remarks>
/// <param name="agent">The device.</param>
/// <param name="actor">Who runs the procedure, as events name it.</param>
/// <param name="ticket">What the procedure stands behind; null for a hot operation.</param>
internal readonly struct FleetHost(DeviceAgent agent, string actor, Ticket? ticket = null) : IKernelHost<FleetHost>
{
    public static bool NeverSuspends => true;

    public KernelProfile Profile => agent.Profile;

    public bool HearsSteps => false;

    public ulong RcuMask => 0;

    public PointAwaiter<FleetHost> Point(Step step, ulong reads, ulong writes) => default;

    public DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where)
    {
        // Whoever touches removed memory is told so by the operation, at its own position.
        if (kind is not OopsKind.RemovedMemory)
        {
            agent.RecordOops(kind, subject, where, actor);
        }

        throw new KernelOopsException(kind, subject, where);
    }

    public Errno Inject(FailPoint point, KernelObject? subject) => agent.Inject(point);

    public void RcuEnter()
    {
    }

    public void RcuExit()
    {
    }

    /// <summary>No read section is open across an await of this device, so the grace period is over at once.</summary>
    public ValueTask Synchronize()
    {
        agent.Record(new KernelEvent(EventKind.GpWaitBegin), actor);
        agent.Record(new KernelEvent(EventKind.GpWaitEnd), actor);
        return ValueTask.CompletedTask;
    }

    public ValueTask SysfsRemove(PciDevice device) => ValueTask.CompletedTask;

    public void Emit(in KernelEvent happened)
    {
        if (happened.Subject is RefObject { Handle: DeviceRef target })
        {
            // Both ends of a cleanup callback stand in the ref's stream: they travel with the wait and the exit.
            target.IsInCleanup |= happened.Kind is EventKind.CleanupBegin;
            return;
        }

        if (happened.Subject is LinearMapping && happened.Kind is not EventKind.IoAccess)
        {
            agent.RecordMapping(happened);
        }
        else if (!IsHot(happened))
        {
            agent.Record(happened, actor);
        }
    }

    public async ValueTask<Errno> RefInit(RefObject target, FailPoint failure)
    {
        var error = agent.Inject(failure);
        if (error is Errno.OK)
        {
            var counted = Of(target);
            counted.Slot.Begin(RefSlotState.Live);
            await agent.CommitAsync();
            counted.Last = agent.Learn(counted, await counted.Link.Init(counted.Life, agent.Log.Last));
        }

        return error;
    }

    public ValueTask<bool> RefTryGetLive(RefObject target)
    {
        DieIfFreed(target, "percpu_ref_tryget_live reads the flag word");
        return new(Of(target).Slot.TryGetLive());
    }

    public ValueTask RefPut(RefObject target, long count)
    {
        DieIfFreed(target, "percpu_ref_put decrements");
        var counted = Of(target);
        counted.Slot.Put(count);
        if (counted.Slot.State is not RefSlotState.Folded)
        {
            return ValueTask.CompletedTask;
        }

        // The operation that gives it back is given its position in this very turn, and it is the next one.
        var sent = counted.Link.Report(counted.Life, counted.Slot.Report(SlotReport.DeviceSlot, agent.Log.Upcoming));
        if (!sent.IsCompletedSuccessfully)
        {
            return Reported(agent, counted, sent);
        }

        agent.Demand(counted.Id, counted.Last, sent.Result);
        return ValueTask.CompletedTask;

        static async ValueTask Reported(DeviceAgent agent, DeviceRef counted, ValueTask<At> sent) =>
            agent.Demand(counted.Id, counted.Last, await sent);
    }

    public bool RefIsDying(RefObject target) => Of(target).Slot.State is not RefSlotState.Live;

    public async ValueTask RefKill(RefObject target)
    {
        DieIfFreed(target, "percpu_ref_kill sets the flags");
        var counted = Of(target);
        counted.Slot.MarkDying();
        await agent.CommitAsync();
        agent.Learn(counted, await counted.Link.Kill(counted.Life, agent.Log.Last));
        if (agent.Neighbours is { } neighbours)
        {
            foreach (var map in counted.Maps)
            {
                await neighbours.Kill(agent.RangeOf(map.Map).Map);
            }
        }

        counted.Switch = agent.SwitchAsync(target, counted);
    }

    public async ValueTask RefWaitReaped(RefObject target)
    {
        DieIfFreed(target, "wait_for_completion reads the completion");
        var counted = Of(target);
        ticket!.WaitsForRef = counted;
        await agent.CommitAsync();
        var step = counted.IsInCleanup ? WaitStep.BeginCleanup : WaitStep.Begin;
        var reply = await counted.Link.WaitZero(counted.Life, step, agent.Log.Last);
        if (counted.Switch is { } switching)
        {
            await switching;
        }

        agent.Demand(counted.Id, counted.Last, reply.At);
        while (!reply.IsZero)
        {
            reply = await counted.Link.WaitZero(counted.Life, WaitStep.Poll, agent.Log.Last);
            agent.Demand(counted.Id, counted.Last, reply.At);
        }

        agent.Learn(counted, reply.At);
        ticket.WaitsForRef = null;
        DieIfFreed(target, "wait_for_completion returns into freed memory");
    }

    public async ValueTask RefExit(RefObject target)
    {
        DieIfFreed(target, "percpu_ref_exit frees the per-CPU memory");
        var counted = Of(target);
        await agent.CommitAsync();
        agent.Learn(counted, await counted.Link.Exit(counted.Life, counted.IsInCleanup, agent.Log.Last));
        counted.IsInCleanup = false;
    }

    /// <summary>
    /// Where the fleet's builder gives each resource memory sections of its own, none is in another's way.
    /// </summary>
    public ValueTask<DevPagemap?> MapConflict(DevPagemap target)
    {
        return agent.Neighbours is { } neighbours ? Ask(agent, neighbours, target) : default;

        static async ValueTask<DevPagemap?> Ask(DeviceAgent agent, IPgmapArrayLink neighbours, DevPagemap target) =>
            await neighbours.Conflict(agent.RangeOf(target)) is { } name ? agent.NeighbourOf(target, name) : null;
    }

    /// <remarks>
    /// Where nothing can fail in between, the page map is told of its memory and its pages in the same message: see
    /// <see cref="PagesInit"/>. Nobody can ask for any of it before.
    /// </remarks>
    public async ValueTask MapStore(DevPagemap target)
    {
        var map = Of(target);
        await agent.CommitAsync();
        if (agent.Neighbours is { } neighbours)
        {
            await neighbours.Store(agent.RangeOf(target));
        }

        if (!agent.IsSetUpAtOnce)
        {
            agent.Learn(map, await map.Link.Store(agent.LifeOf(target), agent.Log.Last));
        }
    }

    public ValueTask MemoryAdd(DevPagemap target)
    {
        return agent.IsSetUpAtOnce ? ValueTask.CompletedTask : Add(agent, Of(target), target.Life);

        static async ValueTask Add(DeviceAgent agent, DeviceMap map, int life)
        {
            await agent.CommitAsync();
            agent.Learn(map, await map.Link.AddMemory(life, agent.Log.Last));
        }
    }

    public async ValueTask PagesInit(DevPagemap target)
    {
        var map = Of(target);
        var counted = Of(target.Ref!);
        counted.Maps.Add(map);
        map.HoldsInitialCounts = true;
        target.Ref!.BackedMapping = true;
        await agent.CommitAsync();
        var slot = counted.Slot.State;
        agent.Learn(map, await (agent.IsSetUpAtOnce
            ? map.Link.SetUp(agent.LifeOf(target), slot, agent.Log.Last)
            : map.Link.InitPages(target.Life, slot, agent.Log.Last)));
    }

    public async ValueTask PutInitialPages(DevPagemap target)
    {
        var map = Of(target);
        await agent.CommitAsync();
        agent.Learn(map, await map.Link.PutInitial(target.Life, agent.Log.Last));
        map.HoldsInitialCounts = false;
    }

    public async ValueTask MemoryRemove(DevPagemap target)
    {
        var map = Of(target);
        var counted = (target.Ref?.Handle as DeviceRef)?.Last ?? default;
        await agent.CommitAsync();
        agent.Learn(map, await map.Link.Remove(target.Life, agent.Log.Last, counted));
    }

    public async ValueTask MapErase(DevPagemap target)
    {
        var map = Of(target);
        await agent.CommitAsync();
        agent.Learn(map, await map.Link.Erase(target.Life, agent.Log.Last));
        if (agent.Neighbours is { } neighbours)
        {
            await neighbours.Erase(agent.RangeOf(target).Map);
        }
    }

    /// <summary>What a client's own operation says at its position, so that nothing more is stored.</summary>
    private static bool IsHot(in KernelEvent happened) =>
        happened.Kind is EventKind.IoEnter or EventKind.IoExit or EventKind.IoAccess
        || happened is { Kind: EventKind.QueuePut, Count: > 0 };

    private static DeviceRef Of(RefObject target) => (DeviceRef)target.Handle!;

    private static DeviceMap Of(DevPagemap target) => (DeviceMap)target.Handle!;

    private void DieIfFreed(RefObject target, string where)
    {
        if (target.Container.IsFreed)
        {
            Die(OopsKind.UseAfterFree, target.Container, where);
        }
    }
}
