using System.Diagnostics;
using System.Globalization;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using Npgsql;

namespace Fleet.Storage.Tests.Spool;

[NeedsServer]
[Trait("tier", "cluster")]
[Collection("server")]
public sealed class KilledWriterTests(ServerFixture fixture)
{
    // Goal: what a process said it had recorded is there after kill -9, each record once and whole; numbers that it
    // had reserved and not recorded come back as unknown.
    // Method: a real process writes on two threads and reports; it is killed in the middle.
    [StoreFact]
    public async Task A_process_killed_in_the_middle_of_writing_loses_nothing_that_it_acknowledged()
    {
        using var folder = new Folder();
        var directory = folder.In("spool");
        using var victim = Start(directory);
        var acknowledged = await AcknowledgedAsync(victim);
        victim.Kill();
        await victim.WaitForExitAsync();

        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(folder.In("results")), default);
        await using var writer = await store.CreateRunAsync(new RunInfo("killed"), new ObjectTable(), default);
        var report = await SpoolDrain.RecoverAsync(directory, writer, default);
        Assert.True(report.IsExact, report.ToString());
        Assert.True(report.OperationsStored >= acknowledged.Sum());
        Assert.InRange(report.OperationsUnknown, 1, 2 * 2 * 256);

        await AssertWholeAsync(writer.Reader, acknowledged);
    }

    // Goal: of two batches under way the later one may be stored and the earlier one not; what a killed generator left
    // is then stored exactly where it is missing.
    // Method: another session holds the key of the very first stretch, so that its batch waits while the next is
    // stored.
    [StoreFact]
    public async Task A_generator_killed_with_a_hole_behind_its_last_stored_batch_loses_and_doubles_nothing()
    {
        using var folder = new Folder();
        var directory = folder.In("spool");
        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(fixture.Status.Address), default);
        await using var writer = await store.CreateRunAsync(new RunInfo("hole"), new ObjectTable(), default);
        await using var source = NpgsqlDataSource.Create(StoreAddress.Parse(fixture.Status.Address).ConnectionString!);
        const string Key = "proc = 1 AND stripe = 0 AND run_id = (SELECT run_id FROM runs WHERE run = 'hole')";
        await using var other = await source.OpenConnectionAsync();
        await using var holding = await other.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand(
            "INSERT INTO batches SELECT run_id, 1, 0, 1, 64, 65 FROM runs WHERE run = 'hole'", other))
        {
            await hold.ExecuteNonQueryAsync();
        }

        using var victim = Start(directory, fixture.Status.Address, "hole");
        long[] acknowledged;
        try
        {
            acknowledged = await AcknowledgedAsync(victim);
            using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
            using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
            while (await NumberAsync($"SELECT count(*) FROM batches WHERE {Key}") == 0
                || await NumberAsync(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                    + "AND query LIKE 'INSERT INTO batches%'") == 0)
            {
                await tick.WaitForNextTickAsync(patience.Token);
            }
        }
        finally
        {
            victim.Kill();
            await victim.WaitForExitAsync();
        }

        await holding.RollbackAsync();
        Assert.Equal(
            0, await NumberAsync($"SELECT count(*) FROM batches WHERE {Key} AND segment = 1 AND from_offset = 64"));
        var report = await SpoolDrain.RecoverAsync(directory, writer, default);
        Assert.True(report.IsExact, report.ToString());
        Assert.True(report.OperationsStored >= acknowledged.Sum());
        await AssertWholeAsync(writer.Reader, acknowledged);
        var again = await SpoolDrain.RecoverAsync(directory, writer, default);
        var all = report.OperationsStored + report.OperationsUnknown;
        Assert.Equal(new DrainReport(all, all, report.EventsStored, report.EventsStored, 0), again);

        async Task<long> NumberAsync(string sql)
        {
            await using var command = source.CreateCommand(sql);
            return (long)(await command.ExecuteScalarAsync())!;
        }
    }

    private static Process Start(params string[] arguments) => Process.Start(new ProcessStartInfo(
        "dotnet", ["exec", typeof(KilledWriterTests).Assembly.Location, .. arguments])
    { RedirectStandardOutput = true })!;

    private static async Task<long[]> AcknowledgedAsync(Process victim)
    {
        var acknowledged = new long[2];
        for (var reports = 0; reports < 12; reports++)
        {
            var words = (await victim.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(5)))!.Split(' ');
            acknowledged[int.Parse(words[0], CultureInfo.InvariantCulture)] = long.Parse(
                words[1], CultureInfo.InvariantCulture);
        }

        return acknowledged;
    }

    /// <summary>Every thread's records are there from the first one on, each once.</summary>
    private static async Task AssertWholeAsync(IRunReader reader, long[] acknowledged)
    {
        var seen = new Collected();
        await reader.StreamUnplacedAsync(seen, default);
        await reader.StreamAsync(seen, default);
        for (var t = 0; t < 2; t++)
        {
            var done = seen.Operations
                .Where(o => reader.Objects.Name(o.Client) == $"client:{t}" && o.DoneNs > 0)
                .Select(o => o.DoneNs).ToList();
            Assert.Equal(Enumerable.Range(1, done.Count).Select(i => (long)i), done.Order());
            Assert.True(done.Count >= acknowledged[t]);
            var events = seen.Events.Count(e => e.At.Gen == t + 1);
            Assert.InRange(done.Count - events, 0, 1); // Killed between the two appends, at most.
        }

        Assert.Equal(seen.Operations.Count, seen.Operations.Select(o => o.Number).Distinct().Count());
    }
}
