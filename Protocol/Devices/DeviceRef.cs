using Fleet.Kernel;
using Fleet.Kernel.Memremap;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>
/// A percpu_ref as its device knows it: the device's slot, the way to the resource, the maps that count on it.
/// </summary>
internal sealed class DeviceRef(int id, int life, IResourceLink link)
{
    /// <summary>What this device has counted.</summary>
    public RefSlot Slot;

    /// <summary>Page maps whose pages count on it, in the order in which they were added.</summary>
    public Few<DeviceMap> Maps;

    /// <summary>Id of its name.</summary>
    public int Id => id;

    public int Life => life;

    public IResourceLink Link => link;

    /// <summary>The callback of the mode switch, which runs beside whoever killed the ref; null before.</summary>
    public Task? Switch { get; set; }

    /// <summary>The next wait is that of a cleanup callback; the exit after it ends the callback.</summary>
    public bool IsInCleanup { get; set; }

    /// <summary>The newest position of the resource that this device knows.</summary>
    public At Last { get; set; }
}

/// <summary>A page map as its device knows it.</summary>
internal sealed class DeviceMap(int id, DevPagemap map, IMapLink link)
{
    public int Id => id;

    public DevPagemap Map => map;

    public IMapLink Link => link;

    /// <summary>Its pages hold the counts that initialisation gave them.</summary>
    public bool HoldsInitialCounts { get; set; }

    /// <summary>The newest position of the page map that this device knows.</summary>
    public At Last { get; set; }
}
