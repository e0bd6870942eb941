using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

internal enum MappingPhase : byte { Mapped, TearingDown, Removed }

/// <summary>One chunk of a device's pool and the mapping behind it, as the device's own events tell of them.</summary>
internal sealed class Mapping
{
    public ulong Start { get; init; }

    public ulong SizeBytes { get; init; }

    /// <summary>The ref that the chunk names as its owner; 0 before patch 4.</summary>
    public int Owner { get; init; }

    /// <summary>Position of <c>chunk_add</c>; 0 when only the teardown was seen.</summary>
    public long AddedSeq { get; init; }

    public int Map { get; set; }

    public MappingPhase Phase { get; set; }

    public HistoryEvent? TeardownBegin { get; set; }

    public HistoryEvent? TeardownEnd { get; set; }

    /// <summary>Allocations in the range when the teardown began.</summary>
    public int HeldAtBegin { get; set; }

    /// <summary>Those of them, and later ones, that are live still.</summary>
    public int Held { get; set; }

    /// <summary>Allocations that succeeded while it was torn down; null when none did, as it should be.</summary>
    public List<LiveAllocation>? MadeInTeardown { get; set; }

    public bool Contains(ulong address) => address >= Start && unchecked(address - Start) < SizeBytes;

    public bool Overlaps(ulong start, ulong sizeBytes) => Contains(start) || unchecked(Start - start) < sizeBytes;
}

/// <summary>One node of a device's devres list.</summary>
internal readonly record struct RegisteredNode(
    int Node, string? Kind, string? Fn, int Data, long AddedSeq, bool AddedInPass)
{
    public bool IsAction => Kind is null or "action";
}

/// <summary>Something allocated in the modelled kernel.</summary>
internal readonly record struct ModelledObject(string? Kind, int Life, long FreedSeq);

/// <summary>
/// An allocation that was live when its mapping was gone: reported once that is proven and its life ended unfenced.
/// </summary>
internal sealed class HeldAtRemoval(Action report)
{
    private bool _proven;
    private bool _ended;

    public void Prove()
    {
        _proven = true;
        if (_ended)
        {
            report();
        }
    }

    public void EndLife()
    {
        _ended = true;
        if (_proven)
        {
            report();
        }
    }
}
