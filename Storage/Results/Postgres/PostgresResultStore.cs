using System.Net.Sockets;
using System.Security.Cryptography;
using Fleet.Kernel.History;
using Npgsql;

namespace Fleet.Storage.Results.Postgres;

/// <summary>A PostgreSQL database with many runs.</summary>
internal sealed class PostgresResultStore : IResultStore
{
    private readonly NpgsqlDataSource _source;

    private PostgresResultStore(NpgsqlDataSource source, string address)
    {
        _source = source;
        Address = address;
    }

    public string Address { get; }

    public NpgsqlDataSource Source => _source;

    /// <exception cref="StorageException">It cannot be reached, is too old or too new, or a right is
    /// missing.</exception>
    public static async Task<IResultStore> OpenAsync(string connectionString, string address, CancellationToken ct)
    {
        var source = NpgsqlDataSource.Create(connectionString);
        try
        {
            await PostgresSchema.EnsureAsync(source, connectionString, address, ct);
            return new PostgresResultStore(source, address);
        }
        catch (Exception e) when (e is NpgsqlException or SocketException or TimeoutException)
        {
            await source.DisposeAsync();
            throw new StorageException(Unreachable(address, e), e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            await source.DisposeAsync();
            throw new StorageException($"The store {address} names a certificate that cannot be used: {e.Message}", e);
        }
        catch
        {
            await source.DisposeAsync();
            throw;
        }
    }

    public async Task<IRunWriter> CreateRunAsync(RunInfo info, ObjectTable objects, CancellationToken ct)
    {
        RunName.Check(info.Run);
        return await AskAsync(token => CreateAsync(info, token), ct);
    }

    private async Task<IRunWriter> CreateAsync(RunInfo info, CancellationToken ct)
    {
        await using var connection = await ConnectAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using var insert = new NpgsqlCommand(
            "INSERT INTO runs (run, scenario, profile, seed, source, ordering, clock, clock_bound_ns, "
            + "epoch_ns, started_utc, "
            + "command_line, settings, state, schema_version) "
            + "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'running', $13) RETURNING run_id",
            connection);
        object[] values =
        [
            info.Run, info.Scenario, info.Profile, unchecked((long)info.Seed), info.Source, info.Order, info.Clock,
            info.ClockBoundNs, info.EpochNs, DateTime.SpecifyKind(info.StartedAt.UtcDateTime, DateTimeKind.Unspecified),
            info.CommandLine, info.Settings, HistoryTables.SchemaVersion,
        ];
        foreach (var value in values)
        {
            insert.Parameters.Add(new NpgsqlParameter { Value = value });
        }

        insert.CommandTimeout = 0; // A server that has just started on a busy machine takes its time.
        int runId;
        try
        {
            runId = (int)(await insert.ExecuteScalarAsync(ct))!;
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UniqueViolation)
        {
            throw new StorageException($"There is a run {info.Run} in {Address} already; choose another name.", e);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.InsufficientPrivilege)
        {
            throw NoRight("makes runs", e);
        }

        await using (var partitions = new NpgsqlCommand($"SELECT create_run_partitions({runId})", connection))
        {
            partitions.CommandTimeout = 0;
            await partitions.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        return new PostgresRunWriter(_source, info, runId, LocationOf(info.Run), isCreator: true);
    }

    public async Task<IRunWriter> ResumeRunAsync(string run, CancellationToken ct)
    {
        var (runId, stored) = await FindAsync(run, ct) ?? throw NoSuchRun(run);
        return stored.State is RunState.Running
            ? new PostgresRunWriter(_source, stored.Info, runId, stored.Location, isCreator: false)
            : throw new StorageException($"The run {run} is sealed; only one that was cut off can be resumed.");
    }

    public async Task<IRunReader> OpenRunAsync(string run, CancellationToken ct)
    {
        var (runId, stored) = await FindAsync(run, ct) ?? throw NoSuchRun(run);
        return stored.State is RunState.Sealed
            ? await AskAsync(token => PostgresRunReader.OpenAsync(_source, stored, runId, token), ct)
            : throw new StorageException(
                $"The run {run} is still going, or was cut off and waits for `fleet resume {run}`: "
                + "it can be read when it is sealed.");
    }

    public Task<IReadOnlyList<StoredRun>> ListRunsAsync(CancellationToken ct) => AskAsync(
        async token =>
        {
            await using var connection = await ConnectAsync(token);
            await using var command = new NpgsqlCommand(
                $"SELECT {RunRows.RunColumns} FROM runs ORDER BY started_utc DESC", connection);
            await using var rows = await command.ExecuteReaderAsync(token);
            var runs = new List<StoredRun>();
            while (await rows.ReadAsync(token))
            {
                runs.Add(RunRows.Run(rows, LocationOf(rows.GetString(0))));
            }

            return (IReadOnlyList<StoredRun>)runs;
        },
        ct);

    public async Task DropRunAsync(string run, CancellationToken ct)
    {
        var (runId, _) = await FindAsync(run, ct) ?? throw NoSuchRun(run);
        await using var command = _source.CreateCommand($"SELECT drop_run({runId})");
        command.CommandTimeout = 0; // The function has a bound of its own.
        try
        {
            await AskAsync(command.ExecuteNonQueryAsync, ct);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.InsufficientPrivilege)
        {
            throw NoRight("removes runs", e);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.LockNotAvailable)
        {
            throw new StorageException(
                $"The run {run} of {Address} is still there: {e.MessageText}; try again when they have ended.", e);
        }
    }

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    private Task<(int RunId, StoredRun Run)?> FindAsync(string run, CancellationToken ct) => AskAsync(
        async token =>
        {
            await using var connection = await ConnectAsync(token);
            await using var command = new NpgsqlCommand(
                $"SELECT {RunRows.RunColumns}, run_id FROM runs WHERE run = $1", connection);
            command.Parameters.Add(new NpgsqlParameter { Value = RunName.Check(run) });
            await using var rows = await command.ExecuteReaderAsync(token);
            return await rows.ReadAsync(token)
                ? (rows.GetInt32(rows.FieldCount - 1), RunRows.Run(rows, LocationOf(run)))
                : ((int, StoredRun)?)null;
        },
        ct);

    private ValueTask<NpgsqlConnection> ConnectAsync(CancellationToken ct) =>
        Transience.Opening.ExecuteAsync(token => _source.OpenConnectionAsync(token), ct);

    /// <exception cref="StorageException">The server stopped answering: no defect of ours, and said in a
    /// sentence.</exception>
    private async Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> act, CancellationToken ct)
    {
        try
        {
            return await act(ct);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            throw new StorageException(Unreachable(Address, e), e);
        }
    }

    private string LocationOf(string run) => $"{Address} run {run}";

    private StorageException NoRight(string verb, PostgresException cause) => new(
        $"The user of {Address} may not do this ({cause.MessageText}); a member of fleet_writer {verb}.", cause);

    private StorageException NoSuchRun(string run) => new($"There is no run {run} in {Address}.");

    private static string Unreachable(string address, Exception e) => e switch
    {
        PostgresException { SqlState: PostgresErrorCodes.InvalidPassword } =>
            $"The store {address} refused the user or the password; a password may stand in the address, "
                + "PGPASSWORD or PGPASSFILE.",
        PostgresException { SqlState: PostgresErrorCodes.InvalidAuthorizationSpecification } p =>
            $"The store {address} refused the connection: {p.MessageText}.",
        PostgresException { SqlState: PostgresErrorCodes.InvalidCatalogName } =>
            $"The store {address} has no such database.",
        PostgresException p => $"The store {address} answered: {p.MessageText}.",
        NpgsqlException n when n.Message.StartsWith("No password", StringComparison.Ordinal) =>
            $"The store {address} wants a password; it may stand in the address, PGPASSWORD or PGPASSFILE.",
        NpgsqlException n when n.Message.StartsWith("SSL connection requested", StringComparison.Ordinal) =>
            $"The store {address} offers no TLS, which the address asks for.",
        _ => $"The store {address} cannot be reached: {StoreAddress.Redact((e.InnerException ?? e).Message)}",
    };
}
