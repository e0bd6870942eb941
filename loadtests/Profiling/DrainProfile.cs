using System.Globalization;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Storage;

namespace Fleet.LoadTests.Profiling;

/// <summary>A profile of storing full spools in DuckDB, as <c>bench drain</c> has them.</summary>
/// <remarks>DuckDB is native code, of which the event pipe sees nothing: the whole cost stands above it.</remarks>
internal static class DrainProfile
{
    public const string Name = "drain";

    /// <summary>The code is compiled for the last time before anything counts.</summary>
    private static readonly TimeSpan Warmth = TimeSpan.FromSeconds(8);

    /// <returns>The file that was written.</returns>
    public static async Task<string> WriteAsync(TimeSpan duration, string folder, CancellationToken ct)
    {
        using var spooled = new SpooledHistory();
        await StoreAsync(Warmth);
        var alone = await spooled.StoreAsync(ct);
        var (profile, sampled, allocated) = await Profiler.TakeAsync(() => StoreAsync(duration), ct);
        var title = string.Create(
            CultureInfo.InvariantCulture,
            $"{Name}: a full spool stored in DuckDB; {BenchFile.Stamp}\n"
            + $"An operation costs {1e9 * alone.CpuSeconds / alone.Operations:N0} ns of CPU, native code included.");
        return await profile.WriteAsync(folder, Name, title, sampled, allocated, ct);

        Task<long> StoreAsync(TimeSpan time) =>
            Profiler.RepeatAsync(async () => (await spooled.StoreAsync(ct)).Operations, time, ct);
    }
}
