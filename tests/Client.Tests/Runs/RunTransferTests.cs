using System.Text.Json;

namespace Fleet.Client.Tests.Runs;

// Goal: a run that leaves a store as a file and comes back, in the same store or another, is the same run.
// Method: the real command line; counts and verdicts are compared, in both directions between both stores.
[Trait("tier", "cluster")]
public sealed class RunTransferTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>, IDisposable
{
    private readonly DirectoryInfo _results = Directory.CreateTempSubdirectory("fleet-transfer-");

    public void Dispose() => _results.Delete(recursive: true);

    [ServerFact]
    public async Task A_run_goes_through_files_and_both_stores_with_equal_counts_and_verdict()
    {
        var run = await FileRunAsync(
            ExitCode.Invalid, "run", "--profile", "P0", "--devices", "24", "--duration", "3s", "--set",
            "load.operations.unbind=2", "--patience", "1s");
        var name = run.GetProperty("run").GetString()!;
        var (plain, compressed) = (InResults("a.jsonl"), InResults("b.jsonl.gz"));
        await FileRunAsync(ExitCode.Valid, "export", name, "--out", plain);

        var stored = await database.RunAsync(ExitCode.Invalid, "import", plain);
        await database.RunAsync(ExitCode.Valid, "export", name, "--out", compressed);
        var back = await FileRunAsync(ExitCode.Invalid, "import", compressed, "--name", "back");

        foreach (var imported in (JsonElement[])[stored, back])
        {
            Assert.Empty(imported.GetProperty("disagreements").EnumerateArray());
            var summary = imported.GetProperty("run");
            Assert.Equal("invalid", summary.GetProperty("verdict").GetString());
            Assert.Equal(
                run.GetProperty("counts").GetProperty("operationsStored").GetInt64(),
                summary.GetProperty("operations").GetInt64());
            Assert.Equal(
                run.GetProperty("counts").GetProperty("eventsStored").GetInt64(),
                summary.GetProperty("events").GetInt64());
            Assert.Equal(
                run.GetProperty("findings").GetArrayLength(), summary.GetProperty("findings").GetInt64());
        }

        var listed = await database.RunAsync(ExitCode.Valid, "runs", "prune", "--keep", "0");
        Assert.Contains(name, listed.GetProperty("removed").EnumerateArray().Select(one => one.GetString()));
    }

    [ServerFact]
    public async Task Views_are_written_as_csv_and_parquet_with_one_row_for_each_record()
    {
        var run = await FileRunAsync(
            ExitCode.Valid, "run", "--devices", "8", "--duration", "1s", "--set", "probes={ require: [] }");
        var operations = run.GetProperty("operationsTotal").GetInt64();

        await FileRunAsync(ExitCode.Valid, "export", "last", "--format", "csv", "--out", InResults("csv"));
        await FileRunAsync(ExitCode.Valid, "export", "last", "--format", "parquet", "--out", InResults("parquet"));

        Assert.Equal(operations + 1, File.ReadLines(Path.Combine(InResults("csv"), "operations.csv")).LongCount());
        var parquet = await File.ReadAllBytesAsync(Path.Combine(InResults("parquet"), "operations.parquet"));
        Assert.Equal("PAR1"u8.ToArray(), parquet[..4]);
        Assert.Equal("PAR1"u8.ToArray(), parquet[^4..]);
    }

    [Fact]
    public async Task A_schedule_of_finer_events_is_judged_without_a_quarrel_of_the_checkers()
    {
        var explored = await PrivateDatabase.InvokeAsync(ExitCode.Invalid, "explore", "S2", "--profile", "P5");
        var tokens = explored.GetRawText().Split('"')
            .Where(text => text.StartsWith("x1:S2:P5:", StringComparison.Ordinal)).Distinct().ToList();
        Assert.NotEmpty(tokens);
        foreach (var (number, token) in tokens.Index())
        {
            var file = InResults($"schedule-{number}.jsonl");
            await PrivateDatabase.InvokeAsync(ExitCode.Invalid, "replay", token, "--history", file);
            using var output = new StringWriter();
            var exit = await Fleet.Client.Commands.FleetCommand.InvokeAsync(
                ["check", "--history", file], new Fleet.Client.Commands.Terminal(output, output, isInteractive: false));

            var imported = await FileRunAsync(exit, "import", file, "--name", $"schedule-{number}");

            Assert.Empty(imported.GetProperty("disagreements").EnumerateArray());
        }
    }

    [Fact]
    public async Task What_is_no_history_is_refused_and_leaves_nothing_behind()
    {
        var file = InResults("bad.jsonl");
        await File.WriteAllTextAsync(
            file,
            """{"format":"fleet-history","version":1,"run":"bad","order":"per-object","sorted":"none"}""" + "\n{\n");
        using var output = new StringWriter();
        using var error = new StringWriter();

        var exit = await Fleet.Client.Commands.FleetCommand.InvokeAsync(
            ["import", file, "--results", InResults("none")],
            new Fleet.Client.Commands.Terminal(output, error, isInteractive: false));

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Contains("bad.jsonl:2: ", error.ToString(), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(InResults("none")));
    }

    private string InResults(string name) => Path.Combine(_results.FullName, name);

    private Task<JsonElement> FileRunAsync(int exitCode, params string[] args) =>
        PrivateDatabase.InvokeAsync(exitCode, [.. args, "--results", InResults("runs")]);
}
