using System.Text.Json;
using Fleet.Client.Tests.Runs;

namespace Fleet.Client.Tests.Faults;

// Goal: real silo processes are struck, replaced, recorded, and leave nothing behind; what was acknowledged is stored.
// Method: the real command line with few devices and one strike of each kind at a fixed time. What is expected is what
// strikes cause and never how soon: on a busy machine a silo starts late and answers late.
[Trait("tier", "cluster")]
public sealed class ChaosRunTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    private const string NoProbes = "probes={ require: [] }";

    [ServerFact]
    public async Task A_kill_and_a_pause_are_survived()
    {
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "chaos", "--silos", "3", "--devices", "24", "--clients", "16", "--duration", "15s",
            "--set", NoProbes, "--set",
            """
            faults=[ { kind: silo-kill, at: { kind: at, after: 4s }, expect: [unknown-outcomes, failover] },
            { kind: silo-pause, at: { kind: at, after: 6s }, for: 9s,
            expect: [unknown-outcomes, failover, infrastructure] } ]
            """);

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        Assert.Equal(
            ["silo-kill", "silo-pause"],
            run.GetProperty("faults").GetProperty("strikes").EnumerateArray()
                .Select(strike => strike.GetProperty("kind").GetString()).Order());
        var processes = await SqlAsync(run, "select name from v_processes where proc > 1");
        Assert.True(processes.Count > 3, "the killed silo was not replaced");
        var failovers = await SqlAsync(run, "select count(*) from v_events where kind = 'incarnation' and gen > 1");
        Assert.True(failovers[0][0].GetInt64() > 0, "nothing failed over");
        await NothingIsLeftBehind(run);
    }

    [ServerFact]
    public async Task Lost_messages_and_a_database_that_is_slow_or_away_cost_nothing()
    {
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "chaos", "--silos", "2", "--devices", "24", "--clients", "16", "--duration", "8s",
            "--set", NoProbes, "--set",
            """
            faults=[ { kind: message, target: delay, every: { kind: probability, p: 0.05 } },
            { kind: message, target: drop, every: { kind: probability, p: 0.01 }, expect: [unknown-outcomes] },
            { kind: message, target: duplicate, every: { kind: probability, p: 0.05 } },
            { kind: message, target: cancel, every: { kind: probability, p: 0.05 }, expect: [unknown-outcomes] },
            { kind: db-slow, at: { kind: at, after: 3s }, for: 1s, expect: [unknown-outcomes] },
            { kind: db-cut, at: { kind: at, after: 7s }, for: 1s,
            expect: [unknown-outcomes, failover, infrastructure] } ]
            """);

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        var messages = run.GetProperty("faults").GetProperty("messages");
        Assert.True(messages.GetProperty("message-delay").GetInt64() > 0);
        Assert.True(messages.GetProperty("message-drop").GetInt64() > 0);
        Assert.True(messages.GetProperty("message-duplicate").GetInt64() > 0);
        Assert.True(messages.GetProperty("message-cancel").GetInt64() > 0);
        var faults = await SqlAsync(run, "select kind from v_faults where kind like 'db-%' order by time_ns");
        Assert.Equal(["db-slow", "db-cut"], faults.Select(row => row[0].GetString()));
        await NothingIsLeftBehind(run);
    }

    [ServerFact]
    public async Task With_the_distributed_directory_and_its_lease_a_kill_is_survived()
    {
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "chaos", "--silos", "3", "--devices", "24", "--clients", "16", "--duration", "10s",
            "--set", NoProbes, "--set", "cluster={ liveness: tuned, directory: distributed, lease: 6s }", "--set",
            "faults=[ { kind: silo-kill, at: { kind: at, after: 4s }, expect: [unknown-outcomes, failover] } ]");

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        var failovers = await SqlAsync(run, "select count(*) from v_events where kind = 'incarnation' and gen > 1");
        Assert.True(failovers[0][0].GetInt64() > 0, "nothing failed over");
        var back = Assert.Single(run.GetProperty("faults").GetProperty("recovery").EnumerateArray());
        Assert.Equal("silo-kill", back.GetProperty("kind").GetString());
        await NothingIsLeftBehind(run);
    }

    [ServerFact]
    public async Task A_device_and_a_host_that_are_pulled_out_are_fenced_and_bound_again()
    {
        var run = await database.RunAsync(
            ExitCode.Valid, "run", "chaos", "--silos", "2", "--devices", "24", "--clients", "16", "--duration", "8s",
            "--set", NoProbes, "--set",
            """
            faults=[ { kind: surprise-remove, target: random, at: { kind: at, after: 3s },
            expect: [failover, unknown-outcomes] },
            { kind: surprise-remove, target: host, at: { kind: at, after: 4s },
            expect: [failover, unknown-outcomes] } ]
            """);

        Assert.Equal("valid", run.GetProperty("verdict").GetString());
        Assert.Equal(2, run.GetProperty("faults").GetProperty("strikes").GetArrayLength());

        // One device, and those of one of the hosts; each life ends where it stands, or had ended before.
        var begun = await SqlAsync(
            run, "select count(*) from v_events where kind = 'incarnation' and gen > 1 and obj like 'dev:%'");
        Assert.True(begun[0][0].GetInt64() > 1, "nothing was pulled out");
        var fenced = await SqlAsync(
            run, "select count(*) from v_events where kind = 'fenced' and actor = 'surprise-remove'");
        Assert.True(fenced[0][0].GetInt64() > 0, "no life was ended");
        await NothingIsLeftBehind(run);
    }

    private async Task NothingIsLeftBehind(JsonElement run)
    {
        var counts = run.GetProperty("counts");
        Assert.Equal(
            counts.GetProperty("operationsAcknowledged").GetInt64(),
            counts.GetProperty("operationsStored").GetInt64());
        Assert.Equal(
            counts.GetProperty("eventsAcknowledged").GetInt64(), counts.GetProperty("eventsStored").GetInt64());
        foreach (var row in await SqlAsync(run, "select pid from v_processes where proc > 1"))
        {
            // The number may be somebody else's by now.
            var arguments = $"/proc/{row[0].GetInt32()}/cmdline";
            Assert.False(
                File.Exists(arguments) && File.ReadAllText(arguments).Contains(
                    run.GetProperty("run").GetString()!, StringComparison.Ordinal),
                $"{arguments} is a silo of the run");
        }
    }

    private async Task<IReadOnlyList<JsonElement>> SqlAsync(JsonElement run, string statement) =>
    [
        .. (await database.RunAsync(ExitCode.Valid, "sql", run.GetProperty("run").GetString()!, statement))
            .GetProperty("rows").EnumerateArray(),
    ];
}
