using System.Net.Sockets;
using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Npgsql;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Reads one run of a database from its own partitions.</summary>
internal sealed class PostgresRunReader : SqlRunReader
{
    private static readonly string[] Partitioned =
        ["objects", "texts", "clients", "operations", "events", "event_after"];

    // The views' expressions hide how many rows they keep, and a nested loop or a merge over a wrong guess takes
    // minutes to hours: hash joins.
    private const string Planning =
        "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL work_mem = '256MB'; "
        + "SET LOCAL jit = off";

    private readonly NpgsqlDataSource _source;
    private readonly int _runId;

    private PostgresRunReader(NpgsqlDataSource source, StoredRun run, int runId, ObjectTable objects)
        : base(run, objects)
    {
        _source = source;
        _runId = runId;
    }

    protected override string Where => $" WHERE run_id = {_runId}";

    public static async Task<PostgresRunReader> OpenAsync(
        NpgsqlDataSource source, StoredRun run, int runId, CancellationToken ct)
    {
        var objects = new ObjectTable();
        await ReadObjectsAsync(source, runId, objects, ct);
        return new PostgresRunReader(source, run, runId, objects);
    }

    /// <summary>Beside a writer: names are read when the reading starts.</summary>
    public static PostgresRunReader OfUnsealed(NpgsqlDataSource source, StoredRun run, int runId) =>
        new(source, run, runId, new ObjectTable());

    public override async Task<SqlTable> QueryAsync(string sql, SqlLimits limits, CancellationToken ct)
    {
        var statement = SqlStatement.Check(sql);
        await using var connection = _source.CreateConnection();
        await using var transaction = await BeginReadOnlyAsync(connection, limits, ct);

        // Npgsql prepares a text that comes often, and a prepared statement keeps the run that it was planned for.
        return await QueryRunner.RunAsync(connection, $"/* run {_runId} */ {statement}", limits, ct);
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    protected override bool IsLost(Exception e) => Transience.IsConnectionLoss(e);

    protected override Task PatientlyAsync(Func<CancellationToken, Task> read, CancellationToken ct) =>
        Run.State is RunState.Running
            ? Transience.Patient().ExecuteAsync(async token => await read(token), ct).AsTask()
            : read(ct);

    protected override string Table(string name) => Partitioned.Contains(name) ? $"{name}_{_runId}" : name;

    protected override async Task ExportViewAsync(string view, string file, ExportFormat format, CancellationToken ct)
    {
        var csv = format is ExportFormat.Csv ? file : file + ".csv";
        await using (var connection = await _source.OpenConnectionAsync(ct))
        {
            await using (var chosen = new NpgsqlCommand($"SET fleet.run_id = '{_runId}'; SET jit = off", connection))
            {
                await chosen.ExecuteNonQueryAsync(ct);
            }

            using var rows = await connection.BeginTextExportAsync(
                $"COPY (SELECT * FROM {view}) TO STDOUT (FORMAT csv, HEADER)", ct);
            await using var text = new StreamWriter(csv);
            var buffer = new char[1 << 16];
            for (int read; (read = await rows.ReadAsync(buffer, ct)) > 0;)
            {
                await text.WriteAsync(buffer.AsMemory(0, read), ct);
            }
        }

        if (format is ExportFormat.Parquet)
        {
            // PostgreSQL knows no Parquet; the engine of the other store writes it.
            await using var duck = new DuckDB.NET.Data.DuckDBConnection("Data Source=:memory:");
            await duck.OpenAsync(ct);
            await Embedded.DuckRunReader.CopyOutAsync(
                duck, $"SELECT * FROM read_csv({Embedded.DuckRunReader.Quoted(csv)}, header = true)", file, format, ct);
            File.Delete(csv);
        }
    }

    protected override async Task<RowLease> OpenAsync(string sql, CancellationToken ct)
    {
        if (Run.State is RunState.Running)
        {
            await ReadObjectsAsync(_source, _runId, Objects, ct);
        }

        var connection = await _source.OpenConnectionAsync(ct);
        await using (var memory = new NpgsqlCommand("SET work_mem = '256MB'; SET jit = off", connection))
        {
            await memory.ExecuteNonQueryAsync(ct);
        }

        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        return new RowLease(await command.ExecuteReaderAsync(ct), command, connection);
    }

    private static async Task ReadObjectsAsync(
        NpgsqlDataSource source, int runId, ObjectTable objects, CancellationToken ct)
    {
        await using var command = source.CreateCommand(
            $"SELECT id, name FROM objects_{runId} WHERE id > {objects.LastId} ORDER BY id");
        await using var rows = await command.ExecuteReaderAsync(ct);
        while (await rows.ReadAsync(ct))
        {
            if (objects.Intern(rows.GetString(1)) != rows.GetInt32(0))
            {
                throw new StorageInvariantException("The object numbers of the run are not dense.");
            }
        }
    }

    /// <summary>A transaction that cannot write, sees this run, and ends in time.</summary>
    /// <exception cref="StorageException">The server does not answer now.</exception>
    private async Task<NpgsqlTransaction> BeginReadOnlyAsync(
        NpgsqlConnection connection, SqlLimits limits, CancellationToken ct)
    {
        try
        {
            await connection.OpenAsync(ct);
            var transaction = await connection.BeginTransactionAsync(ct);
            await using var fence = new NpgsqlCommand(
                $"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {(long)limits.TimeMax.TotalMilliseconds}; "
                + $"SET LOCAL fleet.run_id = '{_runId}'; {Planning}", connection);
            await fence.ExecuteNonQueryAsync(ct);
            await BecomeAnalystAsync(connection, transaction, ct);
            return transaction;
        }
        catch (Exception e) when (e is NpgsqlException or SocketException or TimeoutException)
        {
            throw new StoreLostException($"The database does not answer: {e.Message.Split('\n', 2)[0].Trim()}", e);
        }
    }

    /// <summary>Gives up every right but reading, where the server has the role for it.</summary>
    private static async Task BecomeAnalystAsync(
        NpgsqlConnection connection, NpgsqlTransaction transaction, CancellationToken ct)
    {
        await transaction.SaveAsync("before_role", ct);
        try
        {
            await using var role = new NpgsqlCommand("SET LOCAL ROLE fleet_analyst", connection);
            await role.ExecuteNonQueryAsync(ct);
        }
        catch (PostgresException e) when (
            e.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.InvalidParameterValue)
        {
            await transaction.RollbackAsync("before_role", ct);
        }
    }
}
