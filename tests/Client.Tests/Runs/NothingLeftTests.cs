using System.Diagnostics;
using Fleet.Client.Cluster;

namespace Fleet.Client.Tests.Runs;

// Goal: however a run ends, no process that it started outlives it, and it ends itself when its silos do.
// Method: real processes of the command line with a server of our own; each child is known by number and start time,
// and waited for with minutes of bound.
[Trait("tier", "cluster")]
public sealed class NothingLeftTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    private const string Silo = "Fleet.Silo.dll";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    [ServerFact]
    public Task A_terminated_run_ends_in_order_with_all_that_it_started() =>
        EndsInOrderAsync("TERM", isTerminal: false);

    // As a terminal does: who started it, and its children.
    [ServerFact]
    public Task An_interrupted_run_ends_in_order_with_all_that_it_started() =>
        EndsInOrderAsync("INT", isTerminal: true);

    [ServerFact]
    public async Task A_killed_run_leaves_neither_silos_nor_generators_nor_one_that_stands_still()
    {
        // A generator that the run started, and a silo that it paused for far longer than the test lasts.
        await using var run = Begin(
            "--generators", "2", "--set",
            """
            faults=[ { kind: silo-pause, at: { kind: at, after: 100ms }, for: 30m,
            expect: [unknown-outcomes, failover, infrastructure] },
            { kind: generator-kill, at: { kind: at, after: 30m }, expect: [unknown-outcomes] } ]
            """);
        await run.AwaitLineAsync(line => line.Contains("silo-pause", StringComparison.Ordinal));
        IReadOnlyList<ProcessMark> children = [.. Marks(run), .. Marks(run, "fleet.dll"), .. Marks(run, "fleet-pause")];
        Assert.True(children.Count >= 4, $"{children.Count} children");

        await run.KillAsync();

        await GoneAsync(children);
    }

    [ServerFact]
    public async Task A_run_whose_silos_are_all_killed_says_so_and_can_be_finished()
    {
        await using var run = Begin();
        var name = await run.AwaitRunAsync();
        await run.AwaitOperationsAsync(200);
        var silos = Marks(run);
        await SignalAsync("KILL", silos.Select(silo => silo.Pid));

        var said = await run.EndInWordsAsync(ExitCode.Infrastructure);

        Assert.Contains("silo-1, silo-2 ended", said, StringComparison.Ordinal);
        Assert.Contains("fleet resume", said, StringComparison.Ordinal);
        var finished = await database.RunAsync(ExitCode.Interrupted, "resume", name, "--finish");
        Assert.Equal(name, finished.GetProperty("run").GetString());
    }

    private async Task EndsInOrderAsync(string signal, bool isTerminal)
    {
        await using var run = Begin();
        await run.AwaitOperationsAsync(200);
        var silos = Marks(run);

        await SignalAsync(signal, [run.Pid, .. isTerminal ? silos.Select(silo => silo.Pid) : []]);

        var summary = await run.EndAsync(ExitCode.Interrupted);
        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        await GoneAsync(silos);
    }

    private FleetProcess Begin(params string[] more) => FleetProcess.Start(
    [
        "run", "--silos", "2", "--devices", "12", "--clients", "8", "--set",
        "phases=[ { name: steady, for: 30m }, { name: drain, for: 20s } ]", "--set", "probes={ require: [] }", "--set",
        "thresholds=[]", "--set", "load.operations.unbind=1", "--store", database.Store, "--json", .. more,
    ]);

    private static List<ProcessMark> Marks(FleetProcess run, string program = Silo) =>
        [.. run.Children(program).Select(child => ProcessMark.Of(child.Id)).OfType<ProcessMark>()];

    private static async Task SignalAsync(string signal, IEnumerable<int> pids)
    {
        using var kill = Process.Start("kill", ["-" + signal, .. pids.Select(pid => $"{pid}")]);
        await kill.WaitForExitAsync();
    }

    private static async Task GoneAsync(IReadOnlyList<ProcessMark> children)
    {
        Assert.NotEmpty(children);
        using var patience = new CancellationTokenSource(Patience);
        foreach (var child in children.Where(child => child.IsAlive))
        {
            using var process = Process.GetProcessById(child.Pid);
            await process.WaitForExitAsync(patience.Token);
        }

        Assert.DoesNotContain(children, child => child.IsAlive);
    }
}
