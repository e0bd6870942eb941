using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Memremap;

/// <summary>The operations of a percpu_ref whose counters live here, one point before each atomic step.</summary>
/// <remarks>Source: lib/percpu-refcount.c; kernel-model B.3, C.10 (e, k, w, x), scenarios.md 3.2.</remarks>
public static class RefProcedures
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<Errno> Init<THost>(THost host, RefObject target, FailPoint failure)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefInit, target.Container.Mask, target.Mask | target.CountMask);
        var error = host.Inject(failure, target);
        if (error is not Errno.OK)
        {
            return error;
        }

        target.PlaceHere(host.Rcu, host);
        target.Count!.Init(PercpuRefInit.AllowReinit);
        target.IsExited = false;
        host.Emit(new KernelEvent(EventKind.RefInit, target) { Count = 1 });
        return Errno.OK;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<bool> TryGetLive<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefFlags, target.Container.Mask | target.Mask, host.RcuMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_tryget_live reads the flag word");
        }

        host.RcuEnter();
        var flags = target.Count!.ReadFlags();
        host.Emit(new KernelEvent(EventKind.RefTrygetLive, target) { Count = (long)flags });
        if ((flags & PercpuRefFlags.Dead) != 0)
        {
            host.RcuExit();
            return false;
        }

        await host.Point(Step.RefIncrement, target.Container.Mask | target.Mask, target.CountMask | host.RcuMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_tryget_live increments");
        }

        var taken = target.Count.TryGetLiveIncrement(flags);
        host.RcuExit();
        return taken;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask Put<THost>(THost host, RefObject target, long count)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefPut, target.Container.Mask | target.Mask, target.CountMask | target.ReapedMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_put decrements");
        }

        PutNow(host, target, count);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask Kill<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(
            Step.Kill,
            target.Container.Mask | host.AllReadersMask,
            target.Mask | target.CountMask | target.ReapedMask | host.CallbacksMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_kill sets the flags");
        }

        KillNow(host, target);
    }

    /// <summary>Waits for the completion; a latched one of an earlier life lets it pass at once.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask WaitReaped<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.WaitBegin, target));
        await host.Wait(
            Step.WaitReaped, new Reaping(target), target.Container.Mask | target.ReapedMask, target.ReapedMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "wait_for_completion reads the completion");
        }

        target.Reaped.TryWait();
        host.Emit(new KernelEvent(EventKind.WaitEnd, target) { Count = target.Value });
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask Exit<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefExit, target.Container.Mask, target.Mask | target.CountMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_exit frees the per-CPU memory");
        }

        if (!target.IsExited)
        {
            host.Emit(new KernelEvent(EventKind.RefExit, target) { Count = target.Value });
            target.IsExited = true;
            target.Count!.Exit();
        }
    }

    /// <summary>Drops references within a step that has declared the ref.</summary>
    internal static void PutNow<THost>(THost host, RefObject target, long count)
        where THost : struct, IDirectHost<THost>
    {
        target.Count!.Put(0, count);
        host.Emit(new KernelEvent(EventKind.RefPut, target) { Count = target.Value });
    }

    internal static void KillNow<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.RefKill, target)
        {
            Count = target.Value,
            Text = target.Count!.IsDying ? "dead" : null,
        });
        target.Count.Kill();
    }

    private sealed class Reaping(RefObject target) : IReadiness
    {
        public bool IsReady => target.Container.IsFreed || target.Reaped.IsDone;
    }
}
