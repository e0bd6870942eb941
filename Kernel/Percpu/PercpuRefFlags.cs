namespace Fleet.Kernel;

/// <summary>How a <see cref="PercpuRef"/> begins.</summary>
/// <remarks>
/// Source: PERCPU_REF_INIT_ATOMIC, PERCPU_REF_INIT_DEAD, PERCPU_REF_ALLOW_REINIT of percpu-refcount.h @ v5.4.
/// </remarks>
[Flags]
public enum PercpuRefInit : byte
{
    None = 0,

    /// <summary>
    /// Counts centrally from the start, until <see cref="PercpuRef.SwitchToPercpu"/>. Implies <see
    /// cref="AllowReinit"/>.
    /// </summary>
    Atomic = 1,

    /// <summary>Begins dead at 0. Implies <see cref="AllowReinit"/>.</summary>
    Dead = 2,

    /// <summary>
    /// Keeps the per-CPU memory after a switch to atomic mode. Before v5.3 every ref behaves so (RefAlwaysReinit).
    /// </summary>
    AllowReinit = 4,
}

/// <summary>The flag bits of a <see cref="PercpuRef"/>'s pointer word, as one atomic read sees them.</summary>
[Flags]
public enum PercpuRefFlags : byte
{
    /// <summary>Per-CPU mode.</summary>
    None = 0,

    /// <summary>Counts centrally, or is switching to it.</summary>
    Atomic = 1,

    /// <summary>Killed, or exited.</summary>
    Dead = 2,
}

/// <summary>
/// Kernel warnings of a <see cref="PercpuRef"/>, reported each time their condition holds, and two worse things.
/// </summary>
[Flags]
public enum PercpuRefWarn : ushort
{
    None = 0,
    ExitWhileSwitching = 1 << 0,
    NotPositiveAfterSwitch = 1 << 1,
    ToPercpuWithoutReinit = 1 << 2,
    KilledTwice = 1 << 3,
    ReinitNotZero = 1 << 4,
    ResurrectNotDead = 1 << 5,
    ResurrectWhilePercpu = 1 << 6,

    /// <summary>BUG: back to per-CPU mode after the per-CPU memory was freed; the kernel stops.</summary>
    BugNoPercpuMemory = 1 << 14,

    /// <summary>
    /// Not noticed by the kernel: the switch callback summed counters through a pointer that was freed (taken as 0).
    /// </summary>
    SummedFreedMemory = 1 << 15,
}
