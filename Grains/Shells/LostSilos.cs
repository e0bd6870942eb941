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
    /// <summary>Each asks its devices some at a time in turn.</summary>
    private const int InFlightMax = 32;

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
        if (status is SiloStatus.Dead && IsFirstWithout(updatedSilo))
        {
            LookAsync().Ignore();
        }
    }

    /// <summary>Also where the table was read before the dead silo was taken out of it.</summary>
    private bool IsFirstWithout(SiloAddress dead) =>
        silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Where(silo => !silo.Equals(dead)).Min() is { } first
            && first.Equals(silos.SiloAddress);

    private async Task LookAsync()
    {
        var sessions = await context.Incarnations.NamesAsync(SessionGrain.NamePrefix);
        var hosts = await context.Incarnations.NamesAsync(HostGrain.NamePrefix);
        await Parallel.ForEachAsync(
            sessions.Concat(hosts),
            new ParallelOptions { MaxDegreeOfParallelism = InFlightMax, CancellationToken = _over.Token },
            async (name, ct) =>
                await LostCall.RepeatAsync(() => LookAfter(name), time, ct.ThrowIfCancellationRequested));
    }

    private async ValueTask LookAfter(string name)
    {
        if (name.StartsWith(HostGrain.NamePrefix, StringComparison.Ordinal))
        {
            await grains.GetGrain<IHostGrain>(name[HostGrain.NamePrefix.Length..]).Check();
        }
        else
        {
            await grains.GetGrain<ISessionGrain>(name).Look();
        }
    }
}
