namespace Fleet.Kernel.Host;

/// <summary>A host in whose world every object lives: its ports are direct calls with their points.</summary>
public interface IDirectHost<THost> : IKernelHost<THost>
    where THost : struct, IDirectHost<THost>
{
    RcuDomain Rcu { get; }

    /// <summary>Read-section slot of this actor, 0 to 63.</summary>
    int ReaderSlot { get; }

    /// <summary>Union of the read-section masks of all actors: what a grace period looks at.</summary>
    ulong AllReadersMask { get; }

    /// <summary>What queueing a callback writes.</summary>
    ulong CallbacksMask { get; }

    /// <summary>Page maps of the world, in the order in which they were stored.</summary>
    Memremap.PagemapRegistry Registry { get; }

    /// <summary>Asks for the next atomic step, which waits until <paramref name="ready"/> is.</summary>
    PointAwaiter<THost> Wait(Step step, IReadiness ready, ulong reads, ulong writes);
}
