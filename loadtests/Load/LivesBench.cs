using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Client.Load;
using Fleet.Grains;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Wire;

namespace Fleet.LoadTests.Load;

/// <summary>What is still held once a life of a device, or an operation, is over: a soak of days has many.</summary>
/// <remarks>Bytes after a full collection, and the least-squares line through several such readings.</remarks>
internal static class LivesBench
{
    public const string Name = "lives";

    private const int Devices = 100;

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var rounds = isQuick ? RobustSlope.BlocksMin : 12;
        foreach (var recording in new[] { Recording.Spooled, Recording.Stored })
        {
            await using var fleet = await MeasuredFleet.StartAsync(1, Devices, recording, ct);
            var devices = fleet.Devices.Select(device => fleet.Grains.GetGrain<IPciDeviceGrain>(device.Key)).ToList();
            yield return await MeasureAsync(
                fleet, $"a life, {recording}", rounds, isQuick ? 500 : 5_000, "256 B",
                count => LiveAsync(devices, count), ct);
            yield return await MeasureAsync(
                fleet, $"an operation, {recording}", rounds, isQuick ? 20_000 : 200_000, "0 B",
                count => OperateAsync(fleet, devices, count), ct);
            yield return await MeasureAsync(
                fleet, $"an operation that arrives by a schedule, {recording}", rounds, isQuick ? 20_000 : 200_000,
                "0 B", count => ArriveAsync(fleet, devices, count), ct);
        }
    }

    private static async Task<Line> MeasureAsync(
        MeasuredFleet fleet, string what, int rounds, int perRound, string aim, Func<int, Task> run,
        CancellationToken ct)
    {
        await run(perRound);
        var samples = new List<(double, double)>();
        var resident = new List<(double, double)>();
        var names = fleet.Objects.LastId;
        for (var round = 0; round < rounds; round++)
        {
            ct.ThrowIfCancellationRequested();
            await run(perRound);
            fleet.Empty();
            GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            var done = (round + 1.0) * perRound;
            samples.Add((done, GC.GetTotalMemory(forceFullCollection: true)));
            resident.Add((done, ResourceWatch.PrivateBytes() ?? 0));
        }

        return new Line(
            Name, what, RobustSlope.Of(samples)!.Value.PerSecond, "B held", null, null, null, null, null, aim,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{rounds * perRound:N0} of them; {(fleet.Objects.LastId - names) / ((double)rounds * perRound):0.00} "
                + $"names each; resident {RobustSlope.Of(resident)!.Value.PerSecond:N0} B each; heap "
                + $"{samples[0].Item2 / 1048576:N1} to {samples[^1].Item2 / 1048576:N1} MiB"));
    }

    private static async Task LiveAsync(List<IPciDeviceGrain> devices, int count)
    {
        for (var done = 0; done < count; done += devices.Count)
        {
            await Task.WhenAll(devices.Select(async device =>
            {
                await EndAsync(device, await device.Unbind(0));
                await EndAsync(device, await device.Bind(0));
            }));
        }
    }

    private static async Task EndAsync(IPciDeviceGrain device, TicketReply reply)
    {
        while (!reply.IsDone)
            reply = await device.AwaitTicket(reply.Ticket);
    }

    /// <summary>As an open load sends: who is due is woken by a thread that does nothing else.</summary>
    private static async Task ArriveAsync(MeasuredFleet fleet, List<IPciDeviceGrain> devices, int count)
    {
        const int Each = 2;
        const long ApartNs = 300_000;
        var clock = new LoadClock();
        using var pacer = new ArrivalPacer(clock);
        var phase = clock.Current;
        await Task.WhenAll(devices.Select(async device =>
        {
            var wait = new PacedWait();
            for (var done = 0; done < count; done += devices.Count * Each)
            {
                await pacer.WaitAsync(wait, MonotonicNs.Now + ApartNs, phase);
                var held = await device.Alloc(new(0, fleet.Session, 4096));
                await pacer.WaitAsync(wait, MonotonicNs.Now + ApartNs, phase);
                await device.Free(new(0, fleet.Session, held.At.Gen, held.Number, held.Address, 4096));
            }
        }));
    }

    private static async Task OperateAsync(MeasuredFleet fleet, List<IPciDeviceGrain> devices, int count)
    {
        const int Each = 2;
        for (var done = 0; done < count; done += devices.Count * Each)
        {
            await Task.WhenAll(devices.Select(async device =>
            {
                var held = await device.Alloc(new(0, fleet.Session, 4096));
                await device.Free(new(0, fleet.Session, held.At.Gen, held.Number, held.Address, 4096));
            }));
        }
    }
}
