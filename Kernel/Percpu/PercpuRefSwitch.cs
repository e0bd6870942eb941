namespace Fleet.Kernel;

/// <summary>A mode switch that was asked for; it waits while an earlier switch of the same ref is in flight.</summary>
/// <remarks>
/// A mutable value. When <see cref="IsDone"/> is false, wait until <see cref="PercpuRef.IsSwitching"/> is false and
/// call
/// <see cref="TryComplete"/>; several may wait at once, and any of them may go first.
/// Source: __percpu_ref_switch_mode and its wait on percpu_ref_switch_waitq, lib/percpu-refcount.c @ v5.4.
/// </remarks>
public struct PercpuRefSwitch
{
    private readonly PercpuRef _reference;
    private readonly int _confirm;
    private Rest _rest;

    internal PercpuRefSwitch(PercpuRef reference, Rest rest, int confirm, PercpuRefWarn warn)
    {
        _reference = reference;
        _rest = rest;
        _confirm = confirm;
        Warn = warn;
        TryComplete();
    }

    /// <summary>What remains to be done once the earlier switch is complete.</summary>
    internal enum Rest : byte
    {
        Nothing,

        /// <summary>Switch to the mode that the flags ask for.</summary>
        Switch,

        /// <summary>The same, then drop the initial reference.</summary>
        SwitchAndPut,

        /// <summary>The same, then wait until that switch is complete too.</summary>
        SwitchAndWait,

        /// <summary>Only wait.</summary>
        Wait,
    }

    public readonly bool IsDone => _rest is Rest.Nothing;

    /// <summary>Warnings so far; complete once <see cref="IsDone"/>.</summary>
    public PercpuRefWarn Warn { get; private set; }

    /// <summary>Goes on if the ref is not switching.</summary>
    /// <returns><see cref="IsDone"/>.</returns>
    public bool TryComplete()
    {
        while (_rest is not Rest.Nothing && !_reference.IsSwitching)
        {
            var rest = _rest;
            _rest = rest is Rest.SwitchAndWait ? Rest.Wait : Rest.Nothing;
            if (rest is Rest.Wait)
            {
                break;
            }

            Warn |= _reference.SwitchMode(_confirm);
            if (rest is Rest.SwitchAndPut)
            {
                _reference.DropInitial();
            }
        }

        return IsDone;
    }
}
