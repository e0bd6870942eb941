using Fleet.Kernel;
using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.LoadTests.HotPath;

/// <summary>The floor: the same argument and result records, and nothing behind them.</summary>
/// <remarks>Sent to two grains, as to a device and its page map.</remarks>
[Alias("loadtests.IBareGrain")]
public interface IBareGrain : IGrainWithIntegerKey
{
    [Alias("Alloc")]
    ValueTask<AllocReply> Alloc([Immutable] AllocRequest request);

    [Alias("Free")]
    ValueTask<FreeReply> Free([Immutable] FreeRequest request);

    [Alias("Access")]
    ValueTask<AccessReply> Access([Immutable] AccessRequest request);
}

[Reentrant]
internal sealed class BareGrain : Grain, IBareGrain
{
    public ValueTask<AllocReply> Alloc(AllocRequest request) => new(new AllocReply(Errno.OK, default, 1, 4096, 0, 0));

    public ValueTask<FreeReply> Free(FreeRequest request) => new(new FreeReply(Errno.OK, default, 0));

    public ValueTask<AccessReply> Access(AccessRequest request) => new(new AccessReply(Errno.OK, default, request.Tag));
}
