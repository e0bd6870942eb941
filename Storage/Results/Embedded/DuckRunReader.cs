using System.Data.Common;
using DuckDB.NET.Data;
using Fleet.Kernel.History;
using Fleet.Storage.Query;

namespace Fleet.Storage.Results.Embedded;

/// <summary>Reads the file of one run.</summary>
internal sealed class DuckRunReader : SqlRunReader
{
    // The configuration is locked last: nothing in the session can open what was closed.
    private const string Fence =
        "SET enable_external_access = false; SET autoinstall_known_extensions = false; "
        + "SET autoload_known_extensions = false; SET allow_community_extensions = false; "
        + "SET lock_configuration = true;";

    private readonly string _connectionString;
    private readonly string? _sealedPath;
    private readonly DuckDBConnection _keepOpen;

    private DuckRunReader(
        string connectionString, string? sealedPath, DuckDBConnection keepOpen, StoredRun run, ObjectTable objects)
        : base(run, objects)
    {
        _connectionString = connectionString;
        _sealedPath = sealedPath;
        _keepOpen = keepOpen;
    }

    /// <summary>Reads beside the writer of the same process.</summary>
    public static DuckRunReader OfUnsealed(string partPath, StoredRun run, ObjectTable objects)
    {
        var connectionString = $"Data Source={partPath}";
        var keepOpen = new DuckDBConnection(connectionString);
        keepOpen.Open();
        return new(connectionString, null, keepOpen, run, objects);
    }

    /// <exception cref="StorageException">The file is not a sealed run of this version.</exception>
    public static DuckRunReader OfSealed(string path)
    {
        var connection = OpenReadOnly(path, out var connectionString);
        try
        {
            var run = ReadRun(connection, path)
                ?? throw new StorageException($"The file {path} holds no run.");
            var objects = new ObjectTable();
            ReadObjects(connection, objects);
            return new(connectionString, path, connection, run, objects);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Returns what the file says about its run.</summary>
    /// <exception cref="StorageException">It is no result file of this version.</exception>
    public static StoredRun Describe(string path)
    {
        using var connection = OpenReadOnly(path, out _);
        return ReadRun(connection, path) ?? throw new StorageException($"The file {path} holds no run.");
    }

    public static StoredRun? ReadRun(DuckDBConnection connection, string path)
    {
        try
        {
            var version = DuckRows.Number(connection, "SELECT schema_version FROM runs");
            return version == HistoryTables.SchemaVersion
                ? DuckRows.Read(connection, $"SELECT {RunRows.RunColumns} FROM runs")
                    .Select(r => RunRows.Run(r, path)).FirstOrDefault()
                : throw new StorageException(
                    $"The result file {path} has schema version {version}; "
                    + $"this Fleet reads {HistoryTables.SchemaVersion}.");
        }
        catch (DuckDBException e)
        {
            throw new StorageException($"The file {path} is a database, but not a result of Fleet.", e);
        }
    }

    public static void ReadObjects(DuckDBConnection connection, ObjectTable objects)
    {
        foreach (var row in DuckRows.Read(connection, "SELECT id, name FROM objects ORDER BY id"))
        {
            if (objects.Intern(row.GetString(1)) != row.GetInt32(0))
            {
                throw new StorageInvariantException("The object numbers of the run are not dense.");
            }
        }
    }

    public override async Task<SqlTable> QueryAsync(string sql, SqlLimits limits, CancellationToken ct)
    {
        var statement = SqlStatement.Check(sql);
        if (_sealedPath is null)
        {
            return await QueryRunner.RunAsync(_keepOpen, statement, limits, ct);
        }

        await using var fenced = new DuckDBConnection("Data Source=:memory:");
        await fenced.OpenAsync(ct);
        await using (var fence = fenced.CreateCommand())
        {
            fence.CommandText = $"ATTACH {Quoted(_sealedPath)} AS run (READ_ONLY); USE run; {Fence}";
            await fence.ExecuteNonQueryAsync(ct);
        }

        return await QueryRunner.RunAsync(fenced, statement, limits, ct);
    }

    public override ValueTask DisposeAsync() => _keepOpen.DisposeAsync();

    protected override async Task ExportViewAsync(string view, string file, ExportFormat format, CancellationToken ct)
    {
        await using var connection = new DuckDBConnection(_connectionString);
        await connection.OpenAsync(ct);
        await CopyOutAsync(connection, $"SELECT * FROM {view}", file, format, ct);
    }

    /// <summary>Has DuckDB write the rows of a query to a file.</summary>
    internal static async Task CopyOutAsync(
        DuckDBConnection connection, string select, string file, ExportFormat format, CancellationToken ct)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = $"COPY ({select}) TO {Quoted(file)} "
            + (format is ExportFormat.Csv ? "(FORMAT csv, HEADER)" : "(FORMAT parquet, COMPRESSION zstd)");
        await command.ExecuteNonQueryAsync(ct);
    }

    internal static string Quoted(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    protected override async Task<RowLease> OpenAsync(string sql, CancellationToken ct)
    {
        var connection = new DuckDBConnection(_connectionString);
        await connection.OpenAsync(ct);
        var command = connection.CreateCommand();
        command.UseStreamingMode = true;
        command.CommandText = sql;
        DbDataReader rows = command.ExecuteReader();
        return new RowLease(rows, command, connection);
    }

    private static DuckDBConnection OpenReadOnly(string path, out string connectionString)
    {
        connectionString = $"Data Source={path};ACCESS_MODE=READ_ONLY";
        var connection = new DuckDBConnection(connectionString);
        try
        {
            connection.Open();
            return connection;
        }
        catch (DuckDBException e)
        {
            connection.Dispose();
            throw new StorageException($"The file {path} is no result of Fleet that can be read.", e);
        }
    }
}
