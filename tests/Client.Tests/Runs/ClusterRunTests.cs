using System.Diagnostics;
using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Runs;

// Goal: silos in processes of their own, joined by PostgreSQL, lose nothing and are judged alike by every checker.
// Method: the real command line, real silo processes, a server of our own; small, so that each run takes seconds.
[Trait("tier", "cluster")]
public sealed class ClusterRunTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    private const string NoProbes = "probes={ require: [] }";

    [ServerFact]
    public async Task A_run_with_a_silo_process_is_valid_and_its_three_counts_are_equal()
    {
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "--silos", "1", "--devices", "24", "--duration", "2s", "--set", NoProbes, "--set",
            "load.operations.unbind=1");

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        var acknowledged = CountsAreEqual(run);
        var name = run.GetProperty("run").GetString()!;
        var stored = await database.RunAsync(
            ExitCode.Valid, "sql", name,
            "select (select count(*) from v_operations), (select count(*) from v_events where proc = 2), "
            + "(select count(*) from v_processes), (select max(pid) from v_processes where proc = 2)");
        Assert.Equal(acknowledged, stored.GetProperty("rows")[0][0].GetInt64());
        Assert.True(stored.GetProperty("rows")[0][1].GetInt64() > 24 * 10);
        Assert.Equal(2, stored.GetProperty("rows")[0][2].GetInt64());
        await database.RunAsync(ExitCode.Valid, "check", name);
        var pid = stored.GetProperty("rows")[0][3].GetInt32();
        Assert.Throws<ArgumentException>(() => Process.GetProcessById(pid)); // Nothing is left behind.
    }

    [ServerFact]
    public async Task Two_silos_find_what_a_kernel_without_the_patches_is_known_for()
    {
        var run = await database.RunAsync(
            ExitCode.Invalid, "run", "--silos", "2", "--profile", "P0", "--devices", "24", "--duration", "6s", "--set",
            "load.operations.unbind=2", "--set", "load.hold={ kind: exponential, mean: 500ms, max: 5s }", "--patience",
            "1s");

        CountsAreEqual(run);
        Assert.Contains(
            run.GetProperty("findings").EnumerateArray().Select(finding => finding.GetProperty("rule").GetString()),
            rule => rule is "NO-USE-AFTER-REMOVE" or "REAP-BEFORE-REMOVE");
        var silos = await database.RunAsync(
            ExitCode.Valid, "sql", run.GetProperty("run").GetString()!,
            "select count(distinct proc) from v_events where kind = 'bind_end'");
        Assert.Equal(2, silos.GetProperty("rows")[0][0].GetInt64());
    }

    [ServerFact]
    public async Task A_server_killed_twice_during_a_run_costs_nothing_that_was_acknowledged()
    {
        var plan = database.In("kills.yaml");
        await File.WriteAllTextAsync(
            plan,
            """
            name: kills
            faults:
              - { kind: db-kill, at: { kind: at, after: 1s }, for: 500ms, expect: [schedule-lag, unknown-outcomes] }
              - { kind: db-kill, at: { kind: at, after: 4s }, for: 1s, expect: [schedule-lag, unknown-outcomes] }
            """);
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "--silos", "1", "--devices", "24", "--duration", "6s", "--faults", plan, "--set",
            NoProbes, "--set", "load.operations.unbind=1", "--set", "thresholds=[]", "--spool-bound", "8MiB");

        CountsAreEqual(run);
        var faults = await database.RunAsync(
            ExitCode.Valid, "sql", run.GetProperty("run").GetString()!,
            "select count(*) from v_faults where kind = 'db-kill'");
        Assert.Equal(2, faults.GetProperty("rows")[0][0].GetInt64());
    }

    [ServerFact]
    public async Task A_silo_that_somebody_started_waits_for_the_run_of_its_cluster()
    {
        var said = new List<string>();
        await using var silo = SiloProcess.Start(
            "by-hand", StoreAddress.Parse(database.Store).Unredacted, "silo-a", line =>
            {
                lock (said)
                {
                    said.Add(line);
                }
            });

        var run = await database.RunAsync(
            ExitCode.Valid, "run", "--cluster", "by-hand", "--devices", "8", "--duration", "1s", "--set", NoProbes);

        CountsAreEqual(run);
        lock (said)
        {
            Assert.Contains(said, line => line.Contains("serves run", StringComparison.Ordinal));
        }
    }

    [ServerFact]
    public async Task A_killed_server_is_for_a_server_of_our_own()
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var exit = await Fleet.Client.Commands.FleetCommand.InvokeAsync(
            ["run", "--faults", "db-kill", "--results", database.In("none")],
            new Fleet.Client.Commands.Terminal(output, error, isInteractive: false));
        Assert.Equal(ExitCode.Usage, exit);
        Assert.Contains("accepted: --store private", error.ToString(), StringComparison.Ordinal);
    }

    [ServerFact]
    public async Task The_server_says_how_it_stands()
    {
        var status = await PrivateDatabase.InvokeAsync(
            ExitCode.Valid, "db", "status", "--directory", database.Folder);
        Assert.True(status.GetProperty("isRunning").GetBoolean());
        Assert.DoesNotContain("password", status.GetProperty("address").GetString(), StringComparison.Ordinal);
        Assert.StartsWith(
            "postgres://fleet_owner@127.0.0.1:", status.GetProperty("address").GetString(), StringComparison.Ordinal);
    }

    /// <returns>Operations that clients acknowledged.</returns>
    private static long CountsAreEqual(JsonElement run)
    {
        var counts = run.GetProperty("counts");
        var acknowledged = counts.GetProperty("operationsAcknowledged").GetInt64();
        Assert.True(acknowledged > 100);
        Assert.Equal(acknowledged, counts.GetProperty("operationsSpooled").GetInt64());
        Assert.Equal(acknowledged, counts.GetProperty("operationsStored").GetInt64());
        Assert.True(counts.GetProperty("eventsAcknowledged").GetInt64() > 100);
        Assert.Equal(
            counts.GetProperty("eventsAcknowledged").GetInt64(), counts.GetProperty("eventsStored").GetInt64());
        return acknowledged;
    }
}
