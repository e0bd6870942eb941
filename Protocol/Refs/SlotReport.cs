using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Refs;

/// <summary>Everything that one slot has counted since it began: a later report replaces an earlier one.</summary>
/// <param name="Slot"><see cref="DeviceSlot"/>, or the number of the BAR whose page map counts.</param>
/// <param name="Version">Grows with every change; the resource keeps the newest of each slot.</param>
/// <param name="Gets">References taken, ever.</param>
/// <param name="Puts">References given back, ever.</param>
/// <param name="At">Where the slot's object counted the last of them.</param>
public readonly record struct SlotReport(int Slot, long Version, long Gets, long Puts, At At)
{
    public const int DeviceSlot = -1;

    public long Held => checked(Gets - Puts);
}
