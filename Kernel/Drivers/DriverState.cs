using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;

namespace Fleet.Kernel.Drivers;

/// <summary>What a driver keeps about a device that it is bound to, and how it is probed.</summary>
/// <remarks>
/// Where the kernel allocates this with the device's managed memory, unbind marks it freed and a later bind takes the
/// same object again. Source: kernel-model B.9, H.2.
/// </remarks>
public abstract class DriverState(string driver) : KernelObject(KernelObjectKind.DriverState)
{
    /// <summary>Name of the driver, as bind and unbind events carry it.</summary>
    public string Driver { get; } = driver;

    /// <summary>Everything in it that a scheduler has to tell apart, itself included.</summary>
    public abstract IEnumerable<KernelObject> Parts { get; }

    /// <summary>The ref that an older action waits for and exits, where the driver has one of its own.</summary>
    internal virtual RefObject? Ref => null;

    /// <summary>Probes the device, under its lock; what it registered stays registered when it fails.</summary>
    internal abstract ValueTask<Errno> Probe<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>;
}

/// <summary>A piece of managed memory that no step looks into.</summary>
public sealed class DriverMemory() : KernelObject(KernelObjectKind.DriverState);

/// <summary>The machine's tree of memory resources: which page frames some driver has asked for.</summary>
/// <remarks>Concurrency: one turn. Source: kernel/resource.c; kernel-model B.9 (region, range search).</remarks>
public sealed class IomemResources() : KernelObject(KernelObjectKind.Fleet)
{
    private readonly List<(ulong StartPfn, ulong EndPfn)> _busy = [];

    /// <summary>Whether nothing of the range is in use.</summary>
    public bool IsFree(ulong startPfn, long pageCount)
    {
        var end = startPfn + (ulong)pageCount;
        return !_busy.Exists(range => startPfn < range.EndPfn && range.StartPfn < end);
    }

    /// <summary>Puts a range to use that no modelled driver owns: System RAM, or another device.</summary>
    public void Occupy(ulong startPfn, long pageCount) => _busy.Add((startPfn, startPfn + (ulong)pageCount));

    /// <summary>Finds the highest free range of whole sections, searching downward.</summary>
    /// <param name="endPfn">Page frame after the last that may be used.</param>
    /// <param name="pageCount">Pages; rounded up to sections.</param>
    internal ulong? HighestFree(ulong endPfn, long pageCount, ulong sectionPages)
    {
        var pages = ((ulong)pageCount + sectionPages - 1) / sectionPages * sectionPages;
        for (var start = endPfn / sectionPages * sectionPages; start >= pages;)
        {
            start -= pages;
            if (IsFree(start, (long)pages))
            {
                return start;
            }
        }

        return null;
    }

    internal void Release(ulong startPfn, long pageCount) => _busy.Remove((startPfn, startPfn + (ulong)pageCount));

    public override void Reset()
    {
        base.Reset();
        _busy.Clear();
    }

    public override void HashInto(ref ulong hash)
    {
        foreach (var (start, end) in _busy)
        {
            StateHash.Mix(ref hash, start);
            StateHash.Mix(ref hash, end);
        }
    }
}

/// <summary>The range that a driver requests before it maps it.</summary>
public sealed class MemoryRegion(IomemResources iomem, ulong startPfn, long pageCount)
    : KernelObject(KernelObjectKind.DriverState)
{
    public IomemResources Iomem { get; } = iomem;

    public ulong StartPfn { get; internal set; } = startPfn;

    public long PageCount { get; } = pageCount;
}
