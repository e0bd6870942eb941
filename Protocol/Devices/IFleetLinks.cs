using Fleet.Protocol.Maps;
using Fleet.Protocol.Resources;

namespace Fleet.Protocol.Devices;

/// <summary>How a device reaches the objects below it.</summary>
public interface IFleetLinks
{
    IResourceLink Resource(string key);

    IMapLink Map(string key);
}
