using Fleet.Grains;
using Orleans.Runtime;

namespace Fleet.Client.Cluster;

/// <summary>Tells which devices are on a silo, by asking it.</summary>
/// <param name="keys">Of the fleet's devices, in its order; at least one.</param>
internal sealed class SiloDevices(IGrainFactory grains, IReadOnlyList<string> keys)
{
    private readonly Dictionary<string, int> _places = keys.Index()
        .ToDictionary(key => key.Item, key => key.Index, StringComparer.Ordinal);

    private readonly GrainType _type = grains.GetGrain<IPciDeviceGrain>(keys[0]).GetGrainId().Type;

    /// <param name="through">The client that carries the question; null for the one given at first.</param>
    /// <returns>Places in the fleet; none when the silo does not answer in time.</returns>
    public async Task<IReadOnlyCollection<int>> OnAsync(string silo, TimeSpan patience, IGrainFactory? through = null)
    {
        try
        {
            var asked = (through ?? grains).GetGrain<IManagementGrain>(0)
                .GetDetailedGrainStatistics(null, [SiloAddress.FromParsableString(silo)]);
            return [.. (await asked.WaitAsync(patience)).Where(grain => grain.GrainId.Type == _type)
                .Select(grain => _places.GetValueOrDefault(grain.GrainId.Key.ToString()!, -1))
                .Where(place => place >= 0).Distinct()];
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            return [];
        }
    }
}
