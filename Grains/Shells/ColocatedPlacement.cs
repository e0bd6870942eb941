using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Fleet.Grains.Shells;

/// <summary>
/// Puts everything with the same <c>host/bdf</c> on one silo, so that a device's own calls are local.
/// </summary>
/// <remarks>
/// A local hop costs about a quarter of a remote one. Wait until all silos are active before a fleet is built.
/// </remarks>
[GenerateSerializer, Immutable, Alias("fleet.ColocatedPlacement")]
public sealed class ColocatedPlacement : PlacementStrategy
{
    internal static readonly ColocatedPlacement Instance = new();
}

[AttributeUsage(AttributeTargets.Class)]
internal sealed class ColocatedPlacementAttribute() : PlacementAttribute(ColocatedPlacement.Instance);

/// <summary>Hashes the first two parts of a key over the silos in the order of their addresses.</summary>
public sealed class ColocatedPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(
        PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        if (silos.Length == 1)
        {
            return Task.FromResult(silos[0]);
        }

        Array.Sort(silos);

        // Only the messages that build a run carry the wish, so it is those that place its grains. What is activated
        // again after its silo died is placed with its device.
        var bucket = (target.RequestContextData?.ContainsKey(SpreadKey) is true
            ? target.GrainIdentity.GetUniformHashCode() : Hash(target.GrainIdentity.Key.AsSpan()))
            % (uint)silos.Length;
        return Task.FromResult(silos[bucket]);
    }

    /// <summary>In the request context of a run that wants each object of a device on a silo of its own.</summary>
    internal const string SpreadKey = "fleet.spread";

    /// <summary>FNV-1a of a key up to its second slash: equal in every process and version.</summary>
    internal static uint Hash(ReadOnlySpan<byte> key)
    {
        var hash = 2166136261u;
        var slashes = 0;
        foreach (var one in key)
        {
            if (one == '/' && ++slashes == 2)
            {
                break;
            }

            hash = unchecked((hash ^ one) * 16777619u);
        }

        return hash;
    }
}
