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

    /// <summary>Ends what an earlier incarnation of the device left here; nothing where nothing ever was.</summary>
    public async ValueTask<At> Fence(int deviceGen, At cause, string actor)
    {
        if (!Log.IsOpen && (await Log.Context.Incarnations.KnownAsync(Log.Name)).Gen == 0)
        {
            return default;
        }

        await Log.OpenAsync();
        var at = End(deviceGen, cause, actor);
        await Log.CommitAsync();
        return at;
    }

    /// <summary>Addressed to another incarnation, which may have executed it: this one must not do so again.</summary>
    /// <remarks>What was executed is remembered by an incarnation of the page map, not of its device.</remarks>
    private bool IsForAnother(int knownGen) =>
        knownGen != 0 && knownGen != Log.Gen && Log.Context.Incarnations.IsFencing;

    /// <summary>Ends the life at once: whoever still names it is refused.</summary>
    /// <remarks>
    /// Recorded also by an incarnation that never knew that life: the one that did may have had no time to.
    /// </remarks>
    /// <param name="deviceGen">The device's new incarnation; an earlier or equal one changes nothing.</param>
    private At End(int deviceGen, At cause, string actor)
    {
        if (deviceGen <= _deviceGen)
        {
            return Log.Last;
        }

        _reached?.Clear();
        (_deviceGen, _life, _map, _tags, _resource, _pins) = (deviceGen, 0, null, default, null, null);
        return Log.Add(EventKind.Fenced, actor: actor, after: [Device(cause)]);
    }
}
