using System.Collections.Concurrent;
using Fleet.Protocol.Incarnations;
using Fleet.Storage.Results.Postgres;
using Npgsql;

namespace Fleet.Storage.Cluster;

/// <summary>Until when this process may answer for its objects without asking the database.</summary>
/// <remarks>
/// Renewed four times a term; counted from before the question was sent, so that it ends here before it ends in the
/// database. A process that stood still finds it over by its own clock, before it does anything. Whatever was taken
/// from it
/// is ended before the term is prolonged. Concurrency: any thread.
/// Source: Gray and Cheriton, Leases, SOSP 1989; docs/decisions/0021.
/// </remarks>
internal sealed class PostgresTerm : ServingTerm, IAsyncDisposable
{
    /// <summary>Shorter than any failure detector of a cluster that stands still, longer than a stall of the server.
    /// </summary>
    internal static readonly TimeSpan Length = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(750);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private const int TimeoutSeconds = 2;

    /// <summary>Longer than a turn that had looked at the term takes to answer, on a busy machine too.</summary>
    private static readonly TimeSpan LastAnswers = TimeSpan.FromMilliseconds(250);

    private readonly NpgsqlDataSource _source;
    private readonly string _scope;
    private readonly int _proc;
    private readonly ConcurrentDictionary<string, Tenure> _tenures;
    private readonly ConcurrentDictionary<string, int> _taken = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _over = new();
    private readonly Task _renewing;
    private TaskCompletionSource _renewed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _untilMs;
    private long _seen;
    private long _lapses;
    private long _longestMs;
    private volatile bool _isResigned;

    public PostgresTerm(
        NpgsqlDataSource source, string scope, int proc, ConcurrentDictionary<string, Tenure> tenures)
    {
        (_source, _scope, _proc, _tenures) = (source, scope, proc, tenures);
        _renewing = Task.Run(RenewLoopAsync);
    }

    /// <summary>Off is for control runs: nobody falls silent.</summary>
    public bool IsBinding { get; set; } = true;

    public override bool Holds =>
        (Environment.TickCount64 < Volatile.Read(ref _untilMs) && !_isResigned) || !IsBinding;

    /// <summary>It was given up, and is never renewed.</summary>
    public bool IsResigned => _isResigned && IsBinding;

    public (long Count, TimeSpan Longest) Lapses =>
        (Interlocked.Read(ref _lapses), TimeSpan.FromMilliseconds(Interlocked.Read(ref _longestMs)));

    /// <summary>Somebody began a later incarnation elsewhere.</summary>
    public bool IsTaken(string name, int gen) => IsBinding && _taken.TryGetValue(name, out var newer) && newer > gen;

    public override ValueTask RenewedAsync() =>
        Holds || _over.IsCancellationRequested ? ValueTask.CompletedTask : new(Volatile.Read(ref _renewed).Task);

    /// <summary>Answers nobody from here on, and says so to the database: who takes an object waits for
    /// nothing.</summary>
    /// <returns>Completes when the database knows, or does not answer: then the term runs out.</returns>
    public async Task ResignAsync()
    {
        _isResigned = true;
        await _over.CancelAsync();
        await _renewing;
        _renewed.TrySetResult();
        if (IsBinding)
        {
            await Task.Delay(LastAnswers);
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(TimeoutSeconds));
            await TryRenewAsync(TimeSpan.Zero, patience.Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _renewing;
        _renewed.TrySetResult();
        _over.Dispose();
    }

    private async Task RenewLoopAsync()
    {
        while (!_over.IsCancellationRequested)
        {
            var askedMs = Environment.TickCount64;
            var isRenewed = await TryRenewAsync(Length, _over.Token);
            if (isRenewed)
            {
                Prolong(askedMs);
            }

            try
            {
                await Task.Delay(isRenewed ? Interval : RetryPause, _over.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private void Prolong(long askedMs)
    {
        var lapsedMs = Environment.TickCount64 - Volatile.Read(ref _untilMs);
        if (Volatile.Read(ref _untilMs) != 0 && lapsedMs > 0)
        {
            Interlocked.Increment(ref _lapses);
            Interlocked.Exchange(ref _longestMs, Math.Max(_longestMs, lapsedMs));
        }

        Volatile.Write(ref _untilMs, askedMs + (long)Length.TotalMilliseconds);
        Interlocked.Exchange(ref _renewed, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Asks the database, and ends what was taken from this process.</summary>
    private async Task<bool> TryRenewAsync(TimeSpan length, CancellationToken ct)
    {
        try
        {
            await using var command = _source.CreateCommand(
                "SELECT id, name, gen FROM fleet.renew_serving_term($1, $2, $3, $4)");
            command.CommandTimeout = TimeoutSeconds;
            command.Parameters.Add(new NpgsqlParameter { Value = _scope });
            command.Parameters.Add(new NpgsqlParameter { Value = _proc });
            command.Parameters.Add(new NpgsqlParameter { Value = length.TotalMilliseconds });
            command.Parameters.Add(new NpgsqlParameter { Value = _seen });
            await using var rows = await command.ExecuteReaderAsync(ct);
            while (await rows.ReadAsync(ct))
            {
                _seen = rows.GetInt64(0);
                var (name, gen) = (rows.GetString(1), rows.GetInt32(2));
                _taken[name] = gen;
                if (IsBinding && _tenures.TryGetValue(name, out var tenure) && tenure.Gen < gen)
                {
                    tenure.End();
                }
            }

            return true;
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            return false;
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return false;
        }
    }
}
