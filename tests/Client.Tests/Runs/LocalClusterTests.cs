using System.Diagnostics;
using System.Text.Json;
using Fleet.Client.Cluster;
using Fleet.Client.Commands;
using Fleet.Tests;

namespace Fleet.Client.Tests.Runs;

// Goal: a cluster on one machine stays up between runs and goes without a trace.
// Method: the real command line, real silo processes, a server of its own.
[Trait("tier", "cluster")]
public sealed class LocalClusterTests : IAsyncLifetime
{
    private readonly DirectoryInfo _above = Directory.CreateTempSubdirectory("fleet-cluster-tests-");

    public LocalClusterTests() => File.SetUnixFileMode(_above.FullName, (UnixFileMode)0b111_101_101);

    private string Place => Path.Combine(_above.FullName, "c");

    public Task InitializeAsync() => Task.CompletedTask;

    /// <summary>A test that failed in the middle leaves no process behind either.</summary>
    public async Task DisposeAsync()
    {
        if (ClusterState.IsIn(Place))
            await new LocalCluster(Place).DownAsync(keep: false, CancellationToken.None);
        _above.Delete(recursive: true);
    }

    [ServerFact]
    public async Task A_cluster_comes_up_serves_two_runs_and_leaves_nothing_behind()
    {
        var up = await InvokeAsync(ExitCode.Valid, "cluster", "up", "--silos", "2", "--directory", Place);
        var silos = up.GetProperty("silos").EnumerateArray().Select(silo => silo.GetProperty("pid").GetInt32())
            .ToList();
        Assert.Equal(2, silos.Count);
        Assert.All(Members(up), member => Assert.True(member.GetProperty("isIdle").GetBoolean()));
        Assert.Equal(2, Members(up).Count(member => member.GetProperty("status").GetString() == "Active"));
        Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Path.Combine(Place, "silos")) & Others);
        Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Path.Combine(Place, "cluster.json")) & Others);
        var store = $"private:{Path.Combine(Place, "db")}";
        for (var run = 1; run <= 2; run++)
        {
            var summary = await InvokeAsync(
                ExitCode.Valid, "run", "--cluster", "local", "--devices", "8", "--duration", "1s", "--set",
                "probes={ require: [] }", "--set", "thresholds=[]", "--store", store);
            Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        }

        await AwaitAsync(ready: 2);
        var down = await InvokeAsync(ExitCode.Valid, "cluster", "down", "--directory", Place);
        Assert.Equal(2, down.GetProperty("stopped").GetInt32());
        Assert.Equal(0, down.GetProperty("killed").GetInt32());
        Assert.All(silos, pid => Assert.Null(ProcessMark.Of(pid)));
        Assert.False(Directory.Exists(Place));
    }

    [ServerFact]
    public async Task A_cluster_that_is_kept_comes_up_again_with_its_results()
    {
        await InvokeAsync(ExitCode.Valid, "cluster", "up", "--silos", "1", "--directory", Place);
        await RefusedAsync("A cluster of 1 silos runs in", "cluster", "up", "--directory", Place);
        await InvokeAsync(ExitCode.Valid, "cluster", "down", "--keep", "--directory", Place);
        await InvokeAsync(ExitCode.Unknown, "cluster", "status", "--directory", Place);
        var up = await InvokeAsync(ExitCode.Valid, "cluster", "up", "--silos", "1", "--directory", Place);
        Assert.True(up.GetProperty("isReady").GetBoolean());

        // A silo that died is seen, and is no reason to fail at the end.
        ProcessMark.Of(up.GetProperty("silos")[0].GetProperty("pid").GetInt32())!.Kill();
        await AwaitAsync(ready: 0);
        var down = await InvokeAsync(ExitCode.Valid, "cluster", "down", "--directory", Place);
        Assert.Equal(0, down.GetProperty("stopped").GetInt32());
        Assert.False(Directory.Exists(Place));
    }

    // Goal: with certificates of the cluster's authority everything works as without, and without them nothing does.
    [ServerFact]
    public async Task A_cluster_with_tls_serves_members_and_lets_nobody_else_in()
    {
        using var authority = new Authority(_above.FullName, "authority");
        var (cert, key) = authority.Issue("member");
        string[] run =
        [
            "run", "--cluster", "sealed", "--devices", "8", "--duration", "1s", "--set", "probes={ require: [] }",
            "--set", "thresholds=[]", "--store", $"private:{Path.Combine(Place, "db")}",
        ];
        var (exit, said) = await FleetAsync(
            true, "cluster", "up", "--silos", "2", "--name", "sealed", "--directory", Place);
        Assert.True(exit == ExitCode.Valid, said);
        (exit, said) = await FleetAsync(true, run);
        Assert.True(exit == ExitCode.Valid, said);
        (exit, said) = await FleetAsync(false, run);
        Assert.True(exit == ExitCode.Usage, said);
        Assert.Contains("fleet: No silo of cluster sealed let this process in; ", said, StringComparison.Ordinal);
        Assert.Contains(
            "at the gateway: it does not speak TLS",
            string.Concat(Directory.GetFiles(Path.Combine(Place, "silos"), "*.log").Select(File.ReadAllText)),
            StringComparison.Ordinal);
        await InvokeAsync(ExitCode.Valid, "cluster", "down", "--directory", Place);

        async Task<(int Exit, string Said)> FleetAsync(bool isMember, params string[] args)
        {
            var start = new ProcessStartInfo(
                Environment.ProcessPath!, [Path.Combine(AppContext.BaseDirectory, "fleet.dll"), .. args])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            if (isMember)
            {
                start.Environment["FLEET_TLS_CERT"] = cert;
                start.Environment["FLEET_TLS_KEY"] = key;
                start.Environment["FLEET_TLS_CA"] = authority.File;
            }

            using var fleet = Process.Start(start)!;
            var output = Task.WhenAll(fleet.StandardOutput.ReadToEndAsync(), fleet.StandardError.ReadToEndAsync());
            await fleet.WaitForExitAsync();
            return (fleet.ExitCode, string.Join('\n', await output));
        }
    }

    [Fact]
    public async Task A_directory_that_is_somebody_elses_is_refused_and_left_alone()
    {
        Directory.CreateDirectory(Place);
        var file = Path.Combine(Place, "thesis.txt");
        await File.WriteAllTextAsync(file, "x");
        await RefusedAsync("is there and not a cluster's; accepted", "cluster", "up", "--directory", Place);
        await RefusedAsync("There is no cluster in", "cluster", "down", "--directory", Place);
        Assert.True(File.Exists(file));
    }

    // Goal: a number that belongs to another process by now is never signalled.
    [Fact]
    public void A_process_is_known_by_its_beginning_too()
    {
        using var sleeper = Process.Start("sleep", "60");
        var mark = ProcessMark.Of(sleeper.Id)!;
        var former = mark with { Started = mark.Started + "0" };
        Assert.False(former.IsAlive);
        former.Kill();
        Assert.True(mark.IsAlive);
        mark.Kill();
        sleeper.WaitForExit();
        Assert.False(mark.IsAlive);
    }

    private const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute | UnixFileMode.OtherRead
        | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    private static List<JsonElement> Members(JsonElement status) =>
        [.. status.GetProperty("members").EnumerateArray()];

    private static Task<JsonElement> InvokeAsync(int exitCode, params string[] args) =>
        PrivateDatabase.InvokeAsync(exitCode, args);

    private static async Task RefusedAsync(string said, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        Assert.Equal(
            ExitCode.Usage, await FleetCommand.InvokeAsync(args, new Terminal(output, error, isInteractive: false)));
        Assert.Contains(said, error.ToString(), StringComparison.Ordinal);
    }

    /// <summary>Silos change back to the idle cluster after a run: asks until so many are ready.</summary>
    private async Task AwaitAsync(int ready)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while ((await new LocalCluster(Place).StatusAsync(patience.Token)).Silos.Count(silo => silo.IsReady) != ready)
        {
            await timer.WaitForNextTickAsync(patience.Token);
        }
    }
}
