using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>
/// One percpu_ref with its completion; key <c>host/bdf/bar4</c>, or <c>host/bdf/shared</c> before patch 5.
/// </summary>
/// <remarks>Called by its device and its page maps only; it calls nobody. See <see cref="IResourceLink"/>.</remarks>
[Alias("fleet.IP2pdmaResourceGrain")]
public interface IP2pdmaResourceGrain : IGrainWithStringKey
{
    [Alias("Init")]
    ValueTask<At> Init(int life, At cause);

    [Alias("Kill")]
    ValueTask<At> Kill(int life, At cause);

    [Alias("Confirm")]
    ValueTask<At> Confirm(int life, [Immutable] SlotReport[] folds);

    [Alias("Report")]
    ValueTask<At> Report(int life, SlotReport report);

    [Alias("WaitZero")]
    ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause);

    [Alias("Exit")]
    ValueTask<At> Exit(int life, bool endsCleanup, At cause);
}
