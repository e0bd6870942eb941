using Fleet.Kernel.Memremap;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Host;

/// <summary>
/// Everything of a procedure that is not pure: order, waiting, failures, listeners, and objects elsewhere.
/// </summary>
/// <remarks>
/// The procedures are generic over a struct host, so each engine compiles to its own code. Nothing in Kernel waits
/// otherwise, reads a clock, draws a number or does I/O. Source: design.md 2.1.
/// </remarks>
public interface IKernelHost<THost> : IRefPort, IMapPort, IKernelListener
    where THost : struct, IKernelHost<THost>
{
    /// <summary>True where a point costs nothing and nothing interleaves between two awaits that do not wait.</summary>
    static abstract bool NeverSuspends { get; }

    KernelProfile Profile { get; }

    /// <summary>
    /// Somebody hears the finest events too: what was read, which bits were set. Asked before one is made, so that
    /// nobody pays for what nobody hears.
    /// </summary>
    bool HearsSteps { get; }

    /// <summary>Asks for the next atomic step; exactly one shared step follows.</summary>
    /// <param name="step">The step that follows.</param>
    /// <param name="reads">Union of the <see cref="KernelObject.Mask"/>s that it may read.</param>
    /// <param name="writes">Union of those that it may write.</param>
    PointAwaiter<THost> Point(Step step, ulong reads, ulong writes);

    /// <summary>Records that the modelled kernel died under this actor, and ends it.</summary>
    /// <param name="kind">How.</param>
    /// <param name="subject">What was touched; null for NULL.</param>
    /// <param name="where">The kernel function and what it was about to do.</param>
    DeathAwaiter Die(OopsKind kind, KernelObject? subject, string where);

    /// <summary>Says whether the step must fail now; a fault plan decides.</summary>
    /// <param name="subject">The object that the step is about.</param>
    /// <returns><see cref="Errno.OK"/> to go on.</returns>
    Errno Inject(FailPoint point, KernelObject? subject);

    /// <summary>Opens an RCU read section of this actor; they nest.</summary>
    void RcuEnter();

    void RcuExit();

    /// <summary>Waits until every read section that is open now has closed.</summary>
    ValueTask Synchronize();

    /// <summary>What entering or leaving this actor's read section writes.</summary>
    ulong RcuMask { get; }

    /// <summary>Waits until running sysfs reads of a device have ended and lets no new one start.</summary>
    ValueTask SysfsRemove(P2pdma.PciDevice device);
}

/// <summary>A percpu_ref that may live elsewhere, with the completion that its release callback fires.</summary>
/// <remarks>
/// In exploration a direct call with its points; in the fleet a slot here and messages to the resource.
/// </remarks>
public interface IRefPort
{
    /// <summary>Sets the count to 1; <see cref="Errno.ENOMEM"/> if per-CPU memory cannot be had.</summary>
    ValueTask<Errno> RefInit(RefObject target, FailPoint failure);

    /// <summary>Takes a reference unless the ref is dying.</summary>
    ValueTask<bool> RefTryGetLive(RefObject target);

    /// <summary>Gives references back; the last one fires the completion.</summary>
    ValueTask RefPut(RefObject target, long count);

    bool RefIsDying(RefObject target);

    /// <summary>Marks it dying and drops the initial reference; exact counting starts a grace period later.</summary>
    ValueTask RefKill(RefObject target);

    /// <summary>Waits until the last reference is gone.</summary>
    ValueTask RefWaitReaped(RefObject target);

    /// <summary>Frees the per-CPU memory; does not wait.</summary>
    ValueTask RefExit(RefObject target);
}

/// <summary>A page map whose pages may live elsewhere.</summary>
public interface IMapPort
{
    /// <summary>
    /// Finds a live mapping that covers the first or last page of the aligned range, if there is one.
    /// </summary>
    ValueTask<DevPagemap?> MapConflict(DevPagemap target);

    ValueTask MapStore(DevPagemap target);

    ValueTask MemoryAdd(DevPagemap target);

    /// <summary>Gives every usable page its count of 1 and one reference each on the map's ref.</summary>
    ValueTask PagesInit(DevPagemap target);

    /// <summary>
    /// Drops the count that <see cref="PagesInit"/> gave; pages that nobody else holds give their reference back.
    /// </summary>
    ValueTask PutInitialPages(DevPagemap target);

    ValueTask MemoryRemove(DevPagemap target);

    ValueTask MapErase(DevPagemap target);
}
