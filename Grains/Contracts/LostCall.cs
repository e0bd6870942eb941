using Fleet.Protocol.Incarnations;
using Orleans.Runtime;
using Orleans.Serialization;

namespace Fleet.Grains;

/// <summary>A call between processes that was lost with a silo, or reached one that had been replaced.</summary>
public static class LostCall
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    /// <summary>The message or its answer was lost, or whoever got it is about to be replaced.</summary>
    public static bool Is(Exception e) =>
        e is OrleansException or TimeoutException or StaleIncarnationException
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
                await Task.Delay(RetryPause, time);
            }
        }
    }

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
