using Fleet.Kernel.History;

namespace Fleet.Kernel.Host;

/// <summary>
/// What a step tells whoever listens; the host gives it a position and a clock, or judges it on the spot.
/// </summary>
/// <param name="Kind">Kind of section E.</param>
/// <param name="Subject">The object whose stream it belongs to; null for the device that runs the procedure.</param>
/// <param name="Other">The other object it is about, if any.</param>
public readonly record struct KernelEvent(EventKind Kind, KernelObject? Subject = null, KernelObject? Other = null)
{
    /// <summary>First address, or the address of an allocation.</summary>
    public ulong Start { get; init; }

    public ulong SizeBytes { get; init; }

    public ulong Pfn { get; init; }

    public long Count { get; init; }

    /// <summary>Number of a devres node or chunk; -1 for none.</summary>
    public int Node { get; init; } = -1;

    public string? Fn { get; init; }

    public string? Text { get; init; }

    public Errno Err { get; init; }
}

/// <summary>Hears what happens, wherever it happens: in a procedure, or in a callback that has no caller.</summary>
public interface IKernelListener
{
    void Emit(in KernelEvent happened);
}
