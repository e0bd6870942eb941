using System.Globalization;
using Fleet.LoadTests.Cold;
using Fleet.LoadTests.HotPath;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Profiling;

/// <summary>Profiles of activating and binding devices, and of as many empty grains, as <c>bench cold</c> has
/// them.</summary>
internal static class ColdProfile
{
    private const string Bound = "cold";
    private const string Bare = "cold-bare";

    private const int Hosts = 5;

    /// <summary>The code is compiled for the last time before anything counts.</summary>
    private static readonly TimeSpan Warmth = TimeSpan.FromSeconds(8);

    public static readonly string[] Accepted = [Bound, Bare];

    /// <returns>The file that was written.</returns>
    public static async Task<string> WriteAsync(
        string what, TimeSpan duration, string folder, CancellationToken ct)
    {
        await using var fleet = await MeasuredFleet.StartAsync(1, ColdBench.DevicesPerHost, Recording.Spooled, ct);
        var slices = 0;
        await RunAsync(Warmth);
        var (profile, sampled, allocated) = await Profiler.TakeAsync(() => RunAsync(duration), ct);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        var last = await SliceAsync();
        var spent = GC.GetTotalAllocatedBytes(precise: true) - before;
        var title = string.Create(
            CultureInfo.InvariantCulture,
            $"{what}: devices {(what is Bare ? "as three empty grains each" : "activated and bound")}, one process; "
            + $"{BenchFile.Stamp}\n"
            + $"{(double)spent / last:N0} bytes are allocated for one device.");
        return await profile.WriteAsync(folder, what, title, sampled, allocated, ct);

        Task<long> RunAsync(TimeSpan time) => Profiler.RepeatAsync(SliceAsync, time, ct);

        async Task<long> SliceAsync()
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"p{slices++}");
            await (what is Bare
                ? ColdBench.ActivateAsync(fleet, name, Hosts) : ColdBench.BuildAsync(fleet, name, Hosts));
            return Hosts * ColdBench.DevicesPerHost;
        }
    }
}
