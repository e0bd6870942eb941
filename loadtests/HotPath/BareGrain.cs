using Fleet.Grains.Shells;
using Fleet.Kernel;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;
using Orleans.Placement;

namespace Fleet.LoadTests.HotPath;

/// <summary>The floor: the same argument and result records, and nothing behind them.</summary>
/// <remarks>Sent to two grains, as to a device and its page map.</remarks>
[Alias("loadtests.IBareCalls")]
public interface IBareCalls : IGrain
{
    [Alias("Alloc")]
    ValueTask<AllocReply> Alloc([Immutable] AllocRequest request);

    [Alias("Free")]
    ValueTask<FreeReply> Free([Immutable] FreeRequest request);

    [Alias("Access")]
    ValueTask<AccessReply> Access([Immutable] AccessRequest request);
}

/// <summary>Lives where its first caller's messages arrive.</summary>
[Alias("loadtests.IBareGrain")]
public interface IBareGrain : IBareCalls, IGrainWithIntegerKey;

/// <summary>Has the key of a device or page map, and lives where that does.</summary>
[Alias("loadtests.IPlacedBareGrain")]
public interface IPlacedBareGrain : IBareCalls, IGrainWithStringKey;

internal abstract class BareCalls : Grain, IBareCalls
{
    public ValueTask<AllocReply> Alloc(AllocRequest request) => new(new AllocReply(Errno.OK, default, 1, 4096, 0, 0));

    public ValueTask<FreeReply> Free(FreeRequest request) => new(new FreeReply(Errno.OK, default, 0));

    public ValueTask<AccessReply> Access(AccessRequest request) => new(new AccessReply(Errno.OK, default, request.Tag));
}

[Reentrant, PreferLocalPlacement]
internal sealed class BareGrain : BareCalls, IBareGrain;

[Reentrant, PlacedAsDevice]
internal sealed class PlacedBareGrain : BareCalls, IPlacedBareGrain;

[AttributeUsage(AttributeTargets.Class)]
internal sealed class PlacedAsDeviceAttribute() : PlacementAttribute(new ColocatedPlacement());
