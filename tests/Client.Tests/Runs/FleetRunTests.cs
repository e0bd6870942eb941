using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Runs;

// Goal: what a newcomer types works from end to end, and says what each kernel is known for.
// Method: the real command line, an embedded fleet, a store in a directory of its own; small, so that it takes seconds.
[Trait("tier", "cluster")]
public sealed class FleetRunTests : IDisposable
{
    private readonly DirectoryInfo _results = Directory.CreateTempSubdirectory("fleet-results-");

    public void Dispose() => _results.Delete(recursive: true);

    [Fact]
    public async Task A_run_of_the_six_patches_is_valid_and_can_be_asked_about()
    {
        var run = await RunAsync(
            ExitCode.Valid, "run", "--devices", "40", "--duration", "2s", "--set", "load.operations.unbind=2");

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        Assert.True(run.GetProperty("asExpected").GetBoolean());
        Assert.True(run.GetProperty("operationsTotal").GetInt64() > 100);
        Assert.True(run.GetProperty("unbindsWithHolders").GetInt64() > 0);
        var file = Assert.Single(_results.EnumerateFileSystemInfos());
        Assert.Equal(file.FullName, run.GetProperty("location").GetString());

        var name = run.GetProperty("run").GetString()!;
        var listed = await RunAsync(ExitCode.Valid, "runs");
        Assert.Equal(name, Assert.Single(listed.GetProperty("runs").EnumerateArray()).GetProperty("run").GetString());
        var shown = await RunAsync(ExitCode.Valid, "show", name);
        Assert.Equal(
            run.GetProperty("operationsTotal").GetInt64(), shown.GetProperty("summary").GetProperty("operationsTotal")
                .GetInt64());
        var counted = await RunAsync(ExitCode.Valid, "sql", "last", "select count(*) from v_operations");
        Assert.Equal(run.GetProperty("operationsTotal").GetInt64(), counted.GetProperty("rows")[0][0].GetInt64());
        using var rows = new StringWriter();
        await FleetCommand.InvokeAsync(
            ["sql", "last", "select 1 as n, 'a,b' as \"x\"\"y\", null as z", "--csv", "--results", _results.FullName],
            new Terminal(rows, rows, isInteractive: false));
        Assert.Equal("n,\"x\"\"y\",z\r\n1,\"a,b\",\r\n", rows.ToString());
        var page = Path.Combine(_results.FullName, "page.html");
        await RunAsync(ExitCode.Valid, "report", "last", "--html", page);
        var text = await File.ReadAllTextAsync(page);
        Assert.All(
            ["Over time", "Operations per second", "Rare situations", "Thresholds", "No rule was broken."],
            part => Assert.Contains(part, text, StringComparison.Ordinal));
        Assert.All(["src=", "href=", "<script", "url(http"], part => Assert.DoesNotContain(part, text));
        var foreign = Path.Combine(_results.FullName, "thesis.html");
        await File.WriteAllTextAsync(foreign, "x");
        using var refused = new StringWriter();
        Assert.Equal(
            ExitCode.Usage,
            await FleetCommand.InvokeAsync(
                ["report", "last", "--out", foreign, "--results", _results.FullName],
                new Terminal(refused, refused, isInteractive: false)));
        Assert.Contains("is there and is no page of Fleet; accepted: ", refused.ToString(), StringComparison.Ordinal);
        Assert.Equal("x", await File.ReadAllTextAsync(foreign));
        var judged = await RunAsync(ExitCode.Valid, "check", name);
        Assert.Equal("valid", judged.GetProperty("report").GetProperty("verdict").GetString());
    }

    // Goal: what load has found is explained, and shown in a schedule that anybody can run and nobody can make
    // simpler.
    [Theory]
    [InlineData("smoke", "P0", "NO-USE-AFTER-REMOVE", 8)]
    [InlineData("smoke", "V1", "NO-NULL-DEREF", 0)]
    [InlineData("pair", "ALL", "OWNER-ALIVE", 24)]
    [InlineData("pair", "X6-5", "UNBIND-LIVE", 0)]
    public async Task A_defect_of_a_kernel_is_found_explained_and_carried_into_a_small_world(
        string scenario, string profile, string rule, int stepsMax)
    {
        var run = await RunAsync(
            ExitCode.Invalid, "run", scenario, "--profile", profile, "--devices", "24", "--duration", "4s",
            "--set", "load.operations.unbind=2", "--patience", "1s");

        Assert.Contains(
            run.GetProperty("findings").EnumerateArray(), finding => finding.GetProperty("rule").GetString() == rule);
        var explained = await RunAsync(ExitCode.Valid, "explain", "1");
        Assert.StartsWith(
            "Let ", explained.GetProperty("text").GetString(), StringComparison.Ordinal);
        Assert.NotEmpty(explained.GetProperty("evidence").EnumerateArray());
        if (stepsMax > 0)
            await IsCarriedAsync(run.GetProperty("run").GetString()!, rule, stepsMax);
    }

