namespace Fleet.Storage.Query;

/// <summary>
/// Lets through one reading statement: the outer of two fences, the store's own rights are the inner one.
/// </summary>
public static class SqlStatement
{
    private static readonly string[] Openers =
        ["SELECT", "WITH", "VALUES", "TABLE", "FROM", "EXPLAIN", "DESCRIBE", "SHOW", "SUMMARIZE"];

    // Functions that change a setting, take a query as text, reach the file system or another session. A role that
    // may only read cannot use most of them; set_config could give up that role, and a text could hide a call to it.
    private static readonly string[] Refused =
    [
        "set_config", "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "cursor_to_xml",
        "table_to_xml", "schema_to_xml", "database_to_xml", "pg_read_file", "pg_read_binary_file", "pg_ls_dir",
        "pg_stat_file", "lo_import", "lo_export", "lo_create", "lo_put", "lo_unlink", "dblink", "dblink_exec",
        "dblink_connect", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_notify",
        "nextval", "setval", "pg_advisory_lock", "pg_sleep", "pg_sleep_for", "pg_sleep_until",
        "read_csv", "read_csv_auto", "read_parquet", "read_json", "read_json_auto", "read_text", "read_blob",
        "parquet_scan", "glob", "query", "query_table", "getenv", "duckdb_secrets", "install", "load",
    ];

    /// <exception cref="StorageException">It is empty, several statements, or one that does not only read.</exception>
    public static string Check(string sql)
    {
        var opener = "";
        var before = "";
        var ended = false;
        foreach (var token in Tokens(sql))
        {
            if (token == ";")
            {
                ended = true;
                continue;
            }

            if (ended)
            {
                throw new StorageException("One query at a time: there is text after the first semicolon.");
            }

            opener = opener.Length == 0 ? token.ToUpperInvariant() : opener;
            var word = before.Trim('"').ToLowerInvariant();
            if (token == "(" && Refused.Contains(word, StringComparer.Ordinal))
            {
                throw new StorageException($"The function {word} is not allowed here: a query only reads this run.");
            }

            before = token;
        }

        if (!Openers.Contains(opener, StringComparer.Ordinal) && opener != "(")
        {
            throw new StorageException(opener.Length == 0
                ? "The query is empty; a SELECT is accepted."
                : $"A query that starts with {opener} is not allowed here; SELECT, WITH, "
                + "VALUES, EXPLAIN, DESCRIBE and SHOW are.");
        }

        return sql.Trim().TrimEnd(';');
    }

    /// <summary>Words, quoted names and single signs outside comments and texts.</summary>
    private static IEnumerable<string> Tokens(string sql)
    {
        for (var i = 0; i < sql.Length;)
        {
            var c = sql[i];
            if (char.IsWhiteSpace(c))
            {
                i++;
            }
            else if (c == '-' && Next(sql, i) == '-')
            {
                i = End(sql, i, "\n");
            }
            else if (c == '/' && Next(sql, i) == '*')
            {
                i = EndOfComment(sql, i + 2);
            }
            else if (c == '\'')
            {
                var escapes = i > 0 && sql[i - 1] is 'e' or 'E';
                i = EndOfText(sql, i + 1, escapes);
                yield return "''";
            }
            else if (c == '"')
            {
                var end = EndOfText(sql, i + 1, false, '"');
                yield return sql[i..end];
                i = end;
            }
            else if (c == '$' && DollarTag(sql, i) is { } tag)
            {
                i = End(sql, i + tag.Length, tag);
                yield return "''";
            }
            else if (char.IsLetter(c) || c == '_')
            {
                var end = i;
                while (end < sql.Length && (char.IsLetterOrDigit(sql[end]) || sql[end] is '_' or '$'))
                {
                    end++;
                }

                yield return sql[i..end];
                i = end;
            }
            else
            {
                yield return c.ToString();
                i++;
            }
        }
    }

    private static char Next(string sql, int i) => i + 1 < sql.Length ? sql[i + 1] : '\0';

    private static int End(string sql, int from, string mark)
    {
        var at = sql.IndexOf(mark, from, StringComparison.Ordinal);
        return at < 0 ? sql.Length : at + mark.Length;
    }

    /// <summary>Comments nest in PostgreSQL and in DuckDB's parser, which is PostgreSQL's.</summary>
    private static int EndOfComment(string sql, int i)
    {
        var depth = 1;
        while (i < sql.Length && depth > 0)
        {
            if (sql[i] == '/' && Next(sql, i) == '*')
            {
                depth++;
                i += 2;
            }
            else if (sql[i] == '*' && Next(sql, i) == '/')
            {
                depth--;
                i += 2;
            }
            else
            {
                i++;
            }
        }

        return i;
    }

    private static int EndOfText(string sql, int i, bool escapes, char quote = '\'')
    {
        while (i < sql.Length)
        {
            if (escapes && sql[i] == '\\')
            {
                i += 2;
            }
            else if (sql[i] != quote)
            {
                i++;
            }
            else if (Next(sql, i) == quote)
            {
                i += 2;
            }
            else
            {
                return i + 1;
            }
        }

        return sql.Length;
    }

    private static string? DollarTag(string sql, int i)
    {
        var end = i + 1;
        while (end < sql.Length && (char.IsLetterOrDigit(sql[end]) || sql[end] == '_'))
        {
            end++;
        }

        return end < sql.Length && sql[end] == '$' ? sql[i..(end + 1)] : null;
    }
}
