using System.Diagnostics.CodeAnalysis;
using System.Numerics;

namespace Fleet.Kernel;

/// <summary>
/// A point in time of an <see cref="RcuDomain"/>; its grace period ends when all sections open then have closed.
/// </summary>
/// <param name="Begun">Sections that had begun before it.</param>
public readonly record struct RcuGracePeriod(long Begun);

/// <summary>Read sections, the callbacks that wait for them, and grace periods, without a clock.</summary>
/// <remarks>
/// Invariant: a callback is runnable, and a grace period has ended, exactly when every section that was open when it
/// began has closed; sections opened later do not count. <see cref="Synchronize"/> does not wait for callbacks.
/// A grace period may be as long as the caller likes: runnable callbacks stay queued until <see
/// cref="TryTakeCallback"/>.
/// Concurrency: one turn. Limits: <see cref="Slots"/> actors, 255 nested sections each.
/// Source: kernel-model A.1, C.10 and D (happens-before); scenarios 3.2.
/// </remarks>
public sealed class RcuDomain
{
    /// <summary>Actors that can be inside a section; slots are 0 to this, exclusive.</summary>
    public const int Slots = 64;

    private readonly long[] _openedAs = new long[Slots];
    private readonly byte[] _depths = new byte[Slots];
    private readonly List<Queued> _queue = [];
    private long _begun;

    private readonly record struct Queued(IRcuCallback Callback, RcuGracePeriod Since);

    /// <summary>Actors inside a section now, one bit a slot.</summary>
    public ulong OpenSections { get; private set; }

    /// <summary>Callbacks queued and not taken yet, runnable or not.</summary>
    public int PendingCallbacks => _queue.Count;

    /// <summary>
    /// The oldest callback, which is the next to run: a younger one never becomes runnable before it. Null for none.
    /// </summary>
    public IRcuCallback? NextCallback => _queue.Count == 0 ? null : _queue[0].Callback;

    /// <summary>Whether <see cref="NextCallback"/> may run now and <see cref="TryTakeCallback"/> gives it.</summary>
    public bool IsNextRunnable => _queue.Count != 0 && HasElapsed(_queue[0].Since);

    /// <summary>Opens a read section of an actor, or nests one deeper.</summary>
    public void EnterRead(int slot)
    {
        if (_depths[slot]++ == 0)
        {
            _openedAs[slot] = _begun++;
            OpenSections |= 1UL << slot;
        }
    }

    /// <summary>Closes the innermost section of an actor.</summary>
    /// <returns>False when the actor was inside none: a defect of the caller, nothing changes.</returns>
    public bool ExitRead(int slot)
    {
        if (_depths[slot] == 0)
        {
            return false;
        }

        if (--_depths[slot] == 0)
        {
            OpenSections &= ~(1UL << slot);
        }

        return true;
    }

    /// <summary>Whether an actor is inside a section.</summary>
    public bool IsReading(int slot) => _depths[slot] != 0;

    /// <summary>Queues a callback to run after a grace period that begins now.</summary>
    public void Call(IRcuCallback callback) => _queue.Add(new(callback, Synchronize()));

    /// <summary>Lets the grace period of a queued callback begin now instead of when it was queued.</summary>
    public void Restart(IRcuCallback callback)
    {
        for (var i = 0; i < _queue.Count; i++)
        {
            if (ReferenceEquals(_queue[i].Callback, callback))
            {
                _queue.RemoveAt(i);
                Call(callback);
                return;
            }
        }
    }

    /// <summary>Begins a synchronous grace period; wait until <see cref="HasElapsed"/>.</summary>
    public RcuGracePeriod Synchronize() => new(_begun);

    /// <summary>Whether every section that was open when <paramref name="since"/> began has closed.</summary>
    public bool HasElapsed(RcuGracePeriod since) => BlockedBy(since) == 0;

    /// <summary>The actors whose sections a grace period still waits for, one bit a slot.</summary>
    public ulong BlockedBy(RcuGracePeriod since)
    {
        var blocked = 0UL;
        for (var open = OpenSections; open != 0; open &= open - 1)
        {
            var slot = BitOperations.TrailingZeroCount(open);
            if (_openedAs[slot] < since.Begun)
            {
                blocked |= 1UL << slot;
            }
        }

        return blocked;
    }

    /// <summary>Takes the oldest callback off the queue if it may run; the caller runs it.</summary>
    public bool TryTakeCallback([NotNullWhen(true)] out IRcuCallback? callback)
    {
        callback = IsNextRunnable ? _queue[0].Callback : null;
        if (callback is null)
        {
            return false;
        }

        _queue.RemoveAt(0);
        return true;
    }

    /// <summary>Takes the oldest callback if it may run, and runs it.</summary>
    /// <returns>False when none is runnable.</returns>
    public bool RunCallback()
    {
        if (!TryTakeCallback(out var callback))
        {
            return false;
        }

        callback.RunAfterGracePeriod();
        return true;
    }

    /// <summary>Runs callbacks, those queued meanwhile included, until none is runnable.</summary>
    /// <returns>Callbacks run.</returns>
    public int RunCallbacks()
    {
        var count = 0;
        while (RunCallback())
        {
            count++;
        }

        return count;
    }

    /// <summary>Forgets all sections and callbacks.</summary>
    public void Reset()
    {
        Array.Clear(_depths);
        _queue.Clear();
        OpenSections = 0;
        _begun = 0;
    }

    /// <summary>Folds in who reads how deep, and for each queued callback in order whom it waits for.</summary>
    /// <remarks>
    /// Callbacks are told apart by what they touch; their own state is for their owners to fold in (<see
    /// cref="PercpuRef.HashInto"/>).
    /// </remarks>
    public void HashInto(ref ulong hash)
    {
        StateHash.Mix(ref hash, OpenSections);
        for (var open = OpenSections; open != 0; open &= open - 1)
        {
            StateHash.Mix(ref hash, (ulong)_depths[BitOperations.TrailingZeroCount(open)]);
        }

        foreach (var queued in _queue)
        {
            StateHash.Mix(ref hash, BlockedBy(queued.Since));
            StateHash.Mix(ref hash, queued.Callback.Touches);
        }
    }
}
