namespace Fleet.Kernel;

/// <summary>Whether the memory allocation inside a call succeeds; the host's failure injection decides.</summary>
/// <remarks>Source: kernel-model H.5, injection points.</remarks>
public enum Allocation : byte
{
    Succeeds,

    /// <summary>The call takes its error exit, as if kmalloc had returned NULL.</summary>
    Fails,
}
