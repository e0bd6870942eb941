using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;

namespace Fleet.Kernel.P2pdma;

/// <summary>What a device's release functions are, as its devres list numbers them.</summary>
/// <remarks>Source: kernel-model H.2.</remarks>
public enum DevresFn
{
    /// <summary>Memory: a release that does nothing.</summary>
    None,
    P2pdmaRelease,
    MemremapRelease,
    PercpuCleanup,
    Unpublish,
    CdevDel,
    KillDax,
    ReleaseRegion,
    ReleaseQueue,
    PutOps,
    ReleaseDisk,
    Unmap,
    RefExit,
    NfitTestKill,
    UnmapMappings,
}

/// <summary>The names by which release functions stand in events.</summary>
public static class DevresFns
{
    public static string WireName(DevresFn fn) => fn switch
    {
        DevresFn.P2pdmaRelease => "pci_p2pdma_release",
        DevresFn.MemremapRelease => "devm_memremap_pages_release",
        DevresFn.PercpuCleanup => "pci_p2pdma_percpu_cleanup",
        DevresFn.Unpublish => "pci_p2pdma_unpublish",
        DevresFn.CdevDel => "cdev_del",
        DevresFn.KillDax => "kill_dev_dax",
        DevresFn.ReleaseRegion => "devm_region_release",
        DevresFn.ReleaseQueue => "pmem_release_queue",
        DevresFn.PutOps => "dev_pagemap_put_ops",
        DevresFn.ReleaseDisk => "pmem_release_disk",
        DevresFn.Unmap => "devm_memremap_release",
        DevresFn.RefExit => "percpu_ref_exit_action",
        DevresFn.NfitTestKill => "nfit_test_kill",
        DevresFn.UnmapMappings => "pci_p2pdma_unmap_mappings",
        _ => "devm_kzalloc",
    };
}

/// <summary>A BAR that a driver offers: what add_resource is asked for.</summary>
/// <param name="Bar">Number of the BAR.</param>
/// <param name="IsMemory">A memory BAR; an I/O BAR is refused.</param>
/// <param name="StartAddress">CPU address of its first byte.</param>
/// <param name="LengthBytes">Length of the BAR; 0 for one that is not there.</param>
/// <param name="BusOffset">Bus address less CPU address.</param>
public readonly record struct PciBar(int Bar, bool IsMemory, ulong StartAddress, ulong LengthBytes, long BusOffset = 0)
{
    private static readonly string[] Names = ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5"];

    /// <summary>As events name it.</summary>
    internal string Name => Bar >= 0 && Bar < Names.Length ? Names[Bar] : $"bar{Bar}";
}

/// <summary>A device as the driver core knows it: outlives the binding of a driver.</summary>
/// <remarks>
/// Invariant: everything but <see cref="Field"/> and what hangs on it is touched under the device lock only.
/// Source: struct pci_dev; kernel-model A.1, A.4.
/// </remarks>
public sealed class PciDevice() : KernelObject(KernelObjectKind.Device)
{
    /// <summary>The sysfs group "p2pmem".</summary>
    internal SysfsGroup Sysfs;

    /// <summary>Maps of this binding whose memory is there or whose entry is stored.</summary>
    internal Few<P2pPagemap> Resources;

    /// <summary>pdev-&gt;p2pdma: NULL when the device has no peer-to-peer memory.</summary>
    internal PciP2pdma? Field { get; set; }

    internal Devres Devres { get; } = new();

    /// <summary>The driver that is bound, if one is.</summary>
    public string? Driver { get; internal set; }

    /// <summary>Where it sits in the PCI hierarchy; null where nobody asks for distances.</summary>
    public PciNode? Node { get; init; }

    /// <summary>pci_dev_get less pci_dev_put, of those who found it as a provider.</summary>
    public int References { get; internal set; }

    /// <summary>
    /// What the bound driver keeps about the device; null for peer-to-peer memory, which hangs on the field.
    /// </summary>
    public Drivers.DriverState? State { get; internal set; }

    /// <summary>Some actor is inside bind or unbind; one that died there holds it for ever.</summary>
    public bool IsLocked { get; internal set; }

    /// <summary>What the state of a finished unbind is judged by; everything, unless a world knows better.</summary>
    public ulong QuiescenceMask { get; set; } = ulong.MaxValue;

    /// <summary>No sysfs read of the group is running.</summary>
    public bool IsSysfsIdle => Sysfs.Readers == 0;

    /// <summary>Some driver is bound and not being unbound.</summary>
    public bool IsBound => Driver is not null;

    public override void Reset()
    {
        base.Reset();
        Field = null;
        Driver = null;
        IsLocked = false;
        Devres.Reset();
        Sysfs = default;
        State = null;
        References = 0;
        Resources.Clear();
    }

    /// <summary>Adds what an alloc or a free reaches, in its order, except what the refs hang on.</summary>
    internal void AddTo(ReachedObjects reached)
    {
        reached.Add(this);
        reached.Add(Field);
        reached.Add(Field?.Pool);
        reached.Add(Field?.Pool?.Pool);
        for (var chunk = Field?.Pool?.Pool?.Newest; chunk is not null; chunk = chunk.Next)
        {
            reached.Add(chunk);
            chunk.Bitmap.AddTo(reached);
        }
    }

