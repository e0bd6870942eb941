using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Kernel.Judging;
using Fleet.LoadTests.Measuring;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Matrix;
using Fleet.Simulation.Museum;
using Fleet.Simulation.Replay;

namespace Fleet.LoadTests.Exploration;

/// <summary>How fast small worlds are explored, the matrix is produced and findings are shrunk.</summary>
/// <remarks>
/// Rates are per second of processor time of one exploration after the other; worlds are made anew for each. A rate is
/// that of the best of several slices of at least <see cref="SliceMin"/> of processor time, after the compiler has
/// done: what else runs on the machine takes caches and clock away, and only ever makes a slice slower.
/// </remarks>
internal static class ExploreBench
{
    public const string Name = "explore";

    /// <summary>Processor time after which the compiler has done with the procedures of a world.</summary>
    private static readonly TimeSpan Warmth = TimeSpan.FromSeconds(5);

    /// <summary>Of a quick one, which is in code of the first tier still.</summary>
    private static readonly TimeSpan QuickWarmth = TimeSpan.FromSeconds(0.5);

    /// <summary>Least processor time of one slice of a rate.</summary>
    private static readonly TimeSpan SliceMin = TimeSpan.FromSeconds(1);

    /// <summary>An unbind beside three clients: two hold and one allocates, or all allocate.</summary>
    private static readonly string[] FourActors = ["W1x4/b,a0,a1/u/f0/f1/a2", "W1x4/b/u/a0/a1/a2"];

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        await Task.CompletedTask;
        foreach (var line in Lines(isQuick))
        {
            ct.ThrowIfCancellationRequested();
            yield return line;
        }
    }

    private static IEnumerable<Line> Lines(bool isQuick)
    {
        var (warmth, slices) = isQuick ? (QuickWarmth, 1) : (Warmth, 5);
        foreach (var (scenario, profile, strategy) in ((string, string, Strategy)[])
            [("S2", "ALL", Strategy.Exhaustive), ("S8", "CLEAN", Strategy.SourceDpor),
                ("S18", "P0", Strategy.SourceDpor)])
        {
            foreach (var line in Rate(scenario, profile, strategy, warmth, slices))
            {
                yield return line;
            }
        }

        if (isQuick)
        {
            yield break;
        }

        foreach (var world in FourActors)
        {
            yield return Exhausting(world);
        }

        yield return Matrix();
        var shrinking = Shrinking().ToList();
        yield return shrinking.MaxBy(line => line.Figure)! with
        {
            What = $"shrinking a finding of the museum, the slowest of {shrinking.Count}",
            IsDetail = false,
        };
        foreach (var line in shrinking)
        {
            yield return line;
        }
    }

    private static IEnumerable<Line> Rate(
        string scenario, string profile, Strategy strategy, TimeSpan warmth, int slices)
    {
        var options = new ExploreOptions { Strategy = strategy, ChecksWrites = false };
        for (var warm = Environment.CpuUsage.TotalTime; Environment.CpuUsage.TotalTime - warm < warmth;)
        {
            Explorer.Run(scenario, profile, options with { SchedulesMax = 5_000 });
        }

        var (schedules, points, executed, exhausted) = (0.0, 0.0, 0.0, true);
        for (var i = 0; i < slices; i++)
        {
            var (inSlice, pointsInSlice, executedInSlice) = (0L, 0L, 0L);
            var cpu = Environment.CpuUsage.TotalTime;
            var used = TimeSpan.Zero;
            for (; used < SliceMin; used = Environment.CpuUsage.TotalTime - cpu)
            {
                var report = Explorer.Run(scenario, profile, options with { SchedulesMax = 200_000 });
                inSlice += report.Schedules;
                pointsInSlice += report.Points;
                executedInSlice += report.Executed;
                exhausted &= report.IsExhausted;
            }

            if (inSlice / used.TotalSeconds > schedules)
            {
                schedules = inSlice / used.TotalSeconds;
                points = pointsInSlice / used.TotalSeconds;
                executed = executedInSlice / used.TotalSeconds;
            }
        }

        var what = $"{scenario} {profile} {strategy}";
        var note = exhausted ? "exhausted each time" : "bounded";
        yield return new Line(
            Name, what, schedules, "schedules/CPU-s", null, null, null, null, null, "150,000", note);
        yield return new Line(
            Name, what, points, "points/CPU-s", null, null, null, null, null, "8,000,000",
            string.Create(
                CultureInfo.InvariantCulture, $"{points / schedules:F1} a schedule; {executed / schedules:F1} run"));
    }

    private static Line Matrix()
    {
        var cpu = Environment.CpuUsage.TotalTime;
        var report = MatrixRunner.Run(
            MatrixTable.Parse(MatrixTable.ShippedText()), MatrixTable.ShippedOverrules(), new ExploreOptions());
        return new Line(
            Name, "the whole matrix, writes checked", (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, "CPU-s",
            null, null, null, null, null, "60",
            string.Create(CultureInfo.InvariantCulture,
                $"{report.Cells.Count} cells, {report.Count(CellOutcome.Differs)} differ"));
    }

    private static Line Exhausting(string world)
    {
        var cpu = Environment.CpuUsage.TotalTime;
        var report = Explorer.Run(
            world, "CLEAN", new ExploreOptions { ChecksWrites = false, SchedulesMax = 500_000 });
        return new Line(
            Name, $"{world} CLEAN, four actors", (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, "CPU-s",
            null, null, null, null, null, "2",
            string.Create(CultureInfo.InvariantCulture,
                $"{report.Strategy}, {report.Schedules} schedules, {(report.IsExhausted ? "exhausted" : "bounded")}"));
    }

    private static IEnumerable<Line> Shrinking()
    {
        foreach (var entry in MuseumCatalog.All)
        {
            var (scenario, profile) = Explorer.Find(entry.Scenario, entry.BrokenProfile);
            var found = Explorer.Run(scenario, profile, new ExploreOptions { StopAt = RuleSet.Of(entry.Rule) });
            var cpu = Environment.CpuUsage.TotalTime;
            var shrunk = Shrinker.Shrink(scenario, profile, entry.Rule, found.First[entry.Rule]);
            yield return new Line(
                Name, $"shrinking {entry.Name}", (Environment.CpuUsage.TotalTime - cpu).TotalSeconds, "CPU-s",
                null, null, null, null, null, "10",
                string.Create(CultureInfo.InvariantCulture, $"{shrunk?.Steps} steps, {shrunk?.Switches} switches"))
            {
                IsDetail = true,
            };
        }
    }
}
