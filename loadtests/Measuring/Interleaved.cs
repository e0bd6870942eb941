using System.Diagnostics;

namespace Fleet.LoadTests.Measuring;

/// <summary>Runs contenders in turns, so that what else the machine does hits all of them alike.</summary>
/// <remarks>Each is warmed up first, and that round is thrown away. Nothing is asserted: figures are printed.</remarks>
internal static class Interleaved
{
    /// <param name="benchmark">Name of the benchmark, as the command line has it.</param>
    /// <param name="floor">What every other contender is compared with.</param>
    /// <param name="warmUp">Time each contender runs before anything counts.</param>
    /// <param name="round">Time of one counted round.</param>
    /// <param name="rounds">Counted rounds of each contender.</param>
    public static async Task<IReadOnlyList<Comparison>> RunAsync(
        string benchmark, Contender floor, IReadOnlyList<Contender> contenders, TimeSpan warmUp,
        TimeSpan round, int rounds)
    {
        Contender[] all = [floor, .. contenders];
        var measured = all.Select(_ => new List<Round>()).ToArray();
        foreach (var one in all)
        {
            await one.RunAsync(warmUp);
            one.AfterRound?.Invoke();
        }

        for (var i = 0; i < rounds; i++)
        {
            for (var c = 0; c < all.Length; c++)
            {
                measured[c].Add(await MeasureAsync(all[c], round));
                all[c].AfterRound?.Invoke();
            }
        }

        return [.. contenders.Select(
            (one, i) => new Comparison(benchmark, one.Name, floor.Name, measured[i + 1], measured[0]))];
    }

    private static async Task<Round> MeasureAsync(Contender contender, TimeSpan duration)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var allocated = GC.GetTotalAllocatedBytes();
        var cpu = Environment.CpuUsage.TotalTime;
        var wall = Stopwatch.GetTimestamp();
        var operations = await contender.RunAsync(duration);
        return new(
            operations, (Environment.CpuUsage.TotalTime - cpu).TotalSeconds,
            Stopwatch.GetElapsedTime(wall).TotalSeconds,
            GC.GetTotalAllocatedBytes() - allocated);
    }
}