    public override void HashInto(ref ulong hash)
    {
        StateHash.Mix(ref hash, (Field is null ? 0UL : 1) | (IsLocked ? 2UL : 0) | (Driver is null ? 0UL : 4));
        Sysfs.HashInto(ref hash);
    }
}

/// <summary>The attribute group of a device: who is reading, and whether anyone new may.</summary>
/// <remarks>A part of its device, not to be copied. Source: kernfs active references; kernel-model I (7).</remarks>
internal struct SysfsGroup
{
    internal Few<P2pMapping> Mappings;

    internal bool Exists { get; set; }

    internal int Readers { get; set; }

    /// <summary>The file p2pmem/allocate, which can be mapped; it goes before the group does.</summary>
    internal bool AllocateExists { get; set; }

    /// <remarks>Whether a page is mapped shows in its count, which belongs to the pages.</remarks>
    internal readonly void HashInto(ref ulong hash) => StateHash.Mix(
        ref hash,
        (Exists ? 1UL : 0) | (AllocateExists ? 2UL : 0) | ((ulong)Readers << 2) | ((ulong)Mappings.Count << 32));
}

/// <summary>The allocator of a device, as an object that can be destroyed under its users.</summary>
public sealed class P2pPool() : KernelObject(KernelObjectKind.Pool)
{
    internal GenPool Pool { get; private set; } = null!;

    /// <summary>Allocations and frees between their first and last access.</summary>
    internal int InFlight { get; set; }

    /// <summary>Allocations that were made and not freed.</summary>
    internal int Live { get; set; }

    internal void Create(GenPoolArithmetic arithmetic)
    {
        if (Pool is null)
        {
            Pool = new GenPool(DevPagemap.PageBytes, arithmetic);
        }
        else
        {
            Pool.Reset();
        }

        IsFreed = false;
        InFlight = 0;
        Live = 0;
    }

    /// <remarks>Who is inside commutes with who else is, so it is no part of what steps declare.</remarks>
    public override void HashPart(int part, ref ulong hash)
    {
        base.HashInto(ref hash);
        Pool?.HashInto(ref hash);
    }

    public override void Reset()
    {
        base.Reset();
        Pool?.Reset();
        InFlight = 0;
        Live = 0;
    }

    public override void HashInto(ref ulong hash)
    {
        HashPart(0, ref hash);
        StateHash.Mix(ref hash, (long)((InFlight << 16) | Live));
    }
}

/// <summary>struct pci_p2pdma: one for each bound device; devm memory.</summary>
/// <remarks>Source: drivers/pci/p2pdma.c; kernel-model A.1, B.8.</remarks>
public sealed class PciP2pdma() : KernelObject(KernelObjectKind.P2pdma)
{
    /// <summary>UnpublishFirst: owners whose memory goes with this object, after the pool.</summary>
    internal Few<P2pPagemap> Owners;

    internal P2pPool? Pool { get; set; }

    internal bool IsPublished { get; set; }

    /// <summary>Before patch 5 the one ref of all resources lies here.</summary>
    internal RefObject? SharedRef { get; set; }

    public override void Reset()
    {
        base.Reset();
        Pool = null;
        IsPublished = false;
        SharedRef = null;
        Owners.Clear();
    }
}

/// <summary>The object of one add_resource call: the page map and, from patch 5 on, its ref and completion.</summary>
public sealed class P2pPagemap : KernelObject
{
    public P2pPagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes)
        : base(KernelObjectKind.Pgmap)
    {
        Index = index;
        Bar = bar;
        Map = new DevPagemap(
            this, MemoryType.PciP2pdma, PagemapConsumer.P2pdma, startAddress >> DevPagemap.PageShift,
            (long)(sizeBytes >> DevPagemap.PageShift));
        OwnRef = new RefObject(this, index);
    }

    /// <summary>Position in the driver's list of resources, from 0.</summary>
    public int Index { get; }

    public PciBar Bar { get; }

    public DevPagemap Map { get; }

    /// <summary>The ref in this object's memory; unused before patch 5.</summary>
    public RefObject OwnRef { get; }

    public override void Reset()
    {
        base.Reset();
        Map.Reset();
        OwnRef.Reset();
    }

    internal bool Contains(ulong address) =>
        address >= Map.StartAddress && address - Map.StartAddress < Map.SizeBytes;
}

/// <summary>What a successful allocation holds; its holder gives it back to free.</summary>
/// <param name="Address">First byte.</param>
/// <param name="SizeBytes">As asked; the pool rounds up to pages.</param>
/// <param name="Owner">The chunk's owner, null before patch 5.</param>
/// <param name="Pool">The pool it came from, by which UnpublishFirst frees.</param>
public readonly record struct P2pAllocation(ulong Address, ulong SizeBytes, RefObject? Owner, P2pPool? Pool);

/// <summary>Answer of alloc.</summary>
/// <param name="Allocation">Set on success.</param>
/// <param name="Err"><see cref="Errno.ENODEV"/>: no peer-to-peer memory, or it is being torn down;
/// <see cref="Errno.ENOMEM"/>: no chunk has room.</param>
/// <param name="ChosenOwner">Owner of the chunk that was chosen, also when the allocation was then refused.</param>
public readonly record struct P2pAllocResult(P2pAllocation Allocation, Errno Err, RefObject? ChosenOwner)
{
    public bool Succeeded => Err is Errno.OK;
}