    [Fact]
    public async Task A_failing_pool_finds_the_stale_action_of_the_kernel_without_patch_3()
    {
        var run = await RunAsync(
            ExitCode.Invalid, "run", "--profile", "ALL-p3", "--faults", "alloc-fail", "--devices", "60", "--duration",
                "2s", "--patience", "1s");

        Assert.Contains(
            "NO-STALE-DATA", run.GetProperty("findings").EnumerateArray()
                .Select(finding => finding.GetProperty("rule").GetString()));
        Assert.NotEmpty(run.GetProperty("stuck").EnumerateArray());
    }

    [Fact]
    public async Task Real_hardware_gives_its_BARs_at_an_open_rate()
    {
        var run = await RunAsync(
            ExitCode.Valid, "run", "--inventory", Samples.Path(
                "lspci-vv.txt"), "--replicate", "4", "--rate", "500", "--duration", "3s",
            "--set", "probes={ require: [] }");

        Assert.Equal(20, run.GetProperty("devices").GetInt32());
        Assert.True(run.GetProperty("achieved").GetDouble() > 0.95);
    }

    [Theory]
    [InlineData("run nowhere", "There is no scenario 'nowhere'; accepted: ")]
    [InlineData("run --profile P9", "There is no profile 'P9'; accepted: ")]
    [InlineData("run --duration soon", "--duration is 'soon'; accepted: ")]
    [InlineData("run --inventory /nowhere", "There is no inventory '/nowhere'; accepted: ")]
    [InlineData("run --set load.clients=none", "load.clients is 'none'; accepted: ")]
    [InlineData(
        "run --set faults=[{ kind: silo-kill, at: { kind: at, after: 1s }, expect: [] }]",
        "which this build does not run; accepted: ")]
    public async Task A_bad_run_is_one_sentence_and_leaves_nothing_behind(string line, string sentence)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        string[] words = [.. line.Split(' ', 3), "--results", Path.Combine(_results.FullName, "none")];

        var exit = await FleetCommand.InvokeAsync(words, new Terminal(output, error, isInteractive: false));

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Empty(output.ToString());
        Assert.Contains(sentence, error.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, error.ToString().Count(character => character == '\n'));
        Assert.Empty(_results.EnumerateFileSystemInfos());
    }

    [Fact]
    public async Task A_store_address_of_another_kind_is_one_sentence()
    {
        using var output = new StringWriter();
        using var error = new StringWriter();

        var exit = await FleetCommand.InvokeAsync(
            ["run", "--store", "mysql://host/db"], new Terminal(output, error, isInteractive: false));

        Assert.Equal(ExitCode.Usage, exit);
        Assert.Contains("accepted are postgres://", error.ToString(), StringComparison.Ordinal);
    }

    private async Task IsCarriedAsync(string run, string rule, int stepsMax)
    {
        var listed = await RunAsync(ExitCode.Valid, "findings");
        var finding = listed.GetProperty("findings").EnumerateArray()
            .First(one => one.GetProperty("rule").GetString() == rule).GetProperty("id").GetInt64();
        var carried = await RunAsync(ExitCode.Invalid, "replay", $"{run}#{finding}");

        Assert.True(carried.GetProperty("isReproduced").GetBoolean());
        Assert.True(carried.GetProperty("isOneMinimal").GetBoolean());
        Assert.True(carried.GetProperty("isWorldMinimal").GetBoolean());
        Assert.InRange(carried.GetProperty("steps").GetInt32(), 1, stepsMax);
        var again = await RunAsync(ExitCode.Invalid, "replay", carried.GetProperty("token").GetString()!);
        Assert.Contains(
            again.GetProperty("rules").EnumerateArray(), broken => broken.GetString() == rule);
    }

    private async Task<JsonElement> RunAsync(int exitCode, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(
            [.. args, "--results", _results.FullName, "--json"], new Terminal(output, error, isInteractive: false));
        Assert.True(exit == exitCode, $"exit {exit} of {string.Join(' ', args)}\n{error}\n{output}");
        return JsonDocument.Parse(output.ToString()).RootElement;
    }
}
