using Fleet.Kernel.Memremap;

namespace Fleet.Kernel.P2pdma;

/// <summary>Where a binding's objects come from: made anew, or taken from what a world keeps for reuse.</summary>
/// <remarks>The host that runs the procedure prepares what is given: name, set for scheduling, port.</remarks>
public abstract class P2pdmaObjects
{
    public abstract PciP2pdma P2pdma();

    public abstract P2pPool Pool();

    public abstract RefObject SharedRef(PciP2pdma container);

    public abstract P2pPagemap Pagemap(int index, PciBar bar, ulong startAddress, ulong sizeBytes);
}
