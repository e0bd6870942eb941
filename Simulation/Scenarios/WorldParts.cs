using System.Runtime.CompilerServices;
using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Scenarios;

/// <summary>The objects that a scenario's steps name, and the steps themselves.</summary>
/// <remarks>Everything a binding allocates is made once and handed out again in every schedule.</remarks>
public sealed class WorldParts : P2pdmaObjects
{
    private readonly World _world;
    private readonly PciP2pdma _p2pdma;
    private readonly P2pPool _pool;
    private readonly RefObject _sharedRef;
    private readonly P2pPagemap[] _pagemaps;
    private readonly P2pPagemap[] _inUse;
    private readonly bool[] _used;
    private readonly bool _reusesFreed;
    private readonly PciBar[] _bars;
    private readonly PlainMemory? _foreignMemory;
    private readonly DevPagemap? _foreign;
    private readonly RefObject? _foreignRef;
    private readonly PciDevice? _foreignDevice;
    private readonly DriverState? _driver;
    private readonly P2pAllocation?[] _held = new P2pAllocation?[WorldScript.SlotsMax];

    internal WorldParts(World world, Scenario scenario)
    {
        _world = world;
        _p2pdma = world.Add(new PciP2pdma());
        _pool = world.Add(new P2pPool());
        _sharedRef = world.Add(new RefObject(_p2pdma, -1));
        var pfns = Layouts.Pfns(scenario);
        _bars = [.. pfns.Select((pfn, i) => Layouts.Bar(scenario, i, pfn))];

        // A binding after another gets memory of its own, unless freed memory is reused.
        _pagemaps =
        [
            .. Enumerable.Repeat(_bars, Math.Max(1, scenario.Script?.Binds ?? 1))
                .SelectMany(bars => bars.Select((bar, i) => Pagemap(world, i, bar))),
        ];
        _inUse = _pagemaps[.._bars.Length];
        _used = new bool[_pagemaps.Length];
        _reusesFreed = scenario.FreedMemoryIsReused;
        foreach (var one in _pagemaps)
        {
            one.Map.IdleCount = scenario.IdleCount;
        }

        _driver = Driver(scenario.Driver, pfns[0]);
        foreach (var part in _driver?.Parts ?? [])
        {
            world.Add(part);
        }

        Order = world.Add(new Gate());
        Plain = world.Add(new PlainMemory());
        PlainRef = world.Add(new RefObject(Plain, -1));
        if (scenario.Layout is Layout.LN)
        {
            _foreignMemory = world.Add(new PlainMemory());
            _foreignRef = world.Add(new RefObject(_foreignMemory, -1));
            _foreign = world.Add(new DevPagemap(
                _foreignMemory, MemoryType.DevDax, PagemapConsumer.Foreign, Layouts.FirstPfn, 1));
            _foreignDevice = new PciDevice();
        }
    }

    /// <summary>Opened by one actor, passed by another.</summary>
    public Gate Order { get; }

    /// <summary>A ref in memory of the world that nobody frees.</summary>
    public RefObject PlainRef { get; }

    /// <summary>Marks that steps set for the sightings, as bits.</summary>
    public uint Marks { get; private set; }

    /// <summary>Pages that an actor pinned, by resource.</summary>
    public int Pins { get; private set; }

    /// <summary>Writes down what clients do; null while nobody does.</summary>
    internal Replay.ScheduleHistory? Clients { get; set; }

    private PlainMemory Plain { get; }

    /// <summary>The mapping of the mmap that succeeded last.</summary>
    public P2pMapping? Mapping { get; private set; }

    /// <summary>The page map that the last lookup found.</summary>
    public DevPagemap? Found { get; private set; }

    /// <summary>The queue of a pmem world.</summary>
    public RequestQueue Queue => ((PmemDevice)_driver!).Queue;

    public DevPagemap Map(int resource) => _driver switch
    {
        DevDax dax => dax.Map,
        PmemDevice pmem => pmem.Map,
        HmmDevmem hmm => hmm.Map,
        _ => _inUse[resource].Map,
    };

    public void Mark(int number) => Marks |= 1U << number;

    public bool HasMark(int number) => (Marks & (1U << number)) != 0;

    public P2pAllocation? Held(int slot) => _held[slot];

    public override PciP2pdma P2pdma() => _p2pdma;

    public override P2pPool Pool() => _pool;

