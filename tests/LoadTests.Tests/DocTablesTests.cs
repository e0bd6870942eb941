using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Scaling;

namespace Fleet.LoadTests.Tests;

[Trait("tier", "fast")]
public sealed class DocTablesTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("fleet-tables-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_detail_is_kept_in_the_file_and_left_out_of_the_table()
    {
        var document = Document("explore");
        var written = Write(
            document, "explore", LineOf("explore", "main"), LineOf("explore", "part") with { IsDetail = true });
        Assert.Contains("explore: main", written, StringComparison.Ordinal);
        Assert.DoesNotContain("explore: part", written, StringComparison.Ordinal);
        var kept = BenchFile.Read(In("run.json")).Courses[0].Lines;
        Assert.Contains(kept, line => line is { What: "part", IsDetail: true });
    }

    [Fact]
    public void A_table_of_benchmarks_that_did_not_run_stays_as_it_is()
    {
        var document = Document("law");
        Write(document, "explore", LineOf("explore", "main"));
        Assert.Contains("as before", File.ReadAllText(document), StringComparison.Ordinal);
    }

    [Fact]
    public void Points_of_an_axis_are_a_table_whatever_the_round_holds()
    {
        var document = Document("scaling-devices");
        var points = new ScalingAxis<ScalingResult>(In("figures", "scaling-devices.json"), "0123456789");
        points.Add(10_000, Result(10_000), new(60, 90, 1 << 30));
        points.Add(1000, Result(1000));
        Write(document, "explore", LineOf("explore", "main"));
        var rows = File.ReadAllLines(document)
            .Where(line => line.StartsWith("| 1", StringComparison.Ordinal)).ToArray();
        Assert.Equal(2, rows.Length);
        Assert.StartsWith("| 1,000 |", rows[0], StringComparison.Ordinal);
        Assert.EndsWith(", 0123456 |", rows[0], StringComparison.Ordinal);
        Assert.Contains("90 CPU-s of the whole machine, 1,024 MiB of disk", rows[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("scaling-devices")]
    [InlineData("scaling-history")]
    public void An_axis_whose_file_has_no_points_is_a_sentence_and_no_empty_table(string axis)
    {
        var document = Document(axis);
        Figures(axis, """{ "lines": [] }""");
        var written = Write(document, "explore", LineOf("explore", "main"));
        Assert.Equal($"No point is kept: `bench {axis}` writes them to `figures/{axis}.json`.\n", written);
        Assert.DoesNotContain("|---|", File.ReadAllText(document), StringComparison.Ordinal);
    }

    [Fact]
    public void Figures_of_another_form_are_refused_by_name_and_no_document_changes()
    {
        var document = Document("scaling-devices");
        var points = Figures("scaling-devices", "not JSON");
        var refused = Assert.Throws<FormatException>(
            () => Write(document, "explore", LineOf("explore", "main")));
        Assert.Contains($"'{points}' holds no points of an axis; accepted:", refused.Message, StringComparison.Ordinal);
        Assert.Contains("as before", File.ReadAllText(document), StringComparison.Ordinal);

        var round = In("foreign.json");
        foreach (var text in (string[])["not JSON", "{}", "null"])
        {
            File.WriteAllText(round, text);
            refused = Assert.Throws<FormatException>(() => BenchFile.Read(round));
            Assert.Equal(
                $"'{round}' holds no round of figures; accepted: a file that bench --out wrote.", refused.Message);
        }
    }

    // Goal: a round that was cut off goes on with what is missing, then with what is oldest.
    [Fact]
    public void Sizes_without_a_point_come_first()
    {
        var file = In("figures", "scaling-devices.json");
        var points = new ScalingAxis<ScalingResult>(file, "0123456789");
        points.Add(10, Result(10));
        points.Add(1000, Result(1000));
        Assert.Equal([100, 10, 1000], new ScalingAxis<ScalingResult>(file, "").InOrder([10, 100, 1000]));
        points.Add(10, Result(10));
        Assert.Equal([100, 1000, 10], new ScalingAxis<ScalingResult>(file, "").InOrder([10, 100, 1000]));
    }

    private static ScalingResult Result(int devices) => new(
        new(devices, 256, 1), 20_000, 50, 20, 10, 1.1, 300, 1 << 26, 3, 60, "valid");

    private static Line LineOf(string benchmark, string what) =>
        new(benchmark, what, 1, "s", null, null, null, null, null, "", "");

    private string Write(string document, string benchmark, params Line[] lines)
    {
        var file = BenchFile.ReadOrNew(In("run.json"));
        var course = new BenchCourse(benchmark, isQuick: false);
        file.Begin(course);
        course.Lines = [.. lines];
        file.Write();
        return DocTables.Write([BenchFile.Read(In("run.json"))], [document]);
    }

    private string Figures(string axis, string text)
    {
        Directory.CreateDirectory(In("figures"));
        File.WriteAllText(In("figures", $"{axis}.json"), text);
        return In("figures", $"{axis}.json");
    }

    private string Document(string names)
    {
        var document = In("document.md");
        File.WriteAllLines(document, [$"<!-- bench {names} -->", "as before", "<!-- /bench -->"]);
        return document;
    }

    private string In(params string[] parts) => Path.Combine([_folder.FullName, .. parts]);
}
