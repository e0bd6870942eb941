using System.Text.Json;

namespace Fleet.Client.Tests.Runs;

// Goal: generators in processes of their own make one run, and one that is killed costs it nothing.
// Method: real processes of the command line, a server of our own, two silos; kill -9 within the load.
[Trait("tier", "cluster")]
public sealed class GeneratorTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    private const int Clients = 24;

    [ServerFact]
    public async Task A_killed_generator_is_followed_by_another_that_leaves_nothing_out()
    {
        await using var first = Begin(generators: 2, seconds: 14);
        var run = await first.AwaitNameAsync();
        await using (var second = Join(run))
        {
            await first.AwaitOperationsAsync(300);
            await second.KillAsync();
        }

        await using var third = FleetProcess.Start("resume", run, "--store", database.Store, "--json");
        var joined = await third.EndAsync(ExitCode.Valid);
        var summary = await first.EndAsync(ExitCode.Valid);

        Assert.Equal("gen-2", joined.GetProperty("follows").GetString());
        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        PhasesAreWhole(summary, 20, 1_400, 0);
        CountsAreEqual(summary);

        // Of each client of the lost generator every number from its first to the one it sent last is there, once.
        var sent = await database.RunAsync(
            ExitCode.Valid, "sql", run,
            "select count(*), sum(numbers), sum(span), sum(unknown) from (select client, count(*) as numbers, "
            + "max(number) - min(number) + 1 as span, count(*) filter (where outcome = 'unknown') as unknown "
            + "from v_operations where client like 'client:gen-2-%' and client not like '%operator%' "
            + "group by client) c");
        var row = sent.GetProperty("rows")[0];
        Assert.Equal(Clients / 2, row[0].GetInt64());
        Assert.Equal(row[2].ToString(), row[1].ToString());
        var unknown = await database.RunAsync(
            ExitCode.Valid, "sql", run, "select count(*) from v_operations where outcome = 'unknown'");
        Assert.Equal(
            joined.GetProperty("unknown").GetInt64(), unknown.GetProperty("rows")[0][0].GetInt64());
        await database.RunAsync(ExitCode.Valid, "check", run);
    }

    [ServerFact]
    public async Task Three_generators_add_up_to_one_run()
    {
        await using var first = Begin(generators: 3, seconds: 6);
        var run = await first.AwaitNameAsync();
        await using var second = Join(run);
        await using var third = Join(run);

        var (joined, also) = (await second.EndAsync(ExitCode.Valid), await third.EndAsync(ExitCode.Valid));
        var summary = await first.EndAsync(ExitCode.Valid);

        PhasesAreWhole(summary, 20, 600, 0);
        CountsAreEqual(summary);
        var sums = await database.RunAsync(
            ExitCode.Valid, "sql", run, "select proc, count(*) from v_operations group by proc order by proc");
        var rows = sums.GetProperty("rows").EnumerateArray().Select(row => row[1].GetInt64()).ToList();
        Assert.Equal(3, rows.Count);
        Assert.Equal(summary.GetProperty("operationsTotal").GetInt64(), rows.Sum());
        Assert.Contains(joined.GetProperty("operations").GetInt64(), rows);
        Assert.Contains(also.GetProperty("operations").GetInt64(), rows);
        Assert.Equal(
            summary.GetProperty("operationsTotal").GetInt64(),
            summary.GetProperty("latency").EnumerateArray().Where(one => one.GetProperty("metric").GetString() == "lag")
                .Sum(one => one.GetProperty("count").GetInt64()));
    }

    [ServerFact]
    public async Task A_fault_of_the_plan_kills_a_generator_and_another_leaves_nothing_out()
    {
        await using var first = Begin(
            generators: 2, seconds: 14, "--set",
            "faults=[ { kind: generator-kill, at: { kind: at, after: 4s }, for: 1s, expect: [unknown-outcomes] } ]");
        var summary = await first.EndAsync(ExitCode.Valid);

        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        PhasesAreWhole(summary, 20, 1_400, 0);
        CountsAreEqual(summary);
        var strike = Assert.Single(summary.GetProperty("faults").GetProperty("strikes").EnumerateArray());
        Assert.Equal("generator-kill", strike.GetProperty("kind").GetString());
        var processes = await database.RunAsync(
            ExitCode.Valid, "sql", summary.GetProperty("run").GetString()!,
            "select count(*) from v_processes where name like 'gen-%'");
        Assert.Equal(3, processes.GetProperty("rows")[0][0].GetInt64());
    }

    // The last phase asks for nothing: on a busy machine clients send then what they could not send in time.
    private FleetProcess Begin(int generators, int seconds, params string[] more) => FleetProcess.Start(
    [
        "run", "--silos", "2", "--generators", $"{generators}", "--devices", "24", "--clients", $"{Clients}", "--rate",
        "100", "--set",
        $"phases=[ {{ name: warm, for: 1s, rate: 0.2 }}, {{ name: steady, for: {seconds}s }}, "
        + "{ name: rest, for: 10s, rate: 0 }, { name: drain, for: 20s } ]",
        "--set", "probes={ require: [] }", "--set", "thresholds=[]", "--set", "load.operations.unbind=1", "--store",
        database.Store, "--json", .. more,
    ]);

    private FleetProcess Join(string run) =>
        FleetProcess.Start("run", "--join", run, "--store", database.Store, "--json");

    private static void PhasesAreWhole(JsonElement summary, params long[] due) => Assert.Equal(
        due.Select(count => (count, count)),
        summary.GetProperty("phases").EnumerateArray()
            .Select(phase => (phase.GetProperty("due").GetInt64(), phase.GetProperty("sent").GetInt64())));

    private static void CountsAreEqual(JsonElement summary)
    {
        var counts = summary.GetProperty("counts");
        var stored = counts.GetProperty("operationsStored").GetInt64();
        Assert.Equal(stored, counts.GetProperty("operationsAcknowledged").GetInt64());
        Assert.Equal(stored, counts.GetProperty("operationsSpooled").GetInt64());
        Assert.Equal(
            counts.GetProperty("eventsAcknowledged").GetInt64(), counts.GetProperty("eventsStored").GetInt64());
    }
}
