using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Wire;
using Fleet.Storage.Server;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Fleet.LoadTests.HotPath;

/// <summary>Where the hot path is measured, and what it is meant to reach there.</summary>
/// <param name="Short">Ends its benchmark's name.</param>
/// <param name="Silos">Processes of their own; 0 for one in this process.</param>
internal sealed record HotPathPlace(
    string Short, Recording Recording, int Silos, string What, string AimSingle, string AimVector)
{
    public string Name => $"{HotPathBench.Name}-{Short}";
}

/// <summary>The hot path against bare calls, in one process and over loopback TCP, singly and 64 in a call.</summary>
internal static class HotPathBench
{
    public const string Name = "hotpath";
    private const int Clients = 64;
    private const int TcpClients = 256;

    /// <summary>Of a round whose rows are stored: enough for batches as large as those of a run.</summary>
    private const double StoredSeconds = 2.5;

    /// <summary>
    /// Rounds of a place without a store: many short ones, since rounds of the same contender differ by half on the two
    /// shared cores, and the median of five of them by a tenth from one run to the next.
    /// </summary>
    private const int ShortRounds = 15;
    private const double ShortSeconds = 0.5;

    /// <summary>Beyond the first 5 CPU-seconds, for the compiler's last tier.</summary>
    private static readonly TimeSpan SteadyMax = TimeSpan.FromSeconds(15);

    /// <summary>Each can be measured alone, by its name.</summary>
    public static IReadOnlyList<HotPathPlace> Places { get; } =
    [
        new("local", Recording.Spooled, 0, "recorded, checked", "0.85", "5"),
        new("stored", Recording.Stored, 0, "recorded, checked, stored", "0.70", ""),
        new("tcp", Recording.Spooled, 1, "recorded, checked, over TCP to one silo", "0.95", "12"),
        new("tcp-2", Recording.Spooled, 2, "recorded, checked, over TCP to two silos", "0.95", "12"),
        new(
            "postgres", Recording.StoredInPostgres, 1, "recorded, checked, in PostgreSQL, over TCP to one silo",
            "0.85", ""),
        new(
            "postgres-2", Recording.StoredInPostgres, 2, "recorded, checked, in PostgreSQL, over TCP to two silos",
            "0.85", ""),
    ];

    public static IAsyncEnumerable<Line> RunAsync(bool isQuick, CancellationToken ct) =>
        MeasureAsync(Name, Places, isQuick, ct);

    public static IAsyncEnumerable<Line> PlaceAsync(HotPathPlace place, bool isQuick, CancellationToken ct) =>
        MeasureAsync(place.Name, [place], isQuick, ct);

