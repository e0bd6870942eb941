using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.Memremap;

/// <summary>The operations of a percpu_ref whose counters live here, one point before each atomic step.</summary>
/// <remarks>Source: lib/percpu-refcount.c; kernel-model B.3, C.10 (e, k, w, x), scenarios.md 3.2.</remarks>
public static class RefProcedures
{
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
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
        target.BeginLife();
        host.Emit(new KernelEvent(EventKind.RefInit, target) { Count = 1 });
        return Errno.OK;
    }

    /// <summary>percpu_ref_tryget_live: the flag word is read, then the count is raised as it said.</summary>
    /// <param name="lookup">The map whose lookup asks, so that each of its reads is an event.</param>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<bool> TryGetLive<THost>(THost host, RefObject target, DevPagemap? lookup = null)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefFlags, target.Container.Mask | target.Mask, host.RcuMask);
        LookupReads(host, target, lookup, "flags");
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_tryget_live reads the flag word");
        }

        host.RcuEnter();
        var flags = target.IsKillHidden ? PercpuRefFlags.None : target.Count!.ReadFlags();
        host.Emit(new KernelEvent(EventKind.RefTrygetLive, target) { Count = (long)flags });
        if ((flags & PercpuRefFlags.Dead) != 0)
        {
            host.RcuExit();
            return false;
        }

        await host.Point(Step.RefIncrement, target.Container.Mask | target.Mask, target.CountMask | host.RcuMask);
        LookupReads(host, target, lookup, "increment");
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_tryget_live increments");
        }

        var taken = target.Count!.TryGetLiveIncrement(flags);
        target.Held += taken ? 1 : 0;
        host.RcuExit();
        return taken;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
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

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
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

        var pending = KillNow(host, target);
        if (!pending.IsDone)
        {
            // A mode switch that is in flight is waited for, as the recordings of the compiled code show.
            await host.Wait(
                Step.Kill,
                new Switched(target),
                target.Container.Mask,
                target.Mask | target.CountMask | target.ReapedMask | host.CallbacksMask);
            pending.TryComplete();
        }
    }

    /// <summary>Takes a reference that the caller may take because it holds one already.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Get<THost>(THost host, RefObject target, long count)
        where THost : struct, IDirectHost<THost>
    {
        await host.Point(Step.RefGet, target.Container.Mask | target.Mask, target.CountMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "percpu_ref_get increments");
        }

        GetNow(host, target, count);
    }

    /// <summary>
    /// Waits for the completion, which may be latched by an earlier life; a polled ref waits until it is at zero.
    /// </summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask WaitReaped<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.WaitBegin, target));
        await host.Wait(
            target.IsPolled ? Step.QueueWait : Step.WaitReaped,
            new Reaping(target),
            target.Container.Mask | target.Mask | target.CountMask | target.ReapedMask,
            target.IsPolled ? 0 : target.ReapedMask);
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "wait_for_completion reads the completion");
        }

        if (!target.IsPolled)
        {
            target.Reaped.TryWait();
        }

        host.Emit(new KernelEvent(EventKind.WaitEnd, target) { Count = target.Value });
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
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

    public static bool IsDying(RefObject target) => target.Count!.IsDying;

    /// <summary>Drops references within a step that has declared the ref.</summary>
    internal static void PutNow<THost>(THost host, RefObject target, long count)
        where THost : struct, IDirectHost<THost>
    {
        target.Held -= count;
        target.Count!.Put(0, count);
        host.Emit(new KernelEvent(EventKind.RefPut, target) { Count = target.Value });
    }

    /// <summary>Takes references within a step that has declared the ref.</summary>
    internal static void GetNow<THost>(THost host, RefObject target, long count)
        where THost : struct, IDirectHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.RefGet, target) { Count = target.Value });
        target.Held += count;
        target.Count!.Get(0, count);
    }

    internal static PercpuRefSwitch KillNow<THost>(THost host, RefObject target)
        where THost : struct, IDirectHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.RefKill, target)
        {
            Count = target.Value,
            Text = target.Count!.IsDying ? "dead" : null,
        });
        target.IsKilled = true;
        var wasPercpu = target.Count.IsPercpu;
        var pending = target.Count.Kill();
        target.IsKillHidden |= target.ShowsKillsLate && wasPercpu;
        if (host.HearsSteps && target.Count.IsSwitching)
        {
            host.Emit(new KernelEvent(EventKind.SwitchBegin, target) { Count = target.Value });
        }

        return pending;
    }

    private sealed class Switched(RefObject target) : IReadiness
    {
        public bool IsReady => target.Container.IsFreed || !target.Count!.IsSwitching;
    }

    private static void LookupReads<THost>(THost host, RefObject target, DevPagemap? lookup, string what)
        where THost : struct, IDirectHost<THost>
    {
        if (lookup is not null)
        {
            host.Emit(new KernelEvent(EventKind.MapLookup, lookup, target) { Fn = what });
        }
    }

    private sealed class Reaping(RefObject target) : IReadiness
    {
        public bool IsReady =>
            target.Container.IsFreed || (target.IsPolled ? target.Count!.IsZero : target.Reaped.IsDone);
    }
}
