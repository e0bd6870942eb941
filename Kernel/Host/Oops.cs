namespace Fleet.Kernel.Host;

/// <summary>How a modelled kernel dies under one of its actors.</summary>
public enum OopsKind : byte
{
    None,

    /// <summary>Read or write through NULL, or NULL plus an offset.</summary>
    NullDereference,

    /// <summary>Read or write of freed memory.</summary>
    UseAfterFree,

    /// <summary>Touch of a page whose memory was removed.</summary>
    RemovedMemory,

    /// <summary>BUG: an allocator freed wrongly, or destroyed while in use.</summary>
    Bug,
}

/// <summary>The wire names of <see cref="OopsKind"/>, as events carry them in <c>class</c>.</summary>
public static class OopsKinds
{
    public static string WireName(OopsKind kind) => kind switch
    {
        OopsKind.NullDereference => "null-deref",
        OopsKind.UseAfterFree => "use-after-free",
        OopsKind.RemovedMemory => "removed-memory",
        OopsKind.Bug => "bug",
        _ => "none",
    };
}

/// <summary>Ends the actor whose step made the modelled kernel die, where that actor has a caller to answer.</summary>
/// <remarks>Modelled outcome, not a defect of Fleet: it has been recorded as an event before it is thrown.</remarks>
public sealed class KernelOopsException : Exception
{
    public KernelOopsException(OopsKind kind, KernelObject? subject, string message)
        : base(message)
    {
        Kind = kind;
        Subject = subject;
    }

    public OopsKind Kind { get; }

    /// <summary>The object that was touched; null for NULL itself.</summary>
    public KernelObject? Subject { get; }
}
