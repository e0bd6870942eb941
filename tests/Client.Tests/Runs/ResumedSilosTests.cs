using System.Diagnostics;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Runs;

// Goal: whatever is killed with the generator of a run (its silos go with it, one of them died before, the database
// did), the run goes on where it stopped and ends as one that nobody disturbed.
// Method: real processes, a server of our own; kill -9 within the load; the same run gone on with by fleet resume.
[Trait("tier", "cluster")]
public sealed class ResumedSilosTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    // The last phase asks for nothing: on a busy machine clients send then what they could not send in time.
    private const string Phases = "phases=[ { name: warm, for: 1s, rate: 0.2 }, { name: steady, for: 15s }, "
        + "{ name: rest, for: 12s, rate: 0 }, { name: drain, for: 30s } ]";

    [ServerFact]
    public async Task A_run_whose_silos_went_with_its_generator_goes_on()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        await process.KillAsync();

        await IsWholeAsync(run);
    }

    [ServerFact]
    public async Task A_silo_is_killed_and_then_the_generator()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        process.Children("Fleet.Silo.dll")[0].Kill();
        await process.KillAsync();

        await IsWholeAsync(run);
    }

    [ServerFact]
    public async Task The_database_is_killed_and_then_the_generator()
    {
        await using var process = Begin();
        var run = await process.AwaitRunAsync();
        await process.AwaitOperationsAsync(300);
        using (var server = Process.GetProcessById(database.ServerPid()))
        {
            server.Kill();
            await server.WaitForExitAsync();
        }

        await process.KillAsync();
        await PrivateDatabase.InvokeAsync(ExitCode.Valid, "db", "up", "--directory", database.Folder);

        await IsWholeAsync(run);
    }

    // The silos are somebody else's and stay; the first of two generators is lost, and the other one waits for it.
    [ServerFact]
    public async Task The_first_of_two_generators_of_a_cluster_is_killed_and_gone_on_with()
    {
        const string Cluster = "somebody-elses";
        var store = StoreAddress.Parse(database.Store).Unredacted;
        await using var first = SiloProcess.Start(Cluster, store, "silo-a", static _ => { });
        await using var second = SiloProcess.Start(Cluster, store, "silo-b", static _ => { });
        await using var process = Begin("--cluster", Cluster, "--silos", "2", "--generators", "2");
        var run = await process.AwaitNameAsync();
        await using var other = FleetProcess.Start("run", "--join", run, "--store", database.Store, "--json");
        await process.AwaitOperationsAsync(300);
        await process.KillAsync();

        await IsWholeAsync(run);

        Assert.Equal(run, (await other.EndAsync(ExitCode.Valid)).GetProperty("run").GetString());
    }

    private FleetProcess Begin() => Begin("--silos", "2");

    private FleetProcess Begin(params string[] fleet) => FleetProcess.Start(
    [
        "run", .. fleet, "--devices", "24", "--clients", "24", "--rate", "100", "--set", Phases, "--set",
        "probes={ require: [] }", "--set", "thresholds=[]", "--set", "load.operations.unbind=1", "--store",
        database.Store, "--json",
    ]);

    private async Task IsWholeAsync(string run)
    {
        await using var resumed = FleetProcess.Start("resume", run, "--store", database.Store, "--json");
        var summary = await resumed.EndAsync(ExitCode.Valid);

        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        Assert.Equal(1, summary.GetProperty("resumed").GetInt32());
        Assert.Equal(
            [(20, 20), (1_500, 1_500), (0, 0)],
            summary.GetProperty("phases").EnumerateArray()
                .Select(phase => (phase.GetProperty("due").GetInt64(), phase.GetProperty("sent").GetInt64())));
        var counts = summary.GetProperty("counts");
        var stored = counts.GetProperty("operationsStored").GetInt64();
        Assert.Equal(stored, counts.GetProperty("operationsAcknowledged").GetInt64());
        Assert.Equal(stored, counts.GetProperty("operationsSpooled").GetInt64());
        Assert.Equal(
            counts.GetProperty("eventsAcknowledged").GetInt64(), counts.GetProperty("eventsStored").GetInt64());

        // Of each client every number from its first to the one that it sent last is there, once.
        var sent = await database.RunAsync(
            ExitCode.Valid, "sql", run,
            "select sum(numbers), sum(span), sum(others) from (select count(*) as numbers, "
            + "max(number) - min(number) + 1 as span, "
            + "count(*) filter (where outcome not in ('ok', 'fail', 'unknown')) as others from v_operations "
            + "where client not like '%operator%' group by client) c");
        var row = sent.GetProperty("rows")[0];
        Assert.Equal(row[1].ToString(), row[0].ToString());
        Assert.Equal("0", row[2].ToString());
        await database.RunAsync(ExitCode.Valid, "check", run);
    }
}
