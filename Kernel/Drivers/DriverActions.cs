using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Drivers;

/// <summary>
/// What the probes of all drivers have in common: registrations that reset on failure, regions, the managed key.
/// </summary>
/// <remarks>Source: kernel-model B.1 (devm_add_action_or_reset), B.9.</remarks>
internal static class DriverActions
{
    /// <summary>Registers an action; if that fails, runs it before it returns.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    internal static async ValueTask<Errno> AddOrReset<THost>(
        THost host, PciDevice device, DevresFn fn, KernelObject data, FailPoint failure)
        where THost : struct, IKernelHost<THost>
    {
        if (host.Inject(failure, data) is Errno.OK)
        {
            DeviceStack.Push(host, device, fn, data);
            return Errno.OK;
        }

        host.Emit(new KernelEvent(EventKind.ActionAddFailed, null, data)
        {
            Text = "action",
            Fn = DevresFns.WireName(fn),
        });
        await DriverCore.Run(host, device, fn, data);
        return Errno.ENOMEM;
    }

    /// <summary>Requests a range of memory for the device.</summary>
    /// <returns>The failure point's errno, by default that of a range in use, also when the range really is.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    internal static async ValueTask<Errno> RequestRegion<THost>(
        THost host, PciDevice device, MemoryRegion region, FailPoint failure)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.RegionRequest, 0, region.Iomem.Mask);
        var error = host.Inject(failure, region);
        if (error is Errno.OK && !region.Iomem.IsFree(region.StartPfn, region.PageCount))
        {
            error = FailPoints.DefaultErrno(failure);
        }

        if (error is Errno.OK)
        {
            region.Iomem.Occupy(region.StartPfn, region.PageCount);
            DeviceStack.Push(host, device, DevresFn.ReleaseRegion, region);
        }

        return error;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask ReleaseRegion<THost>(THost host, MemoryRegion region)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.RegionRelease, 0, region.Iomem.Mask);
        region.Iomem.Release(region.StartPfn, region.PageCount);
    }

    /// <summary>Managed page types make put_page look at the type; the key says that some are about.</summary>
    internal static void GetManagedKey<THost>(THost host)
        where THost : struct, IKernelHost<THost> => host.Emit(new KernelEvent(EventKind.StaticbranchGet));

    internal static ValueTask PutManagedKey<THost>(THost host)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.StaticbranchPut));
        return ValueTask.CompletedTask;
    }
}
