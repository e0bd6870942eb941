namespace Fleet.Kernel.Block;

/// <summary>
/// What decides about a request queue beside its counter: how often it is frozen, and whether it dies.
/// </summary>
/// <remarks>
/// Invariant: the usage counter is killed exactly while <see cref="FreezeDepth"/> is above 0; the answers of the freeze
/// calls say when that changes. Source: block/blk-core.c and blk-mq.c @ v5.2, kernel-model B.9.
/// </remarks>
internal sealed class QueueGate
{
    /// <summary>Freezes begun and not undone.</summary>
    internal int FreezeDepth { get; private set; }

    internal bool IsDying { get; private set; }

    internal bool IsDead { get; private set; }

    /// <summary>Answer to a request that the counter refused.</summary>
    internal QueueEnter Refusal => IsDying ? QueueEnter.Dying : QueueEnter.Frozen;

    /// <returns>True when the counter is to be killed: the first of nested freezes.</returns>
    internal bool StartFreeze() => ++FreezeDepth == 1;

    /// <returns>True when the counter is to be revived: the last of nested freezes.</returns>
    internal bool Unfreeze() => --FreezeDepth == 0;

    /// <returns>As <see cref="StartFreeze"/>, which dying includes.</returns>
    internal bool MarkDying()
    {
        IsDying = true;
        return StartFreeze();
    }

    internal void MarkDead() => IsDead = true;

    internal void Reset()
    {
        FreezeDepth = 0;
        IsDying = false;
        IsDead = false;
    }

    internal void HashInto(ref ulong hash) =>
        StateHash.Mix(ref hash, ((ulong)(uint)FreezeDepth << 2) | (IsDying ? 1UL : 0) | (IsDead ? 2UL : 0));
}
