using System.Globalization;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Profiling;

/// <summary>Profiles of the hot path's loads, as <c>bench hotpath</c> has them in one process.</summary>
internal static class HotPathProfile
{
    private const string Single = "hotpath";
    private const string Vectors = "hotpath-vectors";
    private const string Bare = "hotpath-bare";
    private const int Clients = 64;
    private const int Width = 64;

    /// <summary>The code is compiled for the last time before anything counts.</summary>
    private static readonly TimeSpan Warmth = TimeSpan.FromSeconds(8);

    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(1);

    public static readonly string[] Accepted = [Single, Vectors, Bare];

    /// <returns>The file that was written.</returns>
    public static async Task<string> WriteAsync(
        string what, TimeSpan duration, string folder, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(10, 100, Recording.Spooled, ct);
        var load = new HotPathLoad(fleet, Clients);
        Func<TimeSpan, Task<long>> run = what switch
        {
            Single => load.RecordedAsync,
            Vectors => slice => load.VectorAsync(slice, Width),
            _ => load.BareAsync,
        };
        await RunAsync(Warmth);
        var (profile, sampled, allocated) = await Profiler.TakeAsync(() => RunAsync(duration), ct);
        return await profile.WriteAsync(
            folder, what, string.Create(
                CultureInfo.InvariantCulture,
                $"{what}: {fleet.Devices.Count:N0} devices, {Clients} clients, one process, "
                + $"{(what is Bare ? "nothing behind the calls" : "recorded and checked")}; "
                + $"{BenchFile.Stamp}"),
            sampled, allocated, ct);

        // In slices, since the spool of a long round is large.
        Task<long> RunAsync(TimeSpan time) => Profiler.RepeatAsync(
            async () =>
            {
                var done = await run(Slice);
                fleet.Empty();
                return done;
            },
            time, ct);
    }
}
