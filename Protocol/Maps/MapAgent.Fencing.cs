using Fleet.Kernel.History;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Maps;

/// <summary>The fence around a life that a failover ended.</summary>
public sealed partial class MapAgent
{
    /// <summary>Life of the device's binding that is served; 0 for none.</summary>
    public int Life => _life;

    /// <summary>Incarnation of the device that is served; 0 for none yet.</summary>
    public int DeviceGen => _deviceGen;

    /// <summary>Ends the life at once: whoever still names it is refused.</summary>
    /// <remarks>
    /// Recorded also by an incarnation that never knew that life: the one that did may have had no time to. Open the
    /// log first.
    /// </remarks>
    /// <param name="deviceGen">The device's new incarnation; an earlier or equal one changes nothing.</param>
    public At Fence(int deviceGen, At cause)
    {
        if (deviceGen <= _deviceGen)
        {
            return Log.Last;
        }

        (_deviceGen, _life, _map, _tags, _resource, _pins) = (deviceGen, 0, null, null, null, null);
        return Log.Add(EventKind.Fenced, actor: "failover", after: [Device(cause)]);
    }
}
