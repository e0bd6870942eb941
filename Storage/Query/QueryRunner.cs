using System.Data.Common;
using System.Diagnostics;
using System.Globalization;
using System.Numerics;
using Fleet.Storage.Results.Postgres;

namespace Fleet.Storage.Query;

/// <summary>Runs a checked query on a connection that cannot write, within its limits.</summary>
internal static class QueryRunner
{
    public static async Task<SqlTable> RunAsync(
        DbConnection connection, string sql, SqlLimits limits, CancellationToken ct)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(ct);
        timeout.CancelAfter(limits.TimeMax);
        var started = Stopwatch.GetTimestamp();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = Math.Max(1, (int)Math.Ceiling(limits.TimeMax.TotalSeconds) + 1);
        await using var cancel = timeout.Token.Register(command.Cancel);
        try
        {
            await using var rows = await Task.Run(() => command.ExecuteReader(), ct);
            return await Task.Run(() => Collect(rows, limits, timeout.Token), ct);
        }
        catch (Exception e) when (e is DbException or OperationCanceledException && !ct.IsCancellationRequested)
        {
            throw timeout.IsCancellationRequested || Stopwatch.GetElapsedTime(started) >= limits.TimeMax
                ? new StorageException(
                    "The query took longer than "
                    + $"{limits.TimeMax.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s "
                    + "and was stopped.", e)
                : e is Npgsql.NpgsqlException && Transience.IsConnectionLoss(e)
                ? new StoreLostException($"The store stopped answering in the middle of a query: {FirstLine(e)}", e)
                : new StorageException($"The query is not accepted: {FirstLine(e)}", e);
        }
    }

    private static string FirstLine(Exception e) =>
        e is Npgsql.PostgresException p ? p.MessageText : e.Message.Split('\n', 2)[0].Trim();

    private static SqlTable Collect(DbDataReader rows, SqlLimits limits, CancellationToken ct)
    {
        var columns = new SqlColumn[rows.FieldCount];
        for (var i = 0; i < columns.Length; i++)
        {
            columns[i] = new SqlColumn(rows.GetName(i), rows.GetDataTypeName(i));
        }

        var table = new List<object?[]>();
        while (rows.Read())
        {
            ct.ThrowIfCancellationRequested();
            if (table.Count == limits.RowsMax)
            {
                return new SqlTable(columns, table, IsCut: true);
            }

            var row = new object?[columns.Length];
            for (var i = 0; i < row.Length; i++)
            {
                row[i] = rows.IsDBNull(i) ? null : Plain(rows.GetValue(i));
            }

            table.Add(row);
        }

        return new SqlTable(columns, table, IsCut: false);
    }

    private static object Plain(object value) => value switch
    {
        bool or string or long or double or decimal => value,
        sbyte or byte or short or ushort or int or uint => Convert.ToInt64(value, CultureInfo.InvariantCulture),
        ulong v => v <= long.MaxValue ? (long)v : (decimal)v,
        float v => (double)v,
        BigInteger v => v >= long.MinValue && v <= long.MaxValue ? (long)v : v.ToString(CultureInfo.InvariantCulture),
        DateTime v => DateTime.SpecifyKind(v, DateTimeKind.Utc),
        DateTimeOffset v => v.UtcDateTime,
        System.Collections.IEnumerable v => "[" + string.Join(", ", v.Cast<object?>()) + "]",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };
}
