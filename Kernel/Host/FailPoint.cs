namespace Fleet.Kernel.Host;

/// <summary>A named step that can be made to fail.</summary>
/// <remarks>Source: kernel-model H.5 and the errno tables of B; the wire name is in <see cref="FailPoints"/>.</remarks>
public enum FailPoint : byte
{
    None,
    SetupP2pdmaAlloc,
    SetupPoolCreate,
    SetupRefInit,
    SetupDevresNode,
    SetupSysfsGroup,
    AddResourcePgmapAlloc,
    AddResourceRefInit,
    AddResourceDevresNode,
    AddResourcePoolAdd,
    MemremapRam,
    MemremapMapStore,
    MemremapPfnRemap,
    MemremapMemoryAdd,
    MemremapDevresNode,
    PageInsert,
    DaxRegion,
    DaxRefInit,
    DaxDevresNode,
    DaxCdevAdd,
    PmemAlloc,
    PmemRegion,
    PmemQueueAlloc,
    PmemSetupFsdax,
    PmemDevresNode,
    PmemMemremap,
    PmemDiskAlloc,
    HmmAlloc,
    HmmRefInit,
    HmmDevresNode,
    HmmRangeSearch,
    HmmRegion,
    TestWrapperDevresNode,
    PmemRefInit,
}

/// <summary>Names of the failure points, as fault plans and <c>inject</c> events spell them.</summary>
public static class FailPoints
{
    private static readonly (FailPoint Point, string Name, Errno Default)[] Table =
    [
        (FailPoint.SetupP2pdmaAlloc, "setup.p2pdma_alloc", Errno.ENOMEM),
        (FailPoint.SetupPoolCreate, "setup.pool_create", Errno.ENOMEM),
        (FailPoint.SetupRefInit, "setup.ref_init", Errno.ENOMEM),
        (FailPoint.SetupDevresNode, "setup.devres_node", Errno.ENOMEM),
        (FailPoint.SetupSysfsGroup, "setup.sysfs_group", Errno.ENOMEM),
        (FailPoint.AddResourcePgmapAlloc, "add_resource.pgmap_alloc", Errno.ENOMEM),
        (FailPoint.AddResourceRefInit, "add_resource.ref_init", Errno.ENOMEM),
        (FailPoint.AddResourceDevresNode, "add_resource.devres_node", Errno.ENOMEM),
        (FailPoint.AddResourcePoolAdd, "add_resource.pool_add", Errno.ENOMEM),
        (FailPoint.MemremapRam, "memremap.ram", Errno.ENXIO),
        (FailPoint.MemremapMapStore, "memremap.map_store", Errno.ENOMEM),
        (FailPoint.MemremapPfnRemap, "memremap.pfn_remap", Errno.EINVAL),
        (FailPoint.MemremapMemoryAdd, "memremap.memory_add", Errno.ENOMEM),
        (FailPoint.MemremapDevresNode, "memremap.devres_node", Errno.ENOMEM),
        (FailPoint.PageInsert, "mmap.page_insert", Errno.ENOMEM),
        (FailPoint.DaxRegion, "dax.region", Errno.EBUSY),
        (FailPoint.DaxRefInit, "dax.ref_init", Errno.ENOMEM),
        (FailPoint.DaxDevresNode, "dax.devres_node", Errno.ENOMEM),
        (FailPoint.DaxCdevAdd, "dax.cdev_add", Errno.ENOMEM),
        (FailPoint.PmemAlloc, "pmem.alloc", Errno.ENOMEM),
        (FailPoint.PmemRegion, "pmem.region", Errno.EBUSY),
        (FailPoint.PmemQueueAlloc, "pmem.queue_alloc", Errno.ENOMEM),
        (FailPoint.PmemSetupFsdax, "pmem.setup_fsdax", Errno.ENOMEM),
        (FailPoint.PmemDevresNode, "pmem.devres_node", Errno.ENOMEM),
        (FailPoint.PmemMemremap, "pmem.memremap", Errno.ENOMEM),
        (FailPoint.PmemDiskAlloc, "pmem.disk_alloc", Errno.ENOMEM),
        (FailPoint.HmmAlloc, "hmm.alloc", Errno.ENOMEM),
        (FailPoint.HmmRefInit, "hmm.ref_init", Errno.ENOMEM),
        (FailPoint.HmmDevresNode, "hmm.devres_node", Errno.ENOMEM),
        (FailPoint.HmmRangeSearch, "hmm.range_search", Errno.ERANGE),
        (FailPoint.HmmRegion, "hmm.region", Errno.ENOMEM),
        (FailPoint.TestWrapperDevresNode, "nfit_test.devres_node", Errno.ENOMEM),
        (FailPoint.PmemRefInit, "pmem.ref_init", Errno.ENOMEM),
    ];

    /// <summary>Every name, in the order of the steps.</summary>
    public static IEnumerable<string> Names => Table.Select(row => row.Name);

    public static string WireName(FailPoint point) => Table[(int)point - 1].Name;

    /// <summary>What the step returns when the plan names no errno.</summary>
    public static Errno DefaultErrno(FailPoint point) => Table[(int)point - 1].Default;

    public static bool TryParse(string name, out FailPoint point)
    {
        point = Table.FirstOrDefault(row => row.Name == name).Point;
        return point is not FailPoint.None;
    }
}
