using Fleet.Kernel.Block;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Drivers;

/// <summary>How a pmem namespace is reached.</summary>
public enum PmemMode : byte
{
    /// <summary>With struct pages, whose references the queue's counter, later a ref of its own, keeps.</summary>
    Fsdax,

    /// <summary>By a plain linear mapping, without struct pages.</summary>
    Raw,
}

/// <summary>A plain mapping of device memory: devm_memremap.</summary>
public sealed class LinearMapping() : KernelObject(KernelObjectKind.DriverState)
{
    public bool IsMapped { get; internal set; }

    /// <summary>It was there in this life and is gone.</summary>
    public bool WasUnmapped { get; internal set; }

    public override void Reset()
    {
        base.Reset();
        IsMapped = false;
        WasUnmapped = false;
    }

    public override void HashInto(ref ulong hash) =>
        StateHash.Mix(ref hash, (IsMapped ? 1UL : 0) | (WasUnmapped ? 2UL : 0));
}

/// <summary>A pmem device: managed memory of its driver, with its disk, its queue and its mapping.</summary>
/// <remarks>Source: struct pmem_device; kernel-model B.9, H.2, C.8 (L515a to L60).</remarks>
public sealed class PmemDevice : DriverState
{
    public const string Name = "nd_pmem";

    /// <param name="isFakeNfit">The range belongs to the nvdimm tests.</param>
    public PmemDevice(
        IomemResources iomem, PmemMode mode, ulong startPfn, long pageCount, bool isFakeNfit = false)
        : base(Name)
    {
        Mode = mode;
        Region = new MemoryRegion(iomem, startPfn, pageCount);
        Map = new DevPagemap(this, MemoryType.FsDax, PagemapConsumer.PmemFsdax, startPfn, pageCount)
        {
            IsFakeNfit = isFakeNfit,
        };
        InternalRef = new RefObject(this, 0);
    }

    public PmemMode Mode { get; }

    public MemoryRegion Region { get; }

    /// <summary>The page map of fsdax; unused in raw mode.</summary>
    public DevPagemap Map { get; }

    /// <summary>The ref inside the page map, from v5.15 on.</summary>
    public RefObject InternalRef { get; }

    /// <summary>The mapping of raw mode; unused in fsdax.</summary>
    public LinearMapping Mapping { get; } = new();

    public DriverMemory Badblocks { get; } = new();

    /// <summary>The queue of the latest attach; each attach allocates one.</summary>
    public RequestQueue Queue { get; private set; } = new();

    /// <summary>The disk is there: it can be opened.</summary>
    public bool HasDisk { get; internal set; }

    public override IEnumerable<KernelObject> Parts =>
        [this, Region, Region.Iomem, Map, InternalRef, Mapping, Badblocks, Queue, Queue.Usage];

    internal override ValueTask<Errno> Probe<THost>(THost host, PciDevice device) =>
        PmemProcedures.Attach(host, device, this);

    /// <summary>Returns memory for a queue in which none lived before.</summary>
    internal RequestQueue NextQueue()
    {
        if (Queue.References > 0 || Queue.IsFreeQueued)
        {
            Queue = Queue.Another();
        }

        return Queue;
    }
}
