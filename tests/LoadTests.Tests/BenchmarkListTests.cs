using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Scaling;
using Fleet.Tests;

namespace Fleet.LoadTests.Tests;

[Trait("tier", "fast")]
public sealed class BenchmarkListTests
{
    [Fact]
    public void Quick_forms_of_a_whole_round_have_no_more_than_three_minutes_together()
    {
        var sum = BenchmarkList.Unasked.Aggregate(TimeSpan.Zero, (sum, one) => sum + one.QuickMax);
        Assert.True(sum <= BenchmarkList.QuickCourseMax, $"{sum.TotalSeconds} s");
        Assert.Equal(TimeSpan.FromSeconds(180), BenchmarkList.QuickCourseMax);
    }

    [Fact]
    public void Every_benchmark_has_a_name_of_its_own_bounds_and_words()
    {
        Assert.Equal(BenchmarkList.All.Count, BenchmarkList.All.DistinctBy(one => one.Name).Count());
        Assert.All(BenchmarkList.All, one =>
        {
            Assert.True(one.QuickMax > TimeSpan.Zero && one.QuickMax <= one.WholeMax * 5, one.Name);
            Assert.NotEmpty(one.Measures);
            Assert.True(one.Prepare is null || one.PrepareMax > TimeSpan.Zero, one.Name);
        });
    }

    [Fact]
    public void An_unknown_name_is_answered_with_the_accepted_ones()
    {
        var refused = Assert.Throws<ArgumentException>(() => BenchmarkList.Named(["hotpath", "coldpath"]));
        Assert.Contains("'coldpath'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("scaling-devices-100k", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_point_of_an_axis_is_a_benchmark_of_its_own()
    {
        Assert.Equal(
            ["scaling-history-1m", "scaling-history-3m", "scaling-history-10m", "scaling-history-30m",
                "scaling-history-100m"],
            ScalingBench.History.Points.Select(ScalingBench.History.NameOf));
        var names = ScalingBench.Axes.SelectMany(axis => axis.Points.Select(axis.NameOf)).ToArray();
        Assert.Equal(names.Length, BenchmarkList.Named(names).Count);
    }

    [Fact]
    public void Every_name_in_a_document_is_a_benchmark()
    {
        var documents = RepositoryFolder.In("docs");
        var named = from document in Directory.GetFiles(documents, "*.md")
                    from line in File.ReadLines(document)
                    where line.StartsWith("<!-- bench ", StringComparison.Ordinal)
                    from name in line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[2..^1]
                    select name;
        Assert.NotEmpty(BenchmarkList.Named([.. named]));
    }
}
