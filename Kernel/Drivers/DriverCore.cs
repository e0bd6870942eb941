using System.Runtime.CompilerServices;
using Fleet.Kernel.Block;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Drivers;

/// <summary>Bind and unbind as the driver core does them: under the device lock, and through the devres list.</summary>
/// <remarks>
/// An actor that dies inside keeps the lock; <see cref="PciDevice.IsLocked"/> says so to whoever comes next.
/// Source: drivers/base/dd.c, drivers/base/devres.c; kernel-model B.1 (ordering), H.2.
/// </remarks>
public static class DriverCore
{
    public const string P2pDriver = "p2pdma";

    /// <summary>
    /// Binds a driver that offers peer-to-peer memory: each BAR whole, in order; an error is remembered, not returned.
    /// </summary>
    /// <param name="bars">What the driver offers; a BAR may be named twice, to try again.</param>
    /// <returns>The first error of an add_resource; the probe itself succeeds whatever it is.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> BindP2p<THost>(
        THost host, PciDevice device, P2pdmaObjects objects, IReadOnlyList<PciBar> bars)
        where THost : struct, IKernelHost<THost>
    {
        await Lock(host, device, EventKind.BindBegin, P2pDriver);
        device.Driver = P2pDriver;
        var first = Errno.OK;
        for (var i = 0; i < bars.Count; i++)
        {
            var error = await P2pdmaProcedures.AddResource(host, device, objects, bars[i], 0, 0, i);
            first = first is Errno.OK ? error : first;
        }

        await host.Point(Step.BindEnd, 0, device.Mask);
        host.Emit(new KernelEvent(EventKind.BindEnd) { Text = P2pDriver, Err = first });
        device.IsLocked = false;
        return first;
    }

    /// <summary>
    /// Binds a driver whose probe may fail: then everything that it registered is released, newest first.
    /// </summary>
    /// <param name="driver">What the driver keeps; the same object may be bound again.</param>
    /// <returns>The probe's errno.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Bind<THost>(THost host, PciDevice device, DriverState driver)
        where THost : struct, IKernelHost<THost>
    {
        await Lock(host, device, EventKind.BindBegin, driver.Driver);
        device.Driver = driver.Driver;
        device.State = driver;
        var error = await driver.Probe(host, device);
        if (error is not Errno.OK)
        {
            await ReleaseAll(host, device);
        }

        await host.Point(Step.BindEnd, error is Errno.OK ? 0 : device.QuiescenceMask, device.Mask);
        host.Emit(new KernelEvent(EventKind.BindEnd) { Text = driver.Driver, Err = error });
        if (error is not Errno.OK)
        {
            device.Driver = null;
            device.State = null;
        }

        device.IsLocked = false;
        return error;
    }

    /// <summary>Unbinds whatever driver is bound: remove, then everything it registered, newest first.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Unbind<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        var driver = device.Driver;
        await Lock(host, device, EventKind.UnbindBegin, driver);
        await ReleaseAll(host, device);
        await host.Point(Step.UnbindEnd, device.QuiescenceMask, device.Mask);
        host.Emit(new KernelEvent(EventKind.UnbindEnd) { Text = driver });
        device.Resources.Clear();
        device.Driver = null;
        device.State = null;
        device.IsLocked = false;
    }

    /// <summary>
    /// devm_release_action: runs the newest such action now and forgets it; a missing one is a warning.
    /// </summary>
    /// <returns>Whether there was one.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<bool> ReleaseAction<THost>(
        THost host, PciDevice device, DevresFn fn, KernelObject data)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.DevresTake, 0, device.Mask);
        if (!DeviceStack.Take(host, device, fn, data, EventKind.DevresRun))
        {
            return false;
        }

        await Run(host, device, fn, data);
        return true;
    }

    /// <summary>devres_release_all: runs every action and frees all memory of a device, newest first.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask ReleaseAll<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        var todo = device.Devres.TakeAll();
        host.Emit(new KernelEvent(EventKind.ReleaseAllBegin));
        while (todo.TryNext(out var node))
        {
            var data = (KernelObject?)node.Data;
            if (node.Kind is DevresKind.Kmalloc)
            {
                await host.Point(Step.FreeObject, 0, data!.Mask);
                host.Emit(DeviceStack.Node(EventKind.DevresRun, node));
                DeviceStack.Free(host, data);
                continue;
            }

            host.Emit(DeviceStack.Node(EventKind.DevresRun, node));
            await Run(host, device, (DevresFn)node.Fn, data!);
        }

        host.Emit(new KernelEvent(EventKind.ReleaseAllEnd) { Count = todo.Count });
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask Lock<THost>(THost host, PciDevice device, EventKind begin, string? driver)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(begin is EventKind.BindBegin ? Step.BindBegin : Step.UnbindBegin, 0, device.Mask);
        device.IsLocked = true;
        host.Emit(new KernelEvent(begin) { Text = driver });
        if (begin is EventKind.BindBegin && !device.Devres.IsEmpty)
        {
            // Added by a release function while everything was released, or before any driver was there.
            host.Emit(new KernelEvent(EventKind.Warn) { Text = "devres-not-empty", Fn = "really_probe" });
        }
    }

    /// <summary>Runs the function of an action, as whoever took it off the list must.</summary>
    internal static ValueTask Run<THost>(THost host, PciDevice device, DevresFn fn, KernelObject data)
        where THost : struct, IKernelHost<THost> => fn switch
        {
            DevresFn.P2pdmaRelease => P2pdmaProcedures.Release(host, device, (PciP2pdma)data),
            DevresFn.Unpublish => P2pdmaProcedures.Unpublish(host, device),
            DevresFn.MemremapRelease => MemremapProcedures.Release(host, (DevPagemap)data),
            DevresFn.PercpuCleanup => ReapLate(host, ((P2pPagemap)data).OwnRef),
            DevresFn.UnmapMappings => P2pdmaMmap.Revoke(host, device),
            DevresFn.RefExit => ReapLate(host, ((DriverState)data).Ref!),
            DevresFn.ReleaseQueue => RequestQueueProcedures.Cleanup(host, (RequestQueue)data),
            DevresFn.ReleaseDisk => PmemProcedures.ReleaseDisk(host, (PmemDevice)data),
            DevresFn.Unmap => PmemProcedures.Unmap(host, (LinearMapping)data),
            DevresFn.PutOps => DriverActions.PutManagedKey(host),
            DevresFn.ReleaseRegion => DriverActions.ReleaseRegion(host, (MemoryRegion)data),
            DevresFn.NfitTestKill => NfitTestProcedures.Kill(host, (DevPagemap)data),
            DevresFn.KillDax => DaxProcedures.KillDax((DevDax)data),
            _ => ValueTask.CompletedTask,
        };

    /// <summary>The separate cleanup action of patch 5 and of the consumers before patch 6: wait, then exit.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask ReapLate<THost>(THost host, RefObject target)
        where THost : struct, IKernelHost<THost>
    {
        if (target.Container.IsFreed)
        {
            await host.Die(OopsKind.UseAfterFree, target.Container, "the cleanup action waits on a freed completion");
        }

        await host.RefWaitReaped(target);
        await host.RefExit(target);
    }
}
