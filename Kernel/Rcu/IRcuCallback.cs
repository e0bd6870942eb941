namespace Fleet.Kernel;

/// <summary>What runs once a grace period has passed.</summary>
/// <remarks>Source: struct rcu_head and its function; kernel-model A.4: it may not sleep.</remarks>
public interface IRcuCallback
{
    /// <summary>Runs the callback, in softirq context of the model.</summary>
    void RunAfterGracePeriod();

    /// <summary>Union of the sets that running it may read or write; everything, unless it says otherwise.</summary>
    ulong Touches => ulong.MaxValue;

    /// <summary>The freed memory that running it would read; null while it may run.</summary>
    Host.KernelObject? FreedMemory => null;
}
