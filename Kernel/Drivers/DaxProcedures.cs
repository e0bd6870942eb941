using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Drivers;

/// <summary>A device-dax instance: its ref and its page map lie in it, and it outlives the binding.</summary>
/// <remarks>Source: struct dev_dax; kernel-model A.1, B.9, scenarios.md S12.</remarks>
public sealed class DevDax : DriverState
{
    public const string Name = "device_dax";

    /// <param name="isFakeNfit">The range belongs to the nvdimm tests.</param>
    public DevDax(IomemResources iomem, ulong startPfn, long pageCount, bool isFakeNfit = false)
        : base(Name)
    {
        Counter = new RefObject(this, 0);
        Map = new DevPagemap(this, MemoryType.DevDax, PagemapConsumer.DeviceDax, startPfn, pageCount)
        {
            IsFakeNfit = isFakeNfit,
        };
        Region = new MemoryRegion(iomem, startPfn, pageCount);
    }

    public RefObject Counter { get; }

    public DevPagemap Map { get; }

    public MemoryRegion Region { get; }

    /// <summary>User mappings may be faulted in.</summary>
    public bool IsAlive { get; internal set; }

    public override IEnumerable<KernelObject> Parts => [this, Counter, Map, Region, Region.Iomem];

    internal override RefObject Ref => Counter;

    internal override ValueTask<Errno> Probe<THost>(THost host, PciDevice device) =>
        DaxProcedures.Probe(host, device, this);
}

/// <summary>dev_dax_probe and what its actions undo.</summary>
/// <remarks>Source: drivers/dax/device.c before and after patch 6; kernel-model B.9, C.6 (D6b), H.2.</remarks>
public static class DaxProcedures
{
    /// <summary>Region, ref, before patch 6 the action that reaps it, mapping, character device, kill action.</summary>
    /// <returns>The errno of the step that failed; before patch 6 the ref was then exited whatever its state.</returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Probe<THost>(THost host, PciDevice device, DevDax dax)
        where THost : struct, IKernelHost<THost>
    {
        var error = await DriverActions.RequestRegion(host, device, dax.Region, FailPoint.DaxRegion);
        if (error is not Errno.OK)
        {
            return error;
        }

        error = await host.RefInit(dax.Counter, FailPoint.DaxRefInit);
        if (error is not Errno.OK)
        {
            return error;
        }

        var reapsInRelease = host.Profile.Has(KernelSwitch.ConsumersCleanUpInRelease);
        if (!reapsInRelease)
        {
            error = await DriverActions.AddOrReset(host, device, DevresFn.RefExit, dax, FailPoint.DaxDevresNode);
            if (error is not Errno.OK)
            {
                return error;
            }
        }

        await host.Point(Step.ObjectAlloc, 0, dax.Map.EntryMask);
        dax.Map.Ref = dax.Counter;
        dax.Map.HasCleanupCallback = reapsInRelease;
        error = await NfitTestProcedures.Memremap(host, device, dax.Map);
        if (error is not Errno.OK)
        {
            if (!reapsInRelease)
            {
                DeviceStack.Take(host, device, DevresFn.RefExit, dax, EventKind.DevresRemove);
                await host.RefExit(dax.Counter);
            }

            return error;
        }

        error = host.Inject(FailPoint.DaxCdevAdd, dax);
        if (error is not Errno.OK)
        {
            return error;
        }

        error = await DriverActions.AddOrReset(host, device, DevresFn.CdevDel, dax, FailPoint.DaxDevresNode);
        if (error is not Errno.OK)
        {
            return error;
        }

        dax.IsAlive = true;
        return await DriverActions.AddOrReset(host, device, DevresFn.KillDax, dax, FailPoint.DaxDevresNode);
    }

    /// <summary>kill_dev_dax: no fault maps a page of it any more. Pages that are pinned stay pinned.</summary>
    internal static ValueTask KillDax(DevDax dax)
    {
        dax.IsAlive = false;
        return ValueTask.CompletedTask;
    }
}
