using Fleet.Storage;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>Stores readings beside the run, and never holds it up: a store that is away takes them later.</summary>
/// <remarks>Concurrency: one caller.</remarks>
internal sealed class MetricsStore(IRunWriter writer)
{
    private Task _pending = Task.CompletedTask;

    /// <exception cref="StorageException">The readings before these are still on their way; nothing was
    /// taken.</exception>
    public Task AddAsync(IReadOnlyList<MetricPoint> points, CancellationToken ct)
    {
        if (!_pending.IsCompleted)
            throw new StorageException("The store did not take the last readings yet.");

        var before = _pending;
        _pending = writer.AddMetricsAsync(points, CancellationToken.None);
        return before;
    }

    /// <summary>Waits for what is on its way.</summary>
    public Task EndAsync() => _pending;
}
