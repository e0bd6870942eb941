using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Resources;

namespace Fleet.Protocol.Devices;

/// <summary>How a device reaches the objects below it.</summary>
public interface IFleetLinks
{
    IResourceLink Resource(string key);

    IMapLink Map(string key);

    /// <summary>The map of page maps of a machine; null where every resource has sections of its own.</summary>
    IPgmapArrayLink? PgmapArray(string host) => null;

    /// <summary>A part has lost the life: a new incarnation has to begin. Called once for each agent.</summary>
    void PartLost(DeviceAgent agent)
    {
    }
}
