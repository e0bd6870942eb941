using Fleet.Protocol.Refs;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Resources;

/// <summary>A resource as its device and its page map reach it: messages, or direct calls in a simulation.</summary>
/// <remarks>Every call carries the life it belongs to; one of an earlier life changes nothing.</remarks>
public interface IResourceLink
{
    /// <summary>percpu_ref_init: begins a life.</summary>
    /// <param name="cause">Position of the device.</param>
    ValueTask<At> Init(int life, At cause);

    /// <summary>percpu_ref_kill: dead from here on; the bias stays until <see cref="Confirm"/>.</summary>
    ValueTask<At> Kill(int life, At cause);

    /// <summary>The callback of the mode switch: every slot has folded.</summary>
    ValueTask<At> Confirm(int life, SlotReport[] folds);

    /// <summary>A change at a folded slot.</summary>
    ValueTask<At> Report(int life, SlotReport report);

    /// <summary>Waits, no longer than one long poll, until the last reference has gone.</summary>
    ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause);

    /// <summary>percpu_ref_exit.</summary>
    /// <param name="endsCleanup">The cleanup callback of a page map ends with it.</param>
    ValueTask<At> Exit(int life, bool endsCleanup, At cause);

    /// <summary>Ends what an earlier incarnation of the device left here; nothing where nothing ever was.</summary>
    /// <param name="life">Lives below this one are over.</param>
    ValueTask<At> Fence(int deviceGen, int life, At cause, string actor);

    /// <summary>The newest position, as a sign of which incarnation answers.</summary>
    ValueTask<At> Look();
}

/// <summary>Which poll of a wait it is.</summary>
public enum WaitStep : byte
{
    /// <summary>The wait begins; answered at once.</summary>
    Begin,

    /// <summary>As <see cref="Begin"/>, within the cleanup callback of a page map.</summary>
    BeginCleanup,

    /// <summary>A further poll of a wait that has begun.</summary>
    Poll,
}

/// <param name="IsZero">The wait is over.</param>
/// <param name="Value">References left, as far as known.</param>
/// <param name="At">Position of the newest event of the wait.</param>
public readonly record struct ZeroReply(bool IsZero, long Value, At At);