    private static async IAsyncEnumerable<Line> MeasureAsync(
        string name, IReadOnlyList<HotPathPlace> places, bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var isFirst = places.Count > 1;
        foreach (var (_, recording, silos, what, aimSingle, aimVector) in places)
        {
            if (isQuick && silos > 1 && places.Count > 1)
            {
                await Console.Error.WriteLineAsync($"{what}: not in a quick round.");
                continue;
            }

            if (recording is Recording.StoredInPostgres && PrivateServer.FindBinaries() is null)
            {
                await Console.Error.WriteLineAsync($"{what}: not measured, there is no PostgreSQL here.");
                continue;
            }

            ct.ThrowIfCancellationRequested();
            await using var fleet = await MeasuredFleet.StartAsync(10, 100, recording, ct, silos);
            var clients = silos == 0 ? Clients : TcpClients;
            var load = new HotPathLoad(fleet, clients);
            var bare = new Contender("bare calls, same records", load.BareAsync);

            // An empty grain lives where its first call arrives, so no call of it hops; the generator's calls do not
            // either. Beside them, what hops: calls through one client, of devices and of empty grains placed alike.
            var hasHops = silos > 1 && recording is Recording.Spooled;
            var overOne = hasHops ? load.RecordedThrough(fleet.Grains) : null;
            Contender[] own =
            [
                new($"alloc, access, free: {what}", d => StoredAsync(fleet, load.RecordedAsync(d)))
                {
                    AfterRound = fleet.Empty,
                },
                new($"vectors of 64: {what}", d => StoredAsync(fleet, load.VectorAsync(d, 64)))
                {
                    AfterRound = fleet.Empty,
                },
            ];
            var compared = await Interleaved.RunAsync(
                name,
                bare,
                overOne is null ? own :
                [
                    .. own,
                    new("bare calls that hop as those through one client", load.PlacedBareAsync),
                    new($"alloc, access, free: {what}, through one client", overOne)
                    {
                        AfterRound = fleet.Empty,
                    },
                ],
                warmUp: TimeSpan.FromSeconds(isQuick ? 1 : 5),
                round: TimeSpan.FromSeconds(
                    isQuick ? 0.4 : recording is Recording.Spooled ? ShortSeconds : StoredSeconds),
                rounds: isQuick ? 3 : recording is Recording.Spooled ? ShortRounds : 5,
                fleet.UseOfOthers,
                steadyMax: isQuick ? TimeSpan.Zero : SteadyMax,
                ct: ct);
            var notes = $"{clients} clients, {fleet.Devices.Count} devices";
            yield return Line.Of(compared[0], aimSingle, notes);
            yield return Line.Of(compared[1], aimVector, notes);
            if (overOne is not null)
            {
                var slice = TimeSpan.FromSeconds(0.5);
                var hops = await fleet.HopsAsync(() => load.RecordedAsync(slice));
                var alikeHops = await fleet.HopsAsync(() => load.PlacedBareAsync(slice));
                var bareHops = await fleet.HopsAsync(() => load.BareAsync(slice));
                var overOneHops = await fleet.HopsAsync(() => overOne(slice));
                fleet.Empty();
                yield return Line.Of(compared[2], "", Hops(alikeHops, bareHops));
                yield return Line.Of(
                    compared[3] with { Floor = compared[2].Contender, FloorRounds = compared[2].Rounds }, "",
                    $"{Hops(overOneHops, alikeHops)}; through a client for each silo {hops:0.00}");
            }

            if (isFirst)
            {
                yield return WireBytes(fleet.Grains.ServiceProvider.GetRequiredService<Serializer>());
            }

            isFirst = false;
        }
    }

    private static string Hops(double own, double floor) => string.Create(
        CultureInfo.InvariantCulture, $"{own:0.00} messages between silos an operation against {floor:0.00}");

    /// <summary>A round is over when what it recorded is stored, where a store takes it.</summary>
    private static async Task<long> StoredAsync(MeasuredFleet fleet, Task<long> round)
    {
        var operations = await round;
        await fleet.StoredAsync();
        return operations;
    }

    /// <summary>The hot records as they travel between processes, without the message around them.</summary>
    private static Line WireBytes(Serializer serializer)
    {
        // Numbers as they are after an hour of load, since small ones travel in fewer bytes.
        const long Number = 100_000_000;
        const ulong Address = 0x40_0000_0000;
        var at = new At(1, Number / 1000, 3);
        var alloc = serializer.SerializeToArray(new AllocRequest(Number, 70, 4096, 2000, 1)).Length;
        var allocated = serializer.SerializeToArray(
            new AllocReply(Errno.OK, at, Number / 1000, Address, 0, 0)).Length;
        var access = serializer.SerializeToArray(new AccessRequest(
            Number, 70, 1, Number / 1000, Address >> 12, 1, AccessDirection.Write, AccessVia.Dma, ulong.MaxValue / 3,
            2000)).Length;
        var accessed = serializer.SerializeToArray(new AccessReply(Errno.OK, at, ulong.MaxValue / 3)).Length;
        var free = serializer.SerializeToArray(
            new FreeRequest(Number, 70, 1, Number / 1000, Address, 4096, 2000)).Length;
        var freed = serializer.SerializeToArray(new FreeReply(Errno.OK, at, 0)).Length;
        return new(
            Name, "wire records of alloc, access and free", alloc + allocated + access + accessed + free + freed, "B",
            null, null, null, null, null, "",
            $"request and reply: alloc {alloc} and {allocated}, access {access} and {accessed}, free {free} and "
            + $"{freed}; without the message around them");
    }
}
