using System.Globalization;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.HotPath;

/// <summary>What each part of a single operation costs beside a bare call, in one process.</summary>
/// <remarks>
/// Each contender has one part more than another one, so that differences are parts. Agents alone are called without
/// Orleans, one after the other by one thread: over few devices from the caches, over many from memory.
/// </remarks>
internal static class HotPathParts
{
    public const string Name = "hotpath-parts";
    private const int Clients = 64;
    private const int Few = 16;
    private const int Many = 1000;

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(Many / 100, 100, Recording.Spooled, ct);
        await using var unseen = await MeasuredFleet.StartAsync(
            Many / 100, 100, Recording.Spooled, ct, isChecked: false);
        var (load, unseenLoad) = (new HotPathLoad(fleet, Clients), new HotPathLoad(unseen, Clients));
        var few = await BareAgents.BindAsync(Few, isChecked: false);
        var many = await BareAgents.BindAsync(Many, isChecked: false);
        var watched = await BareAgents.BindAsync(Many, isChecked: true);
        var compared = await Interleaved.RunAsync(
            Name,
            new("bare calls, same records", load.BareAsync),
            [
                new("bare calls, recorded", load.BareRecordedAsync) { AfterRound = fleet.Empty },
                new("bare calls, recorded and read back", d => ReadAsync(fleet, load.BareRecordedAsync(d))),
                new("devices", unseenLoad.UnrecordedAsync),
                new("devices, checked", load.UnrecordedAsync),
                new("devices, checked, recorded", load.RecordedAsync) { AfterRound = fleet.Empty },
                new("agents alone, 16 devices", few.RunAsync),
                new("agents alone, 1,000 devices", many.RunAsync),
                new("agents alone, 1,000 devices, checked", watched.RunAsync),
            ],
            warmUp: TimeSpan.FromSeconds(isQuick ? 1 : 3),
            round: TimeSpan.FromSeconds(isQuick ? 0.3 : 0.4),
            rounds: isQuick ? 3 : 15,
            ct: ct);
        return [.. compared.Select(one => Line.Of(one, "", Nanoseconds(one)))];
    }

    private static async Task<long> ReadAsync(MeasuredFleet fleet, Task<long> round)
    {
        var operations = await round;
        fleet.Empty();
        return operations;
    }

    private static string Nanoseconds(Comparison comparison)
    {
        var beyond = comparison.Rounds.Zip(
            comparison.FloorRounds, (own, floor) => (1e9 / own.PerCpuSecond) - (1e9 / floor.PerCpuSecond)).ToArray();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"= {1e9 / comparison.Figure:0} ns an operation, {Comparison.Median(beyond):0} beyond the floor's "
            + $"({beyond.Min():0} to {beyond.Max():0})");
    }
}
