using System.Text.Json;
using Fleet.Client.Commands;

namespace Fleet.Client.Tests.Runs;

// Goal: a run whose process was killed goes on where it stopped: nothing that was acknowledged is lost, nothing that
// was due is left out, and the verdict is that of a run that nobody disturbed.
// Method: a process of its own is killed within its load; the same command line goes on with its run in another one.
[Trait("tier", "cluster")]
public sealed class RunRecoveryTests : IDisposable
{
    // The last phase asks for nothing: on a busy machine clients send then what they could not send in time.
    private const string Phases = "phases=[ { name: warm, for: 1s, rate: 0.2 }, { name: steady, for: 15s }, "
        + "{ name: rest, for: 8s, rate: 0 }, { name: drain, for: 20s } ]";

    private readonly DirectoryInfo _results = Directory.CreateTempSubdirectory("fleet-killed-");

    public void Dispose() => _results.Delete(recursive: true);

    [Fact]
    public async Task A_run_killed_twice_goes_on_and_ends_as_one_that_nobody_disturbed()
    {
        var run = await KillAsync(
            400, "run", "--devices", "20", "--rate", "100", "--set", "probes={ require: [] }", "--set",
            "load.operations.unbind=2", "--set", "thresholds=[]", "--set", Phases);
        Assert.Equal(run, await KillAsync(900, "resume", run));

        await using var process = Start("resume", run);
        var summary = await process.EndAsync(ExitCode.Valid);

        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        Assert.Equal(2, summary.GetProperty("resumed").GetInt32());
        var phases = summary.GetProperty("phases").EnumerateArray()
            .Select(phase => (phase.GetProperty("due").GetInt64(), phase.GetProperty("sent").GetInt64())).ToList();
        Assert.Equal([(20, 20), (1_500, 1_500), (0, 0)], phases);
        var counts = summary.GetProperty("counts");
        var stored = counts.GetProperty("operationsStored").GetInt64();
        Assert.Equal(stored, counts.GetProperty("operationsSpooled").GetInt64());
        Assert.Equal(stored, summary.GetProperty("operationsTotal").GetInt64());
        Assert.Equal($"{run}.duckdb", Assert.Single(_results.EnumerateFileSystemInfos()).Name);
        var sql = await InvokeAsync(
            ExitCode.Valid, "sql", run,
            "select count(*), count(distinct number), count(distinct proc), max(gen), "
            + "count(*) filter (where outcome = 'unknown') from v_operations");
        var row = sql.GetProperty("rows")[0];
        Assert.Equal((stored, stored, 3), (row[0].GetInt64(), row[1].GetInt64(), row[2].GetInt64()));
        Assert.True(row[3].GetInt64() >= 3); // Each fleet of the run had objects of its own incarnations.
        Assert.True(row[4].GetInt64() <= 2 * 64);
        await InvokeAsync(ExitCode.Valid, "check", run);
    }

    [Fact]
    public async Task A_killed_run_can_be_finished_without_more_load()
    {
        var run = await KillAsync(200, "run", "--devices", "20", "--duration", "120s", "--rate", "300");
        var recovered = await InvokeAsync(ExitCode.Interrupted, "resume", run, "--finish");

        Assert.True(recovered.GetProperty("operationsFound").GetInt64() >= 200);
        Assert.Equal($"{run}.duckdb", Assert.Single(_results.EnumerateFileSystemInfos()).Name);
        await InvokeAsync(ExitCode.Valid, "show", run);
        await RefusedAsync("resume", run);
    }

    [Fact]
    public async Task A_run_whose_process_lives_is_not_taken_from_it()
    {
        await using var process = Start("run", "--devices", "20", "--duration", "120s", "--rate", "300");
        await process.AwaitOperationsAsync(1);

        Assert.Contains("fleet: ", await RefusedAsync("resume", Name()), StringComparison.Ordinal);
    }

    private string Name() => Path.GetFileName(Directory.GetDirectories(_results.FullName).Min()!)[..^".spool".Length];

    private FleetProcess Start(params string[] args) =>
        FleetProcess.Start([.. args, "--results", _results.FullName, "--json"]);

    /// <returns>Name of the run.</returns>
    private async Task<string> KillAsync(long operations, params string[] args)
    {
        await using var process = Start(args);
        await process.AwaitOperationsAsync(operations);
        await process.KillAsync();
        return args[0] == "resume" ? args[1] : Name();
    }

    private Task<JsonElement> InvokeAsync(int exitCode, params string[] args) =>
        PrivateDatabase.InvokeAsync(exitCode, [.. args, "--results", _results.FullName]);

    private async Task<string> RefusedAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await FleetCommand.InvokeAsync(
            [.. args, "--results", _results.FullName], new Terminal(output, error, isInteractive: false));
        Assert.Equal(ExitCode.Usage, exit);
        return error.ToString();
    }
}
