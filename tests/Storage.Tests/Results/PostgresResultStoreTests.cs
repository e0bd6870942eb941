using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;
using Npgsql;

namespace Fleet.Storage.Tests.Results;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PostgresResultStoreTests(ServerFixture fixture) : StoreContract
{
    protected override Task<IResultStore> StoreAsync() =>
        ResultStores.OpenAsync(StoreAddress.Parse(fixture.Status.Address), default);

    // Goal: many silos may start at once on an empty database.
    [StoreFact]
    public async Task Many_processes_make_the_schema_at_once()
    {
        var admin = StoreAddress.Parse(
            fixture.Status.Address.Replace("fleet_owner", "fleet_admin", StringComparison.Ordinal));
        await using (var source = NpgsqlDataSource.Create(admin.ConnectionString!))
        {
            await using var create = source.CreateCommand("CREATE DATABASE empty_one OWNER fleet_owner");
            await create.ExecuteNonQueryAsync();
        }

        var empty = StoreAddress.Parse(
            fixture.Status.Address.Replace("/fleet?", "/empty_one?", StringComparison.Ordinal));
        var stores = await Task.WhenAll(
            Enumerable.Range(0, 6).Select(_ => Task.Run(() => ResultStores.OpenAsync(empty, default))));
        foreach (var store in stores)
        {
            Assert.Empty(await store.ListRunsAsync(default));
            await store.DisposeAsync();
        }
    }

    [StoreTheory]
    [InlineData("postgres://nobody_here:wrong@127.0.0.1:PORT/fleet", "refused the user or the password")]
    [InlineData("postgres://fleet_owner@127.0.0.1:1/fleet", "cannot be reached")]
    [InlineData("postgres://fleet_owner@127.0.0.1:PORT/nowhere?passfile=PASS", "has no such database")]
    [InlineData("postgres://stranger@127.0.0.1:PORT/fleet?passfile=PASS", "wants a password")]
    [InlineData("postgres://fleet_owner@127.0.0.1:PORT/fleet?passfile=PASS&sslmode=require", "offers no TLS")]
    public async Task A_store_that_does_not_answer_gives_one_sentence(string address, string part)
    {
        var text = address.Replace("PORT", $"{fixture.Status.Port}", StringComparison.Ordinal)
            .Replace("PASS", Path.Combine(fixture.Directory, "pg", "pgpass"), StringComparison.Ordinal);
        var error = await Assert.ThrowsAsync<StorageException>(
            () => ResultStores.OpenAsync(StoreAddress.Parse(text), default));
        Assert.Contains(part, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong", error.Message, StringComparison.Ordinal);
    }

    // Goal: the analyst's own login can read, and the server itself refuses everything else.
    [StoreFact]
    public async Task The_analyst_reads_and_the_server_refuses_the_rest()
    {
        await using var owner = await StoreAsync();
        await using (var writer = await owner.CreateRunAsync(new RunInfo("analyst-1"), new ObjectTable(), default))
        {
            await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default);
        }

        var address = StoreAddress.Parse(fixture.Status.AnalystAddress);
        await using var store = await ResultStores.OpenAsync(address, default);
        await using var reader = await store.OpenRunAsync("analyst-1", default);
        var table = await reader.QueryAsync("SELECT run FROM v_run", SqlLimits.Default, default);
        Assert.Equal("analyst-1", table.Rows[0][0]);
        await using var source = NpgsqlDataSource.Create(address.ConnectionString!);
        foreach (var sql in (string[])
            [
                "DELETE FROM runs", "INSERT INTO probes VALUES (1, 'x', 1, true)", "SELECT drop_run(1)",
                "SELECT pg_read_file('/etc/passwd')", "COPY runs TO '/tmp/fleet-sql-escape'",
                "CREATE TABLE fleet.x (a int)",
                "SELECT lo_import('/etc/passwd')",
            ])
        {
            await using var command = source.CreateCommand(sql);
            var refused = await Assert.ThrowsAsync<PostgresException>(() => command.ExecuteNonQueryAsync());
            Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, refused.SqlState);
        }
    }
}
