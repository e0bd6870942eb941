using System.Runtime.CompilerServices;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Tests;

[Trait("tier", "fast")]
public sealed class BenchRunTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"fleet-bench-{Guid.NewGuid():N}.json");

    public void Dispose() => File.Delete(_file);

    [Fact]
    public async Task What_is_cut_off_keeps_its_lines_and_the_next_one_runs()
    {
        Benchmark[] all =
        [
            Of("endless", TimeSpan.FromMilliseconds(1), EndlessAsync), Of("short", TimeSpan.FromMinutes(5), ShortAsync),
        ];
        Assert.True(await new BenchRun(isQuick: false, _file, isResumed: false).RunAsync(all, default));
        var courses = BenchFile.Read(_file).Courses;
        Assert.Equal([BenchOutcome.CutOff, BenchOutcome.Whole], courses.Select(course => course.Outcome));
        Assert.All(courses, course => Assert.Equal("told", Assert.Single(course.Lines).What));
    }

    [Fact]
    public async Task What_cannot_be_prepared_is_not_measured_and_says_so()
    {
        var unprepared = Of("short", TimeSpan.FromMinutes(5), ShortAsync) with
        {
            Prepare = _ => throw new InvalidOperationException("no compiler"),
            PrepareMax = TimeSpan.FromMinutes(5),
        };
        Assert.False(await new BenchRun(isQuick: false, _file, isResumed: false).RunAsync([unprepared], default));
        Assert.True(await new BenchRun(isQuick: true, _file, isResumed: false).RunAsync([unprepared], default));
    }

    private static Benchmark Of(
        string name, TimeSpan max, Func<bool, CancellationToken, IAsyncEnumerable<Line>> run) =>
        new(name, "a test", TimeSpan.FromMinutes(5), max, run);

    private static async IAsyncEnumerable<Line> EndlessAsync(
        bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        yield return Told();
        await Task.Delay(Timeout.Infinite, ct);
    }

    private static async IAsyncEnumerable<Line> ShortAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        await Task.Yield();
        yield return Told();
    }

    private static Line Told() => new("test", "told", 1, "s", null, null, null, null, null, "", "");
}
