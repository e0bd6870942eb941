using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>Judges events of a device, before they take effect on what the stream remembers.</summary>
internal interface IDeviceRule
{
    IReadOnlyList<EventKind> Kinds { get; }

    void Judge(DeviceStream device, HistoryEvent record);
}

/// <summary>Judges an alloc that the device executed, whatever its outcome.</summary>
internal interface IAllocRule
{
    void JudgeAlloc(DeviceStream device, in Operation op);
}

/// <summary>Judges a free that succeeded.</summary>
internal interface IFreeRule
{
    /// <param name="slot">The allocation among the live ones; -1 when it is not live.</param>
    void JudgeFree(DeviceStream device, in Operation op, int slot);
}

/// <summary>Judges what only the end of the history decides.</summary>
internal interface IDeviceEndRule
{
    void JudgeEnd(DeviceStream device);
}

internal interface IMapRule
{
    IReadOnlyList<EventKind> Kinds { get; }

    void Judge(MapStream map, HistoryEvent record);
}

internal interface IAccessRule
{
    void JudgeAccess(MapStream map, in Operation op);
}

internal interface IRefRule
{
    IReadOnlyList<EventKind> Kinds { get; }

    void Judge(RefStream @ref, HistoryEvent record);
}

internal interface IRefEndRule
{
    void JudgeEnd(RefStream @ref);
}
