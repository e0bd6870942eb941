using Fleet.Protocol.Calls;
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
    ValueTask<At> Init(int life, At cause, PartCall call = default);

    [Alias("Kill")]
    ValueTask<At> Kill(int life, At cause, PartCall call = default);

    [Alias("Confirm")]
    ValueTask<At> Confirm(int life, [Immutable] SlotReport[] folds, PartCall call = default);

    [Alias("Report")]
    ValueTask<At> Report(int life, SlotReport report);

    [Alias("WaitZero")]
    ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause, PartCall call = default);

    [Alias("Exit")]
    ValueTask<At> Exit(int life, bool endsCleanup, At cause, PartCall call = default);

    /// <summary>Ends what an earlier incarnation of the device left here; see
    /// <see cref="IResourceLink.Fence"/>.</summary>
    [Alias("Fence")]
    ValueTask<At> Fence(int life, At cause, string actor, PartCall call = default);

    [Alias("Look")]
    ValueTask<At> Look();
}
