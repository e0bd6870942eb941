using Fleet.Client.Load;
using Fleet.Grains;
using Orleans.Runtime;

namespace Fleet.Client.Faults;

/// <summary>Tells which devices are on a silo, by asking it.</summary>
internal sealed class SiloDevices(IGrainFactory grains, LoadFleet fleet)
{
    private readonly Dictionary<string, int> _places = fleet.Devices.Index()
        .ToDictionary(device => device.Item.Key, device => device.Index, StringComparer.Ordinal);

    private readonly GrainType _type = grains.GetGrain<IPciDeviceGrain>(fleet.Devices[0].Key).GetGrainId().Type;

    /// <returns>Places in the fleet; none when the silo does not answer in time.</returns>
    public async Task<IReadOnlyCollection<int>> OnAsync(string silo, TimeSpan patience)
    {
        try
        {
            var asked = grains.GetGrain<IManagementGrain>(0)
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
