using System.Diagnostics;
using System.Globalization;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.HotPath;

/// <summary>What a bound, idle device holds: three grains, their agents, their names, their observers.</summary>
internal static class MemoryBench
{
    public const string Name = "memory";

    private const int LooksMax = 20;
    private const long Steady = 64 << 10;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var hosts = isQuick ? 40 : 1000;
        const int DevicesPerHost = 100;
        long before;
        await using (var empty = await MeasuredFleet.StartAsync(1, 1, Recording.Stored, ct))
        {
            before = await SettledAsync(ct);
        }

        var started = Stopwatch.GetTimestamp();
        var cpu = Environment.CpuUsage.TotalTime;
        await using var fleet = await MeasuredFleet.StartAsync(hosts, DevicesPerHost, Recording.Stored, ct);
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        var devices = fleet.Devices.Count;
        await fleet.IdleAsync(ct);
        var held = await SettledAsync(ct) - before;
        using var process = Process.GetCurrentProcess();
        return
        [
            new Line(
                Name, $"{devices:N0} bound idle devices", (double)held / devices, "B/device", null, null, null, null,
                null, "8 KiB",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"bound in {seconds:0.0} s ({devices / seconds:N0} devices/s, {devices / cpuSeconds:N0} per "
                    + $"CPU-s); resident {process.WorkingSet64 >> 20} MiB")),
        ];
    }

    /// <summary>The heap once it stops shrinking: what ran in this process before is given up by and by.</summary>
    private static async Task<long> SettledAsync(CancellationToken ct)
    {
        var held = GC.GetTotalMemory(forceFullCollection: true);
        for (var look = 0; look < LooksMax; look++)
        {
            await Task.Delay(Pause, ct);
            var now = GC.GetTotalMemory(forceFullCollection: true);
            if (now > held - Steady)
            {
                return now;
            }

            held = now;
        }

        return held;
    }
}
