namespace Fleet.Client.Inventory;

public enum BarKind
{
    Memory,
    IoPort,
    Rom,
}

/// <summary>Whether the operating system gave a BAR an address; only an assigned one can be mapped.</summary>
public enum BarAssignment
{
    Assigned,
    Unassigned,

    /// <summary>The device asks for it, the operating system does not know it.</summary>
    Ignored,
}

/// <summary>One base address register (or the expansion ROM) of a device, as the tools report it.</summary>
/// <param name="Index">0…5 for a BAR; 6 for the expansion ROM, as in the kernel's resource list.</param>
/// <param name="StartAddress">Bus address; 0 where none was assigned.</param>
/// <param name="SizeBytes">0 where the tools did not report one.</param>
/// <param name="Disabled">Decoding was off when the description was made: no driver had enabled the device yet.</param>
public sealed record BarDescription(
    int Index,
    BarKind Kind,
    bool Bits64,
    bool Prefetchable,
    ulong StartAddress,
    ulong SizeBytes,
    BarAssignment Assignment,
    bool Disabled)
{
    public const int RomIndex = 6;

    public string Name => Kind is BarKind.Rom ? "rom" : $"bar{Index}";
}
