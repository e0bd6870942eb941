using Fleet.Protocol.Incarnations;
using Orleans.Runtime;
using Orleans.Serialization;

namespace Fleet.Grains;

/// <summary>A call between processes that was lost with a silo, or reached one that had been replaced.</summary>
public static class LostCall
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    /// <summary>The message or its answer was lost, or whoever got it is about to be replaced.</summary>
    /// <remarks>
    /// So was one that ended as cancelled though its caller asked for nothing of the kind: who stops cancels what it
    /// still had to answer, and a connection that is cut ends so too. Whoever calls takes this for lost, and nothing
    /// else: what another exception says is a defect of Fleet.
    /// </remarks>
    /// <param name="own">Of whoever calls: what it asked to be cancelled was not lost.</param>
    public static bool Is(Exception e, CancellationToken own = default) =>
        e is OrleansException or TimeoutException or StaleIncarnationException
        || (e is OperationCanceledException && !own.IsCancellationRequested)
        || (e is UnavailableExceptionFallbackException unknown
            && unknown.ExceptionType?.Contains(nameof(StaleIncarnationException), StringComparison.Ordinal) is true);

    /// <summary>Makes a call until it is answered.</summary>
    /// <param name="demand">Called before each try; throws where there is no sense in another.</param>
    public static async ValueTask<T> RepeatAsync<T>(
        Func<ValueTask<T>> call, TimeProvider time, Action? demand = null)
    {
        while (true)
        {
            demand?.Invoke();
            try
            {
                return await call();
            }
            catch (Exception e) when (Is(e))
            {
                await PauseAsync(time);
            }
        }
    }

    /// <summary>Ends when a call that was lost is due to be made again.</summary>
    public static Task PauseAsync(TimeProvider time) => Task.Delay(RetryPause, time);

    /// <inheritdoc cref="RepeatAsync{T}"/>
    public static async ValueTask RepeatAsync(Func<ValueTask> call, TimeProvider time, Action? demand = null) =>
        await RepeatAsync(
            async () =>
            {
                await call();
                return true;
            },
            time, demand);
}
