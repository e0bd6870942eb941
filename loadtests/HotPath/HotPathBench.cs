using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.HotPath;

/// <summary>The hot path of one process against bare calls, and the vector form of 64.</summary>
internal static class HotPathBench
{
    public const string Name = "hotpath";
    private const int Clients = 64;

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(hosts: 10, devicesPerHost: 100, ct);
        var load = new HotPathLoad(fleet, Clients);
        var compared = await Interleaved.RunAsync(
            Name,
            new Contender("bare calls, same records", load.BareAsync),
            [
                new Contender("alloc, access, free: recorded, stored, checked", load.RecordedAsync),
                new Contender("vectors of 64: recorded, stored, checked", duration => load.VectorAsync(duration, 64)),
            ],
            warmUp: TimeSpan.FromSeconds(isQuick ? 4 : 10),
            round: TimeSpan.FromSeconds(isQuick ? 2 : 5),
            rounds: isQuick ? 3 : 7);
        return
        [
            Line.Of(compared[0], "at least 0.5", $"{Clients} clients, {fleet.Devices.Count} devices"),
            Line.Of(compared[1], "at least 3", $"{Clients} clients, {fleet.Devices.Count} devices"),
        ];
    }
}
