using Fleet.Protocol.Calls;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>One page map; key <c>host/bdf/bar4</c>, or <c>host/nd:REGION/range0</c>.</summary>
[Alias("fleet.IPgmapGrain")]
public interface IPgmapGrain : IGrainWithStringKey
{
    /// <summary>Reads or writes page tags as a holder does; see <see cref="AccessReply"/> for the errors.</summary>
    [Alias("Access")]
    ValueTask<AccessReply> Access([Immutable] AccessRequest request);

    [Alias("AccessMany")]
    ValueTask<AccessReply[]> AccessMany([Immutable] AccessRequests requests);

    /// <summary>Pins a page, as get_user_pages does; the event of it is durable when it answers.</summary>
    [Alias("Pin")]
    ValueTask<PinReply> Pin([Immutable] PinRequest request);

    /// <summary>Puts a page that was pinned.</summary>
    [Alias("Unpin")]
    ValueTask<UnpinReply> Unpin([Immutable] UnpinRequest request);

    /// <summary>Says what became of an access, pin or unpin whose answer was lost, and is a barrier.</summary>
    [Alias("Resolve")]
    ValueTask<ResolveReply> Resolve([Immutable] ResolveRequest request);

    /// <summary>The steps of its device's procedures; see <see cref="IMapLink"/>.</summary>
    [Alias("Store")]
    ValueTask<At> Store([Immutable] MapLife life, At cause, PartCall call = default);

    [Alias("AddMemory")]
    ValueTask<At> AddMemory(int life, At cause, PartCall call = default);

    [Alias("InitPages")]
    ValueTask<At> InitPages(int life, RefSlotState slot, At cause, PartCall call = default);

    [Alias("SetUp")]
    ValueTask<At> SetUp([Immutable] MapLife life, RefSlotState slot, At cause, PartCall call = default);

    [Alias("Fold")]
    ValueTask<SlotReport> Fold(int life);

    [Alias("PutInitial")]
    ValueTask<At> PutInitial(int life, At cause, PartCall call = default);

    [Alias("Remove")]
    ValueTask<At> Remove(int life, At cause, At reference, PartCall call = default);

    [Alias("Erase")]
    ValueTask<At> Erase(int life, At cause, PartCall call = default);

    /// <summary>Ends what an earlier incarnation of the device left here; see <see cref="IMapLink.Fence"/>.</summary>
    [Alias("Fence")]
    ValueTask<At> Fence(int deviceGen, At cause, string actor, PartCall call = default);

    [Alias("Look")]
    ValueTask<At> Look();

    [Alias("Bar")]
    ValueTask<At> Bar(int session, string name);

    [Alias("Reap")]
    ValueTask<long> Reap(int session, string name);
}
