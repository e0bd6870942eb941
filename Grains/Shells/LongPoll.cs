using System.Runtime.CompilerServices;

namespace Fleet.Grains.Shells;

/// <summary>How long one call may wait before it answers "not yet".</summary>
/// <param name="For">At most half of the silo's response timeout.</param>
public sealed record LongPoll(TimeSpan For)
{
    /// <summary>Waits until the work ends or the poll does; throws nothing of the work's.</summary>
    internal static ConfiguredTaskAwaitable WaitAsync(Task work, TimeSpan patience) =>
        (work.IsCompleted || patience <= TimeSpan.Zero ? Task.CompletedTask : work.WaitAsync(patience))
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
}
