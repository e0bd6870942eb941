using Fleet.Protocol.Streams;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>When a silo is lost, has every host look after its devices, and every session begin again.</summary>
/// <remarks>
/// A device that nobody calls finds out too that it was lost. One silo of those that are left does it: the first in the
/// order of their addresses. What it misses when it is lost itself, the next one finds. Concurrency: any thread.
/// </remarks>
public sealed class LostSilos(
    ISiloStatusOracle silos, IGrainFactory grains, FleetContext context, TimeProvider time)
    : ILifecycleParticipant<ISiloLifecycle>, ISiloStatusListener
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private const int TriesMax = 100;

    private readonly CancellationTokenSource _over = new();

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(
        nameof(LostSilos), ServiceLifecycleStage.Active,
        _ =>
        {
            silos.SubscribeToSiloStatusEvents(this);
            return Task.CompletedTask;
        },
        _ =>
        {
            silos.UnSubscribeFromSiloStatusEvents(this);
            return _over.CancelAsync();
        });

    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status is SiloStatus.Dead && IsFirst())
        {
            LookAsync().Ignore();
        }
    }

    private bool IsFirst() =>
        silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Min() is { } first
            && first.Equals(silos.SiloAddress);

    private async Task LookAsync()
    {
        foreach (var name in await context.Incarnations.NamesAsync(HostGrain.NamePrefix))
        {
            await Patiently(async () => await grains.GetGrain<IHostGrain>(name[HostGrain.NamePrefix.Length..]).Check());
        }

        foreach (var name in await context.Incarnations.NamesAsync(SessionGrain.NamePrefix))
        {
            await Patiently(async () => await grains.GetGrain<ISessionGrain>(name).Look());
        }
    }

    private async Task Patiently(Func<Task> look)
    {
        for (var attempt = 0; attempt < TriesMax && !_over.IsCancellationRequested; attempt++)
        {
            try
            {
                await look();
                return;
            }
            catch (Exception e) when (GrainLinks.IsLost(e))
            {
                await Task.Delay(RetryPause, time);
            }
        }
    }
}
