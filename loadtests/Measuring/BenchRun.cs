using System.Diagnostics;
using System.Globalization;
using Fleet.LoadTests.Startup;

namespace Fleet.LoadTests.Measuring;

/// <summary>Runs benchmarks one after another, each within its time, and keeps what each line said at once.</summary>
/// <remarks>
/// A benchmark that is cut off, or that breaks, costs its own remaining lines and nothing else: the others run, and the
/// file has what was known. The bound is felt where a benchmark next looks at its token.
/// </remarks>
internal sealed class BenchRun(bool isQuick, string? path, bool isResumed)
{
    private readonly List<Line> _lines = [];
    private readonly BenchFile? _file = path is null ? null : BenchFile.ReadOrNew(path);

    /// <param name="named">Those to run; null for all that run unasked, quick ones within a bound for all.</param>
    /// <returns>False where one broke.</returns>
    public async Task<bool> RunAsync(IReadOnlyList<Benchmark>? named, CancellationToken ct)
    {
        var isSound = true;
        var began = Look.Now();
        var ends = isQuick && named is null ? BenchmarkList.QuickCourseMax : TimeSpan.MaxValue;
        var skipped = new List<string>();
        foreach (var benchmark in named ?? BenchmarkList.Unasked)
        {
            if (Stopwatch.GetElapsedTime(began.Timestamp) >= ends)
            {
                skipped.Add(benchmark.Name);
                continue;
            }

            if (isResumed && _file?.HasWhole(benchmark.Name, isQuick) == true)
            {
                await Console.Error.WriteLineAsync($"{benchmark.Name}: measured before, at this commit.");
                continue;
            }

            var isApart = benchmark.IsAlone && named is not [_];
            var isWhole = await RunAsync(benchmark, isApart, LimitOf(benchmark, named is not null, ends, began), ct);
            isSound &= isWhole;
        }

        Report.Print(_lines);
        if (skipped.Count > 0)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"skipped, since all have {ends.TotalSeconds:0} s together: {string.Join(", ", skipped)}"));
        }

        if (named is null)
        {
            Console.WriteLine("only when named: " + string.Join(
                ", ", BenchmarkList.All.Where(one => !one.IsUnasked).Select(one => one.Name)));
        }

        Console.WriteLine($"all: {Look.Now().Since(began)}");
        return isSound;
    }

    private TimeSpan LimitOf(Benchmark benchmark, bool isNamed, TimeSpan ends, Look began)
    {
        var left = ends - Stopwatch.GetElapsedTime(began.Timestamp);
        var own = benchmark.Max(isQuick) * (isQuick && isNamed ? BenchmarkList.NamedTimes : 1);
        return own < left ? own : left;
    }

    /// <param name="isApart">In a process of its own.</param>
    private async Task<bool> RunAsync(Benchmark benchmark, bool isApart, TimeSpan limit, CancellationToken ct)
    {
        if (!isQuick && benchmark.Prepare is { } prepare && !await PreparedAsync(benchmark, prepare, ct))
        {
            return false;
        }

        using var bound = CancellationTokenSource.CreateLinkedTokenSource(ct);
        bound.CancelAfter(limit);
        var began = Look.Now();
        var course = new BenchCourse(benchmark.Name, isQuick) { Outcome = BenchOutcome.CutOff };
        _file?.Begin(course);
        var outcome = BenchOutcome.Whole;
        var why = "";
        try
        {
            var lines = isApart
                ? OwnProcess.RunAsync(benchmark.Name, isQuick, bound.Token) : benchmark.Run(isQuick, bound.Token);
            await foreach (var line in lines.WithCancellation(bound.Token))
            {
                _lines.Add(line);
                Report.Tell(line);
                course.Lines.Add(line);
                course.Spent(Look.Now(), began);
                _file?.Write();
            }
        }
        catch (OperationCanceledException) when (bound.IsCancellationRequested && !ct.IsCancellationRequested)
        {
            outcome = BenchOutcome.CutOff;
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            (outcome, why) = (BenchOutcome.Broken, e.ToString());
        }

        course.Outcome = outcome;
        course.Spent(Look.Now(), began);
        _file?.Write();
        await Console.Out.WriteLineAsync(
            $"{benchmark.Name}: {Look.Now().Since(began)}{Said(outcome, limit)}{why}");
        return outcome is not BenchOutcome.Broken;
    }

    private static async Task<bool> PreparedAsync(
        Benchmark benchmark, Func<CancellationToken, Task> prepare, CancellationToken ct)
    {
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(ct);
        bound.CancelAfter(benchmark.PrepareMax);
        try
        {
            await prepare(bound.Token);
            return true;
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync($"{benchmark.Name}: not prepared, so not measured: {e.Message}");
            return false;
        }
    }

    private static string Said(BenchOutcome outcome, TimeSpan limit) => outcome switch
    {
        BenchOutcome.CutOff => string.Create(
            CultureInfo.InvariantCulture, $"; cut off after its {limit.TotalSeconds:N0} s: the rest is not measured"),
        BenchOutcome.Broken => "; BROKEN: ",
        _ => "",
    };
}

/// <summary>Times at one moment.</summary>
/// <param name="CpuSeconds">Of this process and of those that it started and that ended; a database server is not
/// among them.</param>
/// <param name="MachineCpuSeconds">Of everything that runs here.</param>
internal readonly record struct Look(long Timestamp, double CpuSeconds, double MachineCpuSeconds)
{
    public static Look Now() => new(
        Stopwatch.GetTimestamp(),
        Environment.CpuUsage.TotalTime.TotalSeconds + ProcessTimes.OfReapedChildren(),
        ProcessTimes.OfMachine());

    public string Since(Look began) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Stopwatch.GetElapsedTime(began.Timestamp, Timestamp).TotalSeconds:0.0} s, "
        + $"{CpuSeconds - began.CpuSeconds:0.0} CPU-s, {MachineCpuSeconds - began.MachineCpuSeconds:0.0} of the whole "
        + $"machine");
}
