namespace Fleet.Kernel;

/// <summary>
/// What a <see cref="PercpuRef"/> calls back. Called synchronously, in the middle of the operation; must not wait.
/// </summary>
/// <remarks>Source: release and confirm_switch of struct percpu_ref; kernel-model A.4: it may run in softirq.</remarks>
public interface IPercpuRefEvents
{
    /// <summary>The count descended to 0. May call <see cref="PercpuRef.Exit"/>.</summary>
    void Released(PercpuRef reference);

    /// <summary>The switch to atomic mode is seen by all CPUs.</summary>
    /// <param name="confirm">The number given with the switch, never 0.</param>
    void Confirmed(PercpuRef reference, int confirm)
    {
    }

    /// <summary>
    /// The callback of a switch folded the counters, before it confirms; warnings have no other way out of it.
    /// </summary>
    void Folded(PercpuRef reference, PercpuRefWarn warn)
    {
    }

    /// <summary>As <see cref="IRcuCallback.Touches"/>, for the callback of a mode switch.</summary>
    ulong CallbackTouches => ulong.MaxValue;

    /// <summary>As <see cref="IRcuCallback.FreedMemory"/>, for the callback of a mode switch.</summary>
    Host.KernelObject? CallbackFreedMemory => null;
}
