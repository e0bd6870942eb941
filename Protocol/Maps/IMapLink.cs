using Fleet.Kernel.Memremap;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Maps;

/// <summary>What a page map is made of in one life.</summary>
/// <param name="Life">Life of its device's binding.</param>
/// <param name="DeviceGen">Incarnation of the device; handles of another one are refused.</param>
/// <param name="ResourceKey">Key of the resource whose ref its pages count on.</param>
/// <param name="StartPfn">First page frame.</param>
/// <param name="PageCount">Usable pages.</param>
/// <param name="Type">What the last put of a page does.</param>
/// <param name="DropsInBulk">Teardown gives every reference back at once, those of pinned pages included.</param>
public sealed record MapLife(
    int Life, int DeviceGen, string ResourceKey, ulong StartPfn, long PageCount,
    MemoryType Type = MemoryType.PciP2pdma, bool DropsInBulk = false);

/// <summary>A page map as its device reaches it: messages, or direct calls in a simulation.</summary>
public interface IMapLink
{
    ValueTask<At> Store(MapLife life, At cause);

    ValueTask<At> AddMemory(int life, At cause);

    /// <param name="slot">State of the ref's slots: <see cref="RefSlotState.Folded"/> for a ref that is dead
    /// already.</param>
    ValueTask<At> InitPages(int life, RefSlotState slot, At cause);

    /// <summary><see cref="Store"/>, <see cref="AddMemory"/> and <see cref="InitPages"/> as one message.</summary>
    ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause);

    /// <summary>Hands the counting of its references over to the resource.</summary>
    ValueTask<SlotReport> Fold(int life);

    /// <summary>Drops the initial count of every page.</summary>
    ValueTask<At> PutInitial(int life, At cause);

    /// <summary>Removes the memory.</summary>
    /// <param name="reference">What is known of the ref's stream by then: the end of the wait, where there was
    /// one.</param>
    ValueTask<At> Remove(int life, At cause, At reference);

    ValueTask<At> Erase(int life, At cause);

    /// <summary>Ends what an earlier incarnation of the device left here; nothing where nothing ever was.</summary>
    ValueTask<At> Fence(int deviceGen, int life, At cause, string actor);

    /// <summary>The newest position, as a sign of which incarnation answers.</summary>
    ValueTask<At> Look();

    /// <summary>Refuses a session from here on.</summary>
    ValueTask<At> Bar(int session, string name);

    /// <summary>Puts every page that a barred session pins.</summary>
    /// <returns>Pins that were given back.</returns>
    ValueTask<long> Reap(int session, string name);
}
