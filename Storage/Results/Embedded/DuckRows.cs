using System.Globalization;
using DuckDB.NET.Data;

namespace Fleet.Storage.Results.Embedded;

/// <summary>Rows of the small tables, which hold texts.</summary>
internal static class DuckRows
{
    public static void Append(DuckDBConnection connection, string table, IEnumerable<object?[]> rows)
    {
        DuckDBAppender? appender = null;
        try
        {
            foreach (var row in rows)
            {
                appender ??= connection.CreateAppender(table);
                var target = appender.CreateRow();
                foreach (var value in row)
                {
                    _ = value switch
                    {
                        null => target.AppendNullValue(),
                        bool v => target.AppendValue(v),
                        short v => target.AppendValue(v),
                        int v => target.AppendValue(v),
                        long v => target.AppendValue(v),
                        double v => target.AppendValue(v),
                        string v => target.AppendValue(v),
                        DateTime v => target.AppendValue(v),
                        _ => throw new StorageInvariantException($"{table} got a value of {value.GetType()}."),
                    };
                }

                target.EndRow();
            }

            appender?.Close();
        }
        finally
        {
            appender?.Dispose();
        }
    }

    public static IEnumerable<DuckDBDataReader> Read(DuckDBConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        while (reader.Read())
        {
            yield return reader;
        }
    }

    public static long Number(DuckDBConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return Convert.ToInt64(command.ExecuteScalar(), CultureInfo.InvariantCulture);
    }
}
