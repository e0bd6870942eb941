using Fleet.Kernel;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Wire;

namespace Fleet.Grains.Shells;

/// <summary>A hot operation of a client at one agent: what differs between alloc, free and access.</summary>
/// <remarks>Implemented by structs, so that the one way through <see cref="OnceCalls"/> is compiled for each.</remarks>
internal interface IHotCall<TRequest, TReply>
{
    ValueTask<TReply> Execute(in TRequest request);

    static abstract ClientOperation Of(in TRequest request);

    static abstract FrontReply Kept(in TReply reply);

    static abstract TReply Told(in FrontReply kept);
}

/// <summary>Which operation of which client a request is.</summary>
/// <param name="Client">0 for one that does not name itself: it is executed as often as it arrives.</param>
internal readonly record struct ClientOperation(int Session, int Client, long Number);

internal readonly struct AllocCall(DeviceAgent agent) : IHotCall<AllocRequest, AllocReply>
{
    public static readonly AllocReply Gone = new(Errno.ENODEV, default, 0, 0, -1, -1);

    public ValueTask<AllocReply> Execute(in AllocRequest request) => agent.Alloc(request);

    public static ClientOperation Of(in AllocRequest request) => new(request.Session, request.Client, request.Op);

    public static FrontReply Kept(in AllocReply reply) => FrontReply.Of(reply);

    public static AllocReply Told(in FrontReply kept) => kept.ToAlloc();
}

internal readonly struct FreeCall(DeviceAgent agent) : IHotCall<FreeRequest, FreeReply>
{
    public static readonly FreeReply Gone = new(Errno.ENODEV, default, -1);

    public ValueTask<FreeReply> Execute(in FreeRequest request) => agent.Free(request);

    public static ClientOperation Of(in FreeRequest request) => new(request.Session, request.Client, request.Op);

    public static FrontReply Kept(in FreeReply reply) => FrontReply.Of(reply);

    public static FreeReply Told(in FrontReply kept) => kept.ToFree();
}

/// <summary>An access within a request, which the device itself executes.</summary>
internal readonly struct RequestAccessCall(DeviceAgent agent) : IHotCall<AccessRequest, AccessReply>
{
    public ValueTask<AccessReply> Execute(in AccessRequest request) => agent.Access(request);

    public static ClientOperation Of(in AccessRequest request) => AccessCall.Of(request);

    public static FrontReply Kept(in AccessReply reply) => AccessCall.Kept(reply);

    public static AccessReply Told(in FrontReply kept) => AccessCall.Told(kept);
}

internal readonly struct AccessCall(MapAgent agent) : IHotCall<AccessRequest, AccessReply>
{
    public static readonly AccessReply Gone = new(Errno.ENODEV, default, 0);

    public ValueTask<AccessReply> Execute(in AccessRequest request) => new(agent.Access(request));

    public static ClientOperation Of(in AccessRequest request) => new(request.Session, request.Client, request.Op);

    public static FrontReply Kept(in AccessReply reply) => FrontReply.Of(reply);

    public static AccessReply Told(in FrontReply kept) => kept.ToAccess();
}

internal readonly struct PinCall(MapAgent agent) : IHotCall<PinRequest, PinReply>
{
    public static readonly PinReply Gone = new(Errno.ENODEV, default, 0, 0, 0);

    public ValueTask<PinReply> Execute(in PinRequest request) => new(agent.Get(request));

    public static ClientOperation Of(in PinRequest request) => new(request.Session, request.Client, request.Op);

    public static FrontReply Kept(in PinReply reply) => FrontReply.Of(reply);

    public static PinReply Told(in FrontReply kept) => kept.ToPin();
}

internal readonly struct UnpinCall(MapAgent agent) : IHotCall<UnpinRequest, UnpinReply>
{
    public static readonly UnpinReply Gone = new(Errno.ENODEV, default);

    public ValueTask<UnpinReply> Execute(in UnpinRequest request) => agent.Put(request);

    public static ClientOperation Of(in UnpinRequest request) => new(request.Session, request.Client, request.Op);

    public static FrontReply Kept(in UnpinReply reply) => FrontReply.Of(reply);

    public static UnpinReply Told(in FrontReply kept) => kept.ToUnpin();
}
