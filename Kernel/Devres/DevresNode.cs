namespace Fleet.Kernel;

public enum DevresKind : byte
{
    /// <summary>A function with its data: devm_add_action.</summary>
    Action,

    /// <summary>Managed memory with a release that does nothing: devm_kzalloc.</summary>
    Kmalloc,

    /// <summary>A plain resource with a release function of its own: devres_alloc.</summary>
    Resource,
    GroupOpen,
    GroupClose,
}

/// <summary>One entry of a device's <see cref="Devres"/> list.</summary>
/// <remarks>
/// What it is about is the pair of <see cref="Data"/>, compared by reference, and <see cref="DataId"/>; use either or
/// both.
/// Source: struct devres_node and its users in drivers/base/devres.c @ v5.4, kernel-model B.1.
/// </remarks>
public class DevresNode
{
    internal DevresNode? Newer;
    internal DevresNode? Older;

    internal DevresNode(DevresKind kind, int fn, object? data) => (Kind, Fn, Data) = (kind, fn, data);

    /// <summary>Position in the order of registration at its device, from 0; -1 while it was never added.</summary>
    public int Id { get; internal set; } = -1;

    public DevresKind Kind { get; }

    /// <summary>The function to run, in the caller's own numbering; 0 for memory and groups.</summary>
    public int Fn { get; }

    /// <summary>What the function is given, or the object that the memory holds; null when not used.</summary>
    public object? Data { get; }

    /// <summary>The same as a number, for data that has no object of its own.</summary>
    public virtual long DataId => 0;

    /// <summary>For a group marker: the id of its group, the opening marker itself where the kernel chose.</summary>
    public object? GroupId => (this as DevresMarker)?.Group;

    /// <summary>Whether it is on the list of a device; false once taken to be released.</summary>
    public bool IsLinked { get; internal set; }

    internal static DevresNode Of(DevresKind kind, int fn, object? data, long dataId) =>
        dataId == 0 ? new DevresNode(kind, fn, data) : new NumberedNode(kind, fn, data, dataId);

    internal bool IsAbout(object? data, long dataId) => ReferenceEquals(Data, data) && DataId == dataId;
}

/// <summary>An entry about data that has no object of its own.</summary>
internal sealed class NumberedNode(DevresKind kind, int fn, object? data, long dataId) : DevresNode(kind, fn, data)
{
    public override long DataId => dataId;
}

/// <summary>Where a group begins or ends.</summary>
internal sealed class DevresMarker(DevresKind kind) : DevresNode(kind, 0, null)
{
    internal DevresMarker? Close;
    internal DevresMarker? Open;
    internal object? Group;
    internal int InTake;
}

/// <summary>What the kernel warns about or stops for.</summary>
public enum DevresFault : byte
{
    None,

    /// <summary>WARN: no such entry.</summary>
    WarnNoMatch,

    /// <summary>WARN: no such group, or none that is still open.</summary>
    WarnNoGroup,

    /// <summary>WARN: the list head was never initialised.</summary>
    WarnUninitialised,

    /// <summary>BUG: the entry is on a list already; the kernel stops.</summary>
    BugAlreadyLinked,

    /// <summary>BUG: the entry is freed while it is on a list; the kernel stops.</summary>
    BugFreedLinked,
}

/// <summary>Outcome of an addition.</summary>
/// <param name="Err"><see cref="Errno.OK"/> or <see cref="Errno.ENOMEM"/>.</param>
/// <param name="Node">The entry added; on failure of an add-or-reset the action to run at once, else null.</param>
public readonly record struct DevresAdd(Errno Err, DevresNode? Node);

/// <summary>Outcome of taking one entry off the list.</summary>
/// <param name="Fault"><see cref="DevresFault.WarnNoMatch"/> when there was none.</param>
/// <param name="Node">The entry, now the caller's; null when there was none.</param>
public readonly record struct DevresTake(DevresFault Fault, DevresNode? Node);
