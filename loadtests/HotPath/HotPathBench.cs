using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.HotPath;

/// <summary>The hot path of one process against bare calls, and the vector form of 64.</summary>
internal static class HotPathBench
{
    public const string Name = "hotpath";
    private const int Clients = 64;

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct) =>
    [
        .. await RunAsync(Recording.Spooled, "recorded, checked", "at least 0.5", "at least 3", isQuick, ct),
        .. await RunAsync(Recording.Stored, "recorded, checked, stored", "", "", isQuick, ct),
    ];

    private static async Task<IReadOnlyList<Line>> RunAsync(
        Recording recording, string what, string aimSingle, string aimVector, bool isQuick, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(hosts: 10, devicesPerHost: 100, recording, ct);
        var load = new HotPathLoad(fleet, Clients);
        var compared = await Interleaved.RunAsync(
            Name,
            new Contender("bare calls, same records", load.BareAsync),
            [
                new Contender($"alloc, access, free: {what}", load.RecordedAsync) { AfterRound = fleet.Empty },
                new Contender($"vectors of 64: {what}", duration => load.VectorAsync(duration, 64))
                {
                    AfterRound = fleet.Empty,
                },
            ],
            warmUp: TimeSpan.FromSeconds(isQuick ? 3 : 8),
            round: TimeSpan.FromSeconds(isQuick ? 1.5 : 4),
            rounds: isQuick ? 3 : 5);
        return
        [
            Line.Of(compared[0], aimSingle, $"{Clients} clients, {fleet.Devices.Count} devices"),
            Line.Of(compared[1], aimVector, $"{Clients} clients, {fleet.Devices.Count} devices"),
        ];
    }
}