    public override RefObject SharedRef(PciP2pdma container) => _sharedRef;

    public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes)
    {
        var freed = Array.FindIndex(_pagemaps, one => one.IsFreed && one.Map.StartAddress == startAddress);
        var chosen = _reusesFreed && freed >= 0 ? freed : Unused(index);
        var given = _pagemaps[chosen];
        if (given.IsFreed && !given.Map.IsStored && !given.Map.IsPresent)
        {
            // Memory of zeroes; what a binding has left mapped stays known by it.
            given.Map.Reset();
        }

        _used[chosen] = true;
        _inUse[index] = given;
        return given;
    }

    /// <summary>Binds the world's driver, the p2p driver with all resources of the layout.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Bind(ExploreHost host)
    {
        if (_driver is null)
        {
            await DriverCore.BindP2p(host, _world.Device, this, _bars);
        }
        else
        {
            await DriverCore.Bind(host, _world.Device, _driver);
        }
    }

    public ValueTask Unbind(ExploreHost host) => DriverCore.Unbind(host, _world.Device);

    /// <summary>Allocates into a slot; an empty slot means NULL.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Alloc(ExploreHost host, int slot, ulong sizeBytes, bool expectsRoom = false)
    {
        Clients?.AllocBegins(sizeBytes);
        var result = await P2pdmaProcedures.Alloc(host, _world.Device, sizeBytes);
        _world.Judge.AllocReturned(result, sizeBytes, expectsRoom);
        _held[slot] = result.Succeeded ? result.Allocation : null;
        Clients?.Allocated(result, sizeBytes);
    }

    /// <summary>Frees a slot, if it holds something.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Free(ExploreHost host, int slot)
    {
        if (_held[slot] is { } allocation)
        {
            _held[slot] = null;
            await P2pdmaProcedures.Free(host, _world.Device, allocation);
            _world.Judge.FreeReturned(allocation);
            Clients?.Freed(allocation);
        }
    }

    /// <summary>Touches the memory of a slot by CPU.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Access(ExploreHost host, int slot)
    {
        if (_held[slot] is { } allocation && MapOf(allocation.Address) is { } map)
        {
            // Told before the step: an access to removed memory has no step after it.
            await host.Point(Step.Access, map.Mask, 0);
            Clients?.Accessed(allocation, map, map.IsPresent ? Kernel.Errno.OK : Kernel.Errno.EFAULT);
            await MapProcedures.AccessNow(host, map, allocation.Address >> DevPagemap.PageShift);
        }
    }

    /// <summary>Pins the first page of a resource, if its memory is there.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask PinPage(ExploreHost host, int resource)
    {
        var map = Map(resource);
        if (map.IsPresent)
        {
            await MapProcedures.GetPage(host, map, map.StartPfn);
            _world.Judge.ClientHolds++;
            Pins |= 1 << resource;
        }
    }

    /// <summary>Pins the first page of the newest resource whose memory is there.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask PinNewestPage(ExploreHost host)
    {
        for (var i = _bars.Length - 1; i >= 0 && Pins == 0; i--)
        {
            await PinPage(host, i);
        }
    }

    /// <summary>Puts what was pinned.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask UnpinPage(ExploreHost host)
    {
        for (var i = 0; i < _bars.Length; i++)
        {
            if ((Pins & (1 << i)) != 0)
            {
                await MapProcedures.PutPage(host, Map(i), Map(i).StartPfn);
                Pins &= ~(1 << i);
                _world.Judge.ClientHolds--;
            }
        }
    }

    /// <summary>Reads the attribute <c>available</c> once.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Show(ExploreHost host) =>
        await P2pdmaSysfs.Show(host, _world.Device, P2pAttribute.Available);

    /// <summary>get_dev_pagemap of the first page.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Lookup(ExploreHost host)
    {
        Found = await LookupProcedures.GetDevPagemap(host, Layouts.FirstPfn);
        _world.Judge.ClientHolds += Found is null ? 0 : 1;
    }

    /// <summary>put_dev_pagemap of what the lookup found.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask PutFound(ExploreHost host)
    {
        if (Found is { } found)
        {
            await LookupProcedures.PutDevPagemap(host, found);
            Found = null;
            _world.Judge.ClientHolds--;
        }
    }

    /// <summary>Opens the disk and enters one request.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask OpenAndEnter(ExploreHost host)
    {
        await RequestQueueProcedures.Open(host, Queue);
        await RequestQueueProcedures.IoEnter(host, Queue);
        _world.Judge.ClientHolds++;
    }

    /// <summary>The request touches its page, leaves, and the disk is closed.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask AccessExitAndClose(ExploreHost host)
    {
        await PmemProcedures.IoAccess(host, (PmemDevice)_driver!, Layouts.FirstPfn);
        await RequestQueueProcedures.IoExit(host, Queue);
        _world.Judge.ClientHolds--;
        await RequestQueueProcedures.Close(host, Queue);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Mmap(ExploreHost host)
    {
        var result = await P2pdmaMmap.Mmap(host, _world.Device, DevPagemap.PageBytes);
        Mapping = result.Mapping;
        _world.Judge.ClientHolds += Mapping is null ? 0 : 1;
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask AccessMapping(ExploreHost host)
    {
        if (Mapping is { } mapping)
        {
            await P2pdmaMmap.Access(host, mapping, 0);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Munmap(ExploreHost host)
    {
        if (Mapping is { } mapping)
        {
            await P2pdmaMmap.Munmap(host, _world.Device, mapping);
            Mapping = null;
            _world.Judge.ClientHolds--;
        }
    }

    internal void Reset()
    {
        Mapping = null;
        Found = null;
        Array.Clear(_held);
        Marks = 0;
        Pins = 0;
        Array.Clear(_used);
        Array.Copy(_pagemaps, _inUse, _inUse.Length);
    }

    /// <summary>Makes what exists before the history and is no part of it.</summary>
    internal void BeginLayout(ExploreHost host)
    {
        if (_foreign is null)
        {
            return;
        }

        _foreignDevice!.Reset();
        Run(RefProcedures.Init(host, _foreignRef!, FailPoint.None).AsTask());
        _foreign.Ref = _foreignRef;
        _foreign.HasCleanupCallback = true;
        Run(MemremapProcedures.Memremap(host, _foreignDevice, _foreign).AsTask());
    }

    private static DriverState? Driver(WorldDriver driver, ulong pfn)
    {
        var iomem = new IomemResources();
        return driver switch
        {
            WorldDriver.DeviceDax => new DevDax(iomem, pfn, 1),
            WorldDriver.PmemFsdax => new PmemDevice(iomem, PmemMode.Fsdax, pfn, 1),
            WorldDriver.PmemRaw => new PmemDevice(iomem, PmemMode.Raw, pfn, 1),

            // There is no page frame below 0, so the downward search finds nothing.
            WorldDriver.HmmAdd =>
                new HmmDevmem(iomem, HmmSource.FreeRange, 0, 1) { SectionPages = Layouts.SectionPages },
            WorldDriver.HmmAddResource => new HmmDevmem(iomem, HmmSource.Resource, pfn, 1)
            {
                SectionPages = Layouts.SectionPages,
            },
            _ => null,
        };
    }

    private static void Run(Task done)
    {
        if (!done.IsCompletedSuccessfully)
        {
            throw new ExplorationException("The layout of a world cannot be made.");
        }
    }

    private static P2pPagemap Pagemap(World world, int index, PciBar bar)
    {
        var made = new P2pPagemap(index, bar, bar.StartAddress, bar.LengthBytes);
        world.Add(made.Map);
        world.Add(made.OwnRef);
        return world.Add(made);
    }

    /// <summary>An object of this resource that nobody was given yet; the first where there is none.</summary>
    private int Unused(int index)
    {
        for (var i = index; i < _pagemaps.Length; i += _bars.Length)
        {
            if (!_used[i])
            {
                return i;
            }
        }

        return index;
    }

    /// <summary>The page map that an address leads to: the one whose memory is there, whoever made it.</summary>
    private DevPagemap? MapOf(ulong address)
    {
        DevPagemap? gone = null;
        foreach (var one in _pagemaps)
        {
            if (address >= one.Map.StartAddress && address - one.Map.StartAddress < one.Map.SizeBytes)
            {
                if (one.Map.IsPresent)
                {
                    return one.Map;
                }

                gone ??= one.Map;
            }
        }

        return gone;
    }
}

/// <summary>Memory of the world that nobody frees.</summary>
public sealed class PlainMemory() : KernelObject(KernelObjectKind.Fleet);
