using DbUp;
using DbUp.Engine;
using DbUp.Engine.Output;
using Npgsql;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Brings a database to the schema of this version; safe when many processes start at once.</summary>
internal static class PostgresSchema
{
    private const long MigrationLock = 0x464C_4545_5401; // Any number that others do not use.
    private const int VersionMin = 14;

    // A script that ran is never changed: its name is what the journal remembers.
    private static readonly (string Name, string Resource)[] Scripts =
    [
        ("0001_tables", "Results/Postgres/0001_tables.sql"),
        ("0002_views", "Results/views.sql"),
        ("0003_checks", "Checks/checks.sql"),
        ("0004_cluster", "Cluster/0004_cluster.sql"),
        ("0005_cluster_runs", "Cluster/0005_cluster_runs.sql"),
        ("0006_pins", "Checks/pins.sql"),
        ("0007_numbers", "Results/Postgres/0007_numbers.sql"),
        ("0008_readers", "Results/Postgres/0008_readers.sql"),
        ("0009_narrow_rows", "Results/Postgres/0009_narrow_rows.sql"),
        ("0010_failover", "Cluster/0010_failover.sql"),
        ("0011_one_pass", "Checks/one_pass.sql"),
        ("0012_takeovers", "Cluster/0012_takeovers.sql"),
        ("0013_overlaps", "Checks/overlaps.sql"),
    ];

    /// <exception cref="StorageException">The server is too old, its schema too new, or a right is missing.</exception>
    public static async Task EnsureAsync(
        NpgsqlDataSource source, string connectionString, string address, CancellationToken ct)
    {
        await using var connection = await Transience.Opening.ExecuteAsync(
            token => source.OpenConnectionAsync(token), ct);
        if (connection.PostgreSqlVersion.Major < VersionMin)
        {
            throw new StorageException(
                $"The store {address} is PostgreSQL {connection.PostgreSqlVersion}; "
                + $"{VersionMin} or newer is accepted.");
        }

        if (await AppliedAsync(connection, ct) == Scripts.Length)
        {
            return;
        }

        await ExecuteAsync(connection, $"SELECT pg_advisory_lock({MigrationLock})", ct);
        try
        {
            var applied = await AppliedAsync(connection, ct); // Another process may have done it meanwhile.
            if (applied > Scripts.Length)
            {
                throw new StorageException(
                    $"The store {address} has schema version {applied}; "
                    + $"this Fleet knows {Scripts.Length}: use a newer one.");
            }

            if (applied < Scripts.Length)
            {
                await ExecuteAsync(connection, "CREATE SCHEMA IF NOT EXISTS fleet", ct);
                Migrate(connectionString, Scripts.Length);
                await ExecuteAsync(connection, Resources.Text("Results/Postgres/roles.sql"), ct);
            }
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.InsufficientPrivilege)
        {
            throw new StorageException(
                $"The store {address} needs its tables made or changed, and this user may not: {e.MessageText}.", e);
        }
        finally
        {
            await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({MigrationLock})", ct);
        }
    }

    /// <param name="count">Scripts from the first; a test makes the schema of an earlier version.</param>
    internal static void Migrate(string connectionString, int count)
    {
        var result = DeployChanges.To
            .PostgresqlDatabase(connectionString)
            .WithScripts(Scripts.Take(count).Select(s => new SqlScript(s.Name, Resources.Text(s.Resource))))
            .JournalToPostgresqlTable("fleet", "schema_versions")
            .WithTransactionPerScript()
            .WithVariablesDisabled()
            .LogTo(new NoOpUpgradeLog())
            .Build()
            .PerformUpgrade();
        if (!result.Successful)
        {
            throw result.Error;
        }
    }

    private static async Task<int> AppliedAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var exists = new NpgsqlCommand(
            "SELECT to_regclass('fleet.schema_versions') IS NOT NULL", connection);
        if (!(bool)(await exists.ExecuteScalarAsync(ct))!)
        {
            return 0;
        }

        await using var count = new NpgsqlCommand("SELECT count(*)::int FROM fleet.schema_versions", connection);
        return (int)(await count.ExecuteScalarAsync(ct))!;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 }; // Waits for who migrates.
        await command.ExecuteNonQueryAsync(ct);
    }
}
