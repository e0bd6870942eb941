using System.Net.Sockets;
using Npgsql;
using Polly;
using Polly.CircuitBreaker;
using Polly.Retry;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Which failures pass by waiting, and how long is waited.</summary>
/// <remarks>
/// Only for what may be done twice: connecting, reading back, and statements that change nothing twice.
/// </remarks>
internal static class Transience
{
    /// <summary>The server is gone, starting, stopping or full; it said nothing about the statement itself.</summary>
    public static bool IsConnectionLoss(Exception e) => e switch
    {
        PostgresException p => p.SqlState is "57P01" or "57P02" or "57P03" or "57P05" or "53300" or "40001" or "40P01"
            || p.SqlState.StartsWith("08", StringComparison.Ordinal),
        NpgsqlException or SocketException or IOException or TimeoutException or BrokenCircuitException => true,
        ObjectDisposedException => true, // Npgsql's, when the connection broke under a COPY stream.
        _ => false,
    };

    /// <summary>
    /// Waits up to a minute for a server that is starting and tries a busy one a few times more; one that is not there
    /// is not waited for. For connecting only, which may be done twice.
    /// </summary>
    public static ResiliencePipeline Opening { get; } = new ResiliencePipelineBuilder()
        .AddRetry(new RetryStrategyOptions
        {
            ShouldHandle = new PredicateBuilder().Handle<PostgresException>(
                e => e.SqlState is PostgresErrorCodes.CannotConnectNow),
            MaxRetryAttempts = 120,
            Delay = TimeSpan.FromMilliseconds(500),
        })
        .AddRetry(new RetryStrategyOptions
        {
            ShouldHandle = new PredicateBuilder().Handle<NpgsqlException>(e => e.InnerException is TimeoutException)
                .Handle<TimeoutException>(),
            MaxRetryAttempts = 3,
            Delay = TimeSpan.FromMilliseconds(500),
        })
        .Build();

    /// <summary>
    /// Waits from 50 ms up to 1 s, with jitter, until cancelled; asks nothing for 1 s after 8 failures in a row.
    /// </summary>
    public static ResiliencePipeline Patient() => new ResiliencePipelineBuilder()
        .AddRetry(new RetryStrategyOptions
        {
            ShouldHandle = new PredicateBuilder().Handle<Exception>(IsConnectionLoss),
            MaxRetryAttempts = int.MaxValue,
            BackoffType = DelayBackoffType.Exponential,
            UseJitter = true,
            Delay = TimeSpan.FromMilliseconds(50),
            MaxDelay = TimeSpan.FromSeconds(1),
        })
        .AddCircuitBreaker(new CircuitBreakerStrategyOptions
        {
            ShouldHandle = new PredicateBuilder().Handle<Exception>(
                e => IsConnectionLoss(e) && e is not BrokenCircuitException),
            FailureRatio = 1,
            MinimumThroughput = 8,
            SamplingDuration = TimeSpan.FromSeconds(10),
            BreakDuration = TimeSpan.FromSeconds(1),
        })
        .Build();
}
