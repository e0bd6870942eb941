using System.Diagnostics;

namespace Fleet.LoadTests.Measuring;

/// <summary>Runs contenders in turns, so that what else the machine does hits all of them alike.</summary>
/// <remarks>
/// Each is warmed up first, and that round is thrown away; where it is asked for, until the compiler has little left to
/// do, since code of the first tiers costs three times what it does in the end. Times are processor times: on a machine
/// that does other things a round takes longer, and measures as much. Nothing is asserted: figures are printed.
/// </remarks>
internal static class Interleaved
{
    /// <summary>A round on a machine that gives no more than this share of a core ends early.</summary>
    private const double WallTimesMax = 12;

    /// <summary>What is as good as the whole of a round's processor time.</summary>
    private const double Enough = 0.8;

    /// <summary>Rounds by which a contender is found to be warm are as long at least: between shorter ones the compiler
    /// pauses.</summary>
    private static readonly TimeSpan SteadyRound = TimeSpan.FromSeconds(1.5);

    /// <param name="benchmark">Name of the benchmark, as the command line has it.</param>
    /// <param name="floor">What every other contender is compared with.</param>
    /// <param name="warmUp">Processor time that each contender runs before anything counts.</param>
    /// <param name="round">Processor time of one counted round, at least.</param>
    /// <param name="rounds">Counted rounds of each contender.</param>
    /// <param name="others">What other processes with a part in it have used so far; null for none.</param>
    /// <param name="wallTimesMax">How much longer than its processor time a round may take, where it mostly
    /// waits.</param>
    /// <param name="steadyMax">Processor time that a contender may run besides until it is warm; zero for as warm as it
    /// is then.</param>
    /// <param name="ct">When it comes, the rounds that all contenders have count.</param>
    /// <exception cref="OperationCanceledException">There is no such round yet.</exception>
    public static async Task<IReadOnlyList<Comparison>> RunAsync(
        string benchmark, Contender floor, IReadOnlyList<Contender> contenders, TimeSpan warmUp,
        TimeSpan round, int rounds, Func<Task<Use>>? others = null,
        double wallTimesMax = WallTimesMax, TimeSpan steadyMax = default, CancellationToken ct = default)
    {
        Contender[] all = [floor, .. contenders];
        var measured = all.Select(_ => new List<Round>()).ToArray();
        foreach (var one in all)
        {
            ct.ThrowIfCancellationRequested();
            await MeasureAsync(one, warmUp, others, wallTimesMax);
            one.AfterRound?.Invoke();
            await SteadyAsync(one, round > SteadyRound ? round : SteadyRound, others, wallTimesMax, steadyMax, ct);
        }

        for (var i = 0; i < rounds && !(ct.IsCancellationRequested && i > 0); i++)
        {
            ct.ThrowIfCancellationRequested();
            for (var c = 0; c < all.Length; c++)
            {
                measured[c].Add(await MeasureAsync(all[c], round, others, wallTimesMax));
                all[c].AfterRound?.Invoke();
            }
        }

        return [.. contenders.Select(
            (one, i) => new Comparison(benchmark, one.Name, floor.Name, measured[i + 1], measured[0]))];
    }

    /// <summary>Runs rounds that do not count until one has next to nothing compiled in this process.</summary>
    private static async Task SteadyAsync(
        Contender one, TimeSpan round, Func<Task<Use>>? others, double wallTimesMax, TimeSpan max, CancellationToken ct)
    {
        var used = 0.0;
        var isWarm = false;
        while (!isWarm && used < max.TotalSeconds && !ct.IsCancellationRequested)
        {
            var compiling = Compiling.Start();
            var ran = await MeasureAsync(one, round, others, wallTimesMax);
            one.AfterRound?.Invoke();
            isWarm = compiling.IsLittle;
            used += ran.CpuSeconds + ran.Others.CpuSeconds;
        }
    }

    private static async Task<Round> MeasureAsync(
        Contender contender, TimeSpan duration, Func<Task<Use>>? others, double wallTimesMax)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = others is null ? default : await others();
        var own = Use.OfThisProcess;
        var wall = Stopwatch.GetTimestamp();
        var operations = 0L;
        Use used, usedByOthers;
        do
        {
            var ran = await contender.RunAsync(duration);
            operations += ran;
            used = Use.OfThisProcess - own;
            usedByOthers = others is null ? default : await others() - before;
        }
        while (used.CpuSeconds + usedByOthers.CpuSeconds < Enough * duration.TotalSeconds
            && Stopwatch.GetElapsedTime(wall) < wallTimesMax * duration);

        return new(
            operations, used.CpuSeconds, Stopwatch.GetElapsedTime(wall).TotalSeconds, used.AllocatedBytes,
            usedByOthers);
    }
}
