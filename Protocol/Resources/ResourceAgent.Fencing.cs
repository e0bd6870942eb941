using Fleet.Kernel.History;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Resources;

/// <summary>The fence around a life that a failover ended.</summary>
public sealed partial class ResourceAgent
{
    private int _fencedBelow;

    /// <summary>Life of the device's binding that is served; 0 for none.</summary>
    public int Life { get; private set; }

    /// <summary>Ends what an earlier incarnation of the device left here; nothing where nothing ever was.</summary>
    public async ValueTask<At> Fence(int life, At cause, string actor)
    {
        if (!Log.IsOpen && (await Log.Context.Incarnations.KnownAsync(Log.Name)).Gen == 0)
        {
            return default;
        }

        await Log.OpenAsync();
        var at = End(life, cause, actor);
        await Log.CommitAsync();
        return at;
    }

    /// <summary>Ends the life at once: nothing of it is counted any more, and no wait of it ends.</summary>
    /// <remarks>
    /// Recorded also by an incarnation that never knew that life: the one that did may have had no time to.
    /// </remarks>
    /// <param name="life">Lives below this one are over.</param>
    private At End(int life, At cause, string actor)
    {
        if (life <= _fencedBelow)
        {
            return Log.Last;
        }

        // A message of the fenced life must not fit: the next one is larger than any before it.
        (_fencedBelow, Life) = (life, Life < life ? 0 : Life);
        return Log.Add(EventKind.Fenced, actor: actor, after: [Device(cause)]);
    }
}
