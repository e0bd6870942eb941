using Fleet.Client.Load;
using Fleet.Kernel.History;

namespace Fleet.Client.Runs;

/// <summary>What ends the load before its plan does: a verdict that is decided, a missed threshold, a fleet that is
/// gone.</summary>
/// <remarks>Concurrency: findings come on any thread.</remarks>
internal sealed class LoadEnd(RunRequest request, IRunProgress progress)
{
    /// <summary>Once the verdict is decided the load goes on for so long, to count how often it happens.</summary>
    private static readonly TimeSpan AfterFinding = TimeSpan.FromSeconds(3);

    /// <summary>Silos that a fault struck all at once are replaced before so many looks.</summary>
    private const int DesertedLooks = 20;

    private readonly TaskCompletionSource _decided = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _findings;

    public long Findings => Interlocked.Read(ref _findings);

    public bool IsDecided => _decided.Task.IsCompleted;

    /// <summary>The metric of the threshold whose miss ended the load; null for none.</summary>
    public string? AbortedBy { get; private set; }

    public void OnFinding(Finding finding)
    {
        Interlocked.Increment(ref _findings);
        if (finding.Class is FindingClass.Safety or FindingClass.Liveness or FindingClass.Leak or FindingClass.Harness)
            _decided.TrySetResult();
        progress.Found(finding);
    }

    /// <summary>Stops the load at the first of them.</summary>
    public Task FollowAsync(
        IFleetTarget silo, RunMonitor monitor, CancellationTokenSource stop, CancellationToken over) => Task.WhenAll(
        StopOnceDecidedAsync(stop, over), StopOnMissAsync(monitor, stop, over),
        StopOnceDesertedAsync(silo, stop, over));

    /// <summary>Ends the load once no silo is left that could answer it: it would only ask on.</summary>
    private async Task StopOnceDesertedAsync(IFleetTarget silo, CancellationTokenSource stop, CancellationToken over)
    {
        using var timer = new PeriodicTimer(Patience.Look);
        try
        {
            for (var looks = 0; looks < DesertedLooks;)
            {
                await timer.WaitForNextTickAsync(over);
                looks = silo.MayAnswer ? 0 : looks + 1;
            }

            progress.Say($"{string.Join(", ", silo.Gone)} ended, and no silo is left: the load ends.");
            await stop.CancelAsync();
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task StopOnceDecidedAsync(CancellationTokenSource stop, CancellationToken over)
    {
        if (request.KeepGoing)
            return;

        try
        {
            await _decided.Task.WaitAsync(over);
            await Task.Delay(AfterFinding, over);
            await stop.CancelAsync();
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    /// <summary>Ends the load once a threshold is missed that asks for it.</summary>
    private async Task StopOnMissAsync(RunMonitor monitor, CancellationTokenSource stop, CancellationToken over)
    {
        try
        {
            AbortedBy = (await monitor.Aborted.WaitAsync(over)).Threshold.Metric;
            await stop.CancelAsync();
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }
}
