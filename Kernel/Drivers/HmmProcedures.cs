using System.Runtime.CompilerServices;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Drivers;

/// <summary>Where the pages of an HMM device come from.</summary>
public enum HmmSource : byte
{
    /// <summary>hmm_devmem_add: private memory, in any range of addresses that nobody uses.</summary>
    FreeRange,

    /// <summary>hmm_devmem_add_resource: public memory, in the resource that the caller brings.</summary>
    Resource,
}

/// <summary>Device memory of HMM: managed memory that holds the page map and its ref.</summary>
/// <remarks>
/// No kernel could remove it before its device. It is gone since v5.3: later profiles run it by their switches, which
/// no kernel did. Source: struct hmm_devmem; kernel-model B.9, H.2.
/// </remarks>
public sealed class HmmDevmem : DriverState
{
    public const string Name = "hmm";

    /// <param name="source">With <see cref="HmmSource.FreeRange"/> the start is the end of the search.</param>
    /// <param name="pfn">First page frame of the resource, or page frame after the last that the search may
    /// use.</param>
    public HmmDevmem(IomemResources iomem, HmmSource source, ulong pfn, long pageCount)
        : base(Name)
    {
        Source = source;
        SearchEndPfn = pfn;
        var isPublic = source is HmmSource.Resource;
        Counter = new RefObject(this, 0);
        var type = isPublic ? MemoryType.Public : MemoryType.Private;
        Map = new DevPagemap(this, type, PagemapConsumer.Hmm, isPublic ? pfn : 0, pageCount);
        Region = new MemoryRegion(iomem, isPublic ? pfn : 0, pageCount);
    }

    public HmmSource Source { get; }

    /// <summary>Page frame after the last that the search may use.</summary>
    public ulong SearchEndPfn { get; }

    /// <summary>Pages of a section: the search takes whole ones.</summary>
    public ulong SectionPages { get; init; } = 32_768;

    /// <summary>The resource says that it is public device memory; another is refused.</summary>
    public bool HasPublicDescriptor { get; init; } = true;

    public RefObject Counter { get; }

    public DevPagemap Map { get; }

    public MemoryRegion Region { get; }

    public override IEnumerable<KernelObject> Parts => [this, Counter, Map, Region, Region.Iomem];

    internal override RefObject Ref => Counter;

    internal override ValueTask<Errno> Probe<THost>(THost host, PciDevice device) =>
        HmmProcedures.Add(host, device, this);
}

/// <summary>hmm_devmem_add and hmm_devmem_add_resource.</summary>
/// <remarks>Source: mm/hmm.c before and after patch 6; kernel-model B.9, C.6 (D6c, D6d), C.7 (R6).</remarks>
public static class HmmProcedures
{
    /// <summary>Static key, memory, ref, before patch 6 the action that reaps it, range, mapping.</summary>
    /// <returns>
    /// <see cref="Errno.EINVAL"/> for a resource that is not public memory, before anything else (docs/decisions/0052);
    /// <see cref="Errno.ERANGE"/> if the search finds nothing; else the errno of the step that failed.
    /// </returns>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<Errno> Add<THost>(THost host, PciDevice device, HmmDevmem hmm)
        where THost : struct, IKernelHost<THost>
    {
        var searches = hmm.Source is HmmSource.FreeRange;
        if (!searches && !hmm.HasPublicDescriptor)
        {
            return Errno.EINVAL;
        }

        DriverActions.GetManagedKey(host);
        var error = host.Inject(FailPoint.HmmAlloc, device);
        if (error is not Errno.OK)
        {
            return error;
        }

        DeviceStack.PushMemory(host, device, hmm);
        error = await host.RefInit(hmm.Counter, FailPoint.HmmRefInit);
        if (error is not Errno.OK)
        {
            return error;
        }

        var reapsInRelease = host.Profile.Has(KernelSwitch.ConsumersCleanUpInRelease);
        if (!reapsInRelease)
        {
            error = await DriverActions.AddOrReset(host, device, DevresFn.RefExit, hmm, FailPoint.HmmDevresNode);
            if (error is not Errno.OK)
            {
                return error;
            }
        }

        error = searches ? await PickRange(host, device, hmm) : Errno.OK;
        if (error is not Errno.OK)
        {
            return error;
        }

        await host.Point(Step.ObjectAlloc, 0, hmm.Map.EntryMask);
        hmm.Map.Ref = hmm.Counter;
        hmm.Map.HasCleanupCallback = reapsInRelease;
        return await MemremapProcedures.Memremap(host, device, hmm.Map);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> PickRange<THost>(THost host, PciDevice device, HmmDevmem hmm)
        where THost : struct, IKernelHost<THost>
    {
        var error = host.Inject(FailPoint.HmmRangeSearch, hmm);
        if (error is not Errno.OK)
        {
            return error;
        }

        await host.Point(Step.Validate, hmm.Region.Iomem.Mask, 0);
        if (hmm.Region.Iomem.HighestFree(hmm.SearchEndPfn, hmm.Region.PageCount, hmm.SectionPages) is not { } start)
        {
            return Errno.ERANGE;
        }

        hmm.Region.StartPfn = start;
        hmm.Map.MoveTo(start);
        return await DriverActions.RequestRegion(host, device, hmm.Region, FailPoint.HmmRegion);
    }
}
