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
    private readonly PciBar[] _bars;
    private readonly PlainMemory? _foreignMemory;
    private readonly DevPagemap? _foreign;
    private readonly RefObject? _foreignRef;
    private readonly PciDevice? _foreignDevice;
    private readonly P2pAllocation?[] _held = new P2pAllocation?[4];

    internal WorldParts(World world, Layout layout)
    {
        _world = world;
        _p2pdma = world.Add(new PciP2pdma());
        _pool = world.Add(new P2pPool());
        _sharedRef = world.Add(new RefObject(_p2pdma, -1));
        var pfns = Layouts.Pfns(layout);
        _bars = [.. pfns.Select((pfn, i) => Layouts.Bar(i, pfn))];
        _pagemaps = [.. _bars.Select((bar, i) => Pagemap(world, i, bar))];
        Order = world.Add(new Gate());
        Plain = world.Add(new PlainMemory());
        PlainRef = world.Add(new RefObject(Plain, -1));
        if (layout is Layout.LN)
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

    private PlainMemory Plain { get; }

    public DevPagemap Map(int resource) => _pagemaps[resource].Map;

    public void Mark(int number) => Marks |= 1U << number;

    public bool HasMark(int number) => (Marks & (1U << number)) != 0;

    public P2pAllocation? Held(int slot) => _held[slot];

    public override PciP2pdma P2pdma() => _p2pdma;

    public override P2pPool Pool() => _pool;

    public override RefObject SharedRef(PciP2pdma container) => _sharedRef;

    public override P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes) => _pagemaps[index];

    /// <summary>Binds the p2p driver with all resources of the layout.</summary>
    public async ValueTask BindP2p(ExploreHost host) => await DriverCore.BindP2p(host, _world.Device, this, _bars);

    public async ValueTask Unbind(ExploreHost host) => await DriverCore.Unbind(host, _world.Device);

    /// <summary>Allocates into a slot; an empty slot means NULL.</summary>
    public async ValueTask Alloc(ExploreHost host, int slot, ulong sizeBytes, bool expectsRoom = false)
    {
        var result = await P2pdmaProcedures.Alloc(host, _world.Device, sizeBytes);
        _world.Judge.AllocReturned(result, sizeBytes, expectsRoom);
        _held[slot] = result.Succeeded ? result.Allocation : null;
    }

    /// <summary>Frees a slot, if it holds something.</summary>
    public async ValueTask Free(ExploreHost host, int slot)
    {
        if (_held[slot] is { } allocation)
        {
            _held[slot] = null;
            await P2pdmaProcedures.Free(host, _world.Device, allocation);
            _world.Judge.FreeCalled(allocation);
        }
    }

    /// <summary>Touches the memory of a slot by CPU.</summary>
    public async ValueTask Access(ExploreHost host, int slot)
    {
        if (_held[slot] is { } allocation && MapOf(allocation.Address) is { } map)
        {
            await MapProcedures.Access(host, map, allocation.Address >> DevPagemap.PageShift);
        }
    }

    /// <summary>Pins the first page of a resource, if its memory is there.</summary>
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
    public async ValueTask PinNewestPage(ExploreHost host)
    {
        for (var i = _pagemaps.Length - 1; i >= 0 && Pins == 0; i--)
        {
            await PinPage(host, i);
        }
    }

    /// <summary>Puts what was pinned.</summary>
    public async ValueTask UnpinPage(ExploreHost host)
    {
        for (var i = 0; i < _pagemaps.Length; i++)
        {
            if ((Pins & (1 << i)) != 0)
            {
                await MapProcedures.PutPage(host, Map(i), Map(i).StartPfn);
                Pins &= ~(1 << i);
                _world.Judge.ClientHolds--;
            }
        }
    }

    internal void Reset()
    {
        Array.Clear(_held);
        Marks = 0;
        Pins = 0;
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

    private DevPagemap? MapOf(ulong address)
    {
        foreach (var one in _pagemaps)
        {
            if (address >= one.Map.StartAddress && address - one.Map.StartAddress < one.Map.SizeBytes)
            {
                return one.Map;
            }
        }

        return null;
    }
}

/// <summary>Memory of the world that nobody frees.</summary>
public sealed class PlainMemory() : KernelObject(KernelObjectKind.Fleet);
