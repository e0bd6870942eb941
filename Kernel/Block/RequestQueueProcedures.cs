using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Block;

/// <summary>The life of a request queue, and the requests that pass through it.</summary>
/// <remarks>
/// Source: blk_alloc_queue, blk_register_queue, blk_freeze_queue_start, blk_cleanup_queue, blk_queue_enter and
/// blk_release_queue of block/ @ v5.2, del_gendisk @ v5.15-rc6; kernel-model B.9, C.8.
/// Differs: del_gendisk leaves the queue frozen (docs/decisions/0051).
/// </remarks>
public static class RequestQueueProcedures
{
    /// <summary>Allocates the queue, its usage counter at 1 and counted centrally.</summary>
    /// <returns><see cref="Errno.ENOMEM"/> if it cannot be had.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Alloc<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.ObjectAlloc, 0, queue.Mask);
        queue.Begin();
        var error = await host.RefInit(queue.Usage, FailPoint.PmemQueueAlloc);
        if (error is not Errno.OK)
        {
            return error;
        }

        host.Emit(new KernelEvent(EventKind.ObjAlloc, null, queue));
        return Errno.OK;
    }

    /// <summary>The disk of the queue is added: from here on its counter counts per CPU.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Register<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.QueueRegister, queue.Mask, queue.Usage.Mask | queue.Usage.CountMask);
        await P2pdmaProcedures.Live(host, queue, "blk_register_queue switches the usage counter");

        // Where the counter lives elsewhere it counts in slots anyway.
        queue.Usage.Count?.SwitchToPercpu();
    }

    /// <summary>Begins a freeze; only the first of nested ones kills the counter, so repeating it is safe.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask StartFreeze<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.QueueFreeze, 0, queue.Mask);
        await P2pdmaProcedures.Live(host, queue, "blk_freeze_queue_start counts the freeze");
        await AfterFreezeBegan(host, queue, queue.Gate.StartFreeze());
    }

    /// <summary>
    /// Waits until nobody uses the queue; polls the counter, so an earlier drain does not use this one up.
    /// </summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask WaitDrained<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.QueueWaitBegin, queue));
        await host.RefWaitReaped(queue.Usage);
        host.Emit(new KernelEvent(EventKind.QueueWaitEnd, queue));
    }

    /// <summary>blk_cleanup_queue: dying, frozen, drained, dead, counter exited, driver's reference put.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Cleanup<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await BeginCleanup(host, queue);
        await EndCleanup(host, queue);
    }

    /// <summary>Opens the disk: keeps the queue's memory until <see cref="Close"/>.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Open<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.DiskOpen, queue.Mask, queue.Mask);
        await P2pdmaProcedures.Live(host, queue, "the opener takes a reference of the queue");
        queue.References++;
    }

    public static ValueTask Close<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost> => PutReference(host, queue, Step.DiskClose);

    /// <summary>blk_queue_enter: a request wants in.</summary>
    /// <returns>
    /// <see cref="QueueEnter.Frozen"/> asks the caller to try again once the queue is thawed or dying.
    /// </returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<QueueEnter> IoEnter<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        var isLive = await host.RefTryGetLive(queue.Usage);
        var answer = isLive ? QueueEnter.Entered : queue.Gate.Refusal;
        if (isLive)
        {
            queue.InFlight++;
        }

        host.Emit(new KernelEvent(EventKind.IoEnter, queue) { Count = queue.InFlight, Err = ErrnoOf(answer) });
        return answer;
    }

    /// <summary>blk_queue_exit: the request is complete.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask IoExit<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        // Counted as gone before the put, whose release callback is judged by what is still inside.
        queue.InFlight--;
        host.Emit(new KernelEvent(EventKind.IoExit, queue) { Count = queue.InFlight });
        await host.RefPut(queue.Usage, 1);
    }

    /// <summary>First half of <see cref="Cleanup"/>: nobody new gets in, and all who were inside have left.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask BeginCleanup<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.QueueFreeze, 0, queue.Mask);
        await P2pdmaProcedures.Live(host, queue, "blk_cleanup_queue marks the queue dying");
        await AfterFreezeBegan(host, queue, queue.Gate.MarkDying());
        await WaitDrained(host, queue);
    }

    /// <summary>Second half of <see cref="Cleanup"/>: the counter is exited and the driver's reference put.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask EndCleanup<THost>(THost host, RequestQueue queue)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.QueueExit, 0, queue.Mask);
        queue.Gate.MarkDead();
        host.Emit(new KernelEvent(EventKind.QueueDead, queue));
        await host.RefExit(queue.Usage);
        await PutReference(host, queue, Step.QueuePut);
    }

    /// <summary>Gives one reference back; the last one has the memory freed after a grace period.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask PutReference<THost>(THost host, RequestQueue queue, Step step)
        where THost : struct, IKernelHost<THost>
    {
        // Queueing the callback depends on who is inside a read section, whoever that is.
        await host.Point(step, ulong.MaxValue, ulong.MaxValue);
        await P2pdmaProcedures.Live(host, queue, "blk_put_queue drops a reference");
        queue.References--;
        host.Emit(new KernelEvent(EventKind.QueuePut, queue) { Count = queue.References });
        if (queue.References == 0)
        {
            host.Emit(new KernelEvent(EventKind.RcuCbQueue, queue));
            if (!queue.FreeLater())
            {
                queue.Free(host);
            }
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask AfterFreezeBegan<THost>(THost host, RequestQueue queue, bool killsCounter)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.QueueFreezeStart, queue) { Count = queue.FreezeDepth });
        if (killsCounter)
        {
            await host.RefKill(queue.Usage);
        }
    }

    private static Errno ErrnoOf(QueueEnter answer) => answer switch
    {
        QueueEnter.Entered => Errno.OK,
        QueueEnter.Frozen => Errno.EAGAIN,
        _ => Errno.ENODEV,
    };
}
