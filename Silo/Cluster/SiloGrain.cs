using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Fleet.Silo.Cluster;

/// <summary>Answers for the silo that it is on.</summary>
[OnSiloPlacement]
internal sealed class SiloGrain(SiloWork work) : Grain, ISiloGrain
{
    public ValueTask<SiloReport> Report() => new(work.Report());

    public async ValueTask<SiloReport> Seal()
    {
        await work.SealAsync();
        return work.Report();
    }
}

/// <summary>What a silo process works with, for those who ask after it.</summary>
internal sealed record SiloWork(Func<SiloReport> Report, Func<Task> SealAsync);

/// <summary>Puts a grain on the silo whose address is its key.</summary>
[GenerateSerializer, Immutable, Alias("fleet.OnSiloPlacement")]
public sealed class OnSiloPlacement : PlacementStrategy
{
    internal static readonly OnSiloPlacement Instance = new();
}

[AttributeUsage(AttributeTargets.Class)]
internal sealed class OnSiloPlacementAttribute() : PlacementAttribute(OnSiloPlacement.Instance);

internal sealed class OnSiloPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(
        PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var asked = target.GrainIdentity.Key.ToString()!;
        return context.GetCompatibleSilos(target).FirstOrDefault(silo => silo.ToParsableString() == asked) is { } silo
            ? Task.FromResult(silo)
            : throw new SiloUnavailableException($"The silo {asked} is not active.");
    }
}
