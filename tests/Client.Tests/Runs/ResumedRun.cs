namespace Fleet.Client.Tests.Runs;

/// <summary>A run of silo processes that is killed within its load, and the demand that it goes on as one that nobody
/// disturbed.</summary>
public abstract class ResumedRun(PrivateDatabase database)
{
    // The last phase asks for nothing: on a busy machine clients send then what they could not send in time.
    private const string Phases = "phases=[ { name: warm, for: 1s, rate: 0.2 }, { name: steady, for: 10s }, "
        + "{ name: rest, for: 12s, rate: 0 }, { name: drain, for: 30s } ]";

    protected PrivateDatabase Database => database;

    protected FleetProcess Begin() => Begin("--silos", "2");

    protected FleetProcess Begin(params string[] fleet) => FleetProcess.Start(
    [
        "run", .. fleet, "--devices", "24", "--clients", "24", "--rate", "100", "--set", Phases, "--set",
        "probes={ require: [] }", "--set", "thresholds=[]", "--set", "load.operations.unbind=1", "--store",
        Database.Store, "--json",
    ]);

    protected async Task IsWholeAsync(string run)
    {
        await using var resumed = FleetProcess.Start("resume", run, "--store", Database.Store, "--json");
        var summary = await resumed.EndAsync(ExitCode.Valid);

        Assert.Equal("valid", summary.GetProperty("verdict").GetString());
        Assert.Equal(1, summary.GetProperty("resumed").GetInt32());
        Assert.Equal(
            [(20, 20), (1_000, 1_000), (0, 0)],
            summary.GetProperty("phases").EnumerateArray()
                .Select(phase => (phase.GetProperty("due").GetInt64(), phase.GetProperty("sent").GetInt64())));
        var counts = summary.GetProperty("counts");
        var stored = counts.GetProperty("operationsStored").GetInt64();
        Assert.Equal(stored, counts.GetProperty("operationsAcknowledged").GetInt64());
        Assert.Equal(stored, counts.GetProperty("operationsSpooled").GetInt64());
        Assert.Equal(
            counts.GetProperty("eventsAcknowledged").GetInt64(), counts.GetProperty("eventsStored").GetInt64());

        // Of each client every number from its first to the one that it sent last is there, once.
        var sent = await Database.RunAsync(
            ExitCode.Valid, "sql", run,
            "select sum(numbers), sum(span), sum(others) from (select count(*) as numbers, "
            + "max(number) - min(number) + 1 as span, "
            + "count(*) filter (where outcome not in ('ok', 'fail', 'unknown')) as others from v_operations "
            + "where client not like '%operator%' group by client) c");
        var row = sent.GetProperty("rows")[0];
        Assert.Equal(row[1].ToString(), row[0].ToString());
        Assert.Equal("0", row[2].ToString());
        await Database.RunAsync(ExitCode.Valid, "check", run);
    }
}
