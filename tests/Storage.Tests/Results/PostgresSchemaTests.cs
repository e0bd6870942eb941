using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;
using Fleet.Storage.Results.Postgres;
using Npgsql;

namespace Fleet.Storage.Tests.Results;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PostgresSchemaTests(ServerFixture fixture)
{
    private const int ScriptsOfWideRows = 7;

    private const string WideRun =
        """
        INSERT INTO runs (run, scenario, profile, seed, source, ordering, clock, clock_bound_ns, epoch_ns, started_utc,
          command_line, settings, state, verdict, exit_code, complete, quiescent, ended_utc, operations, events,
          findings, summary, schema_version)
          VALUES ('older', 's', 'p', 1, 'fleet', 'total', 'c', 0, 0, now(), '', '{}', 'sealed', 'valid', 0, true, true,
          now(), 1000, 0, 0, '{}', 1);
        SELECT create_run_partitions(1);
        INSERT INTO objects VALUES (8589934593, 1, 1, 1, 1, 'dev:a'), (8589934594, 1, 2, 1, 3, 'map:a/bar4'),
          (25769803779, 1, 3, 0, 6, 'client:1');
        INSERT INTO clients VALUES (1, 3, 3, 1);
        INSERT INTO operations (number, sent_ns, address, pfn, tag, late_ns, took_ns, size_bytes, seq, alloc_number,
          client, obj, life, run_id, code, err)
          SELECT i, i::bigint * 1000, CASE i % 3 WHEN 0 THEN i * 4096 + i % 2 WHEN 1 THEN i::bigint << 40 END,
            CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i * 1000000007::bigint END, i,
            CASE i % 5 WHEN 0 THEN 5 WHEN 1 THEN 5000000000 END, 7, 4096, i, i, 3,
            CASE WHEN i % 7 > 0 THEN 1 + i % 2 END, CASE WHEN i % 7 > 0 THEN nullif(i % 4, 0) END, 1,
            1 | (i % 3 << 4), nullif(i % 6, 0)
          FROM generate_series(1, 1000) AS i;
        SELECT seal_run(1)
        """;

    private const string AllRows =
        "SELECT string_agg(n::text, ' ' ORDER BY number) FROM n_operations AS n";

    // Goal: what an earlier version stored says the same after the rows became narrower.
    // Method: a database of that version, filled by SQL, with values on both sides of every bound.
    [StoreFact]
    public async Task A_run_of_wide_rows_keeps_every_value()
    {
        var admin = StoreAddress.Parse(
            fixture.Status.Address.Replace("fleet_owner", "fleet_admin", StringComparison.Ordinal));
        await using (var source = NpgsqlDataSource.Create(admin.ConnectionString!))
        {
            await using var create = source.CreateCommand("CREATE DATABASE older_one OWNER fleet_owner");
            await create.ExecuteNonQueryAsync();
        }

        var address = StoreAddress.Parse(
            fixture.Status.Address.Replace("/fleet?", "/older_one?", StringComparison.Ordinal));
        await using var older = NpgsqlDataSource.Create(address.ConnectionString!);
        await using (var schema = older.CreateCommand("CREATE SCHEMA fleet"))
        {
            await schema.ExecuteNonQueryAsync();
        }

        PostgresSchema.Migrate(address.ConnectionString!, ScriptsOfWideRows);
        await using var connection = await older.OpenConnectionAsync();
        await using (var fill = new NpgsqlCommand($"SET fleet.run_id = '1'; {WideRun}", connection))
        {
            await fill.ExecuteNonQueryAsync();
        }

        await using var all = new NpgsqlCommand(AllRows, connection);
        var before = (string)(await all.ExecuteScalarAsync())!;
        await using var store = await ResultStores.OpenAsync(address, default);
        Assert.Equal(before, (string)(await all.ExecuteScalarAsync())!);
        await using var reader = await store.OpenRunAsync("older", default);
        var counted = await reader.QueryAsync("SELECT count(*) FROM v_operations", SqlLimits.Default, default);
        Assert.Equal(1000L, counted.Rows[0][0]);
    }

    // Goal: a run begins while somebody reads others, and one goes when they have ended; nobody is a deadlock's victim.
    [StoreFact]
    public async Task Runs_begin_beside_readers_and_go_after_them()
    {
        var address = StoreAddress.Parse(fixture.Status.Address);
        await using var store = await ResultStores.OpenAsync(address, default);
        await using var source = NpgsqlDataSource.Create(address.ConnectionString!);
        await using var reading = await source.OpenConnectionAsync();
        await using var transaction = await reading.BeginTransactionAsync();
        await ReadAsync("events");
        await using (var writer = await store
            .CreateRunAsync(new RunInfo("beside-readers"), new(), default).WaitAsync(TimeSpan.FromMinutes(2)))
        {
            await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default);
        }

        var dropping = store.DropRunAsync("beside-readers", default);
        await ReadAsync("objects"); // In the order that a drop does not take; it holds nothing while it waits.
        Assert.False(dropping.IsCompleted);
        await transaction.CommitAsync();
        await dropping;
        Assert.DoesNotContain(await store.ListRunsAsync(default), run => run.Info.Run == "beside-readers");

        async Task ReadAsync(string table)
        {
            await using var read = new NpgsqlCommand($"SELECT count(*) FROM {table}", reading);
            await read.ExecuteScalarAsync();
        }
    }
}
