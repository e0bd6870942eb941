using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Query;
using Fleet.Storage.Results;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet sql</c>: one reading query over one run.</summary>
internal static class SqlCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = StoreOptions.Run();
        var query = new Argument<string>("QUERY")
        {
            Description =
                "One SELECT; the views are v_run, v_operations, v_events, v_findings and more (docs/schema.md).",
        };
        var rows = CommonOptions.Whole("--rows", 1, 1_000_000, "Rows shown at most (default 10000).");
        var time = CommonOptions.Duration("--time", "Time that the query may take (default 30s).");
        var csv = new Option<bool>("--csv")
        {
            Description = "Print comma separated values with a header (RFC 4180), every row ended by CR LF.",
        };
        var store = new StoreOptions();
        var command = new Command(
            "sql", "Asks a stored run one question in SQL; nothing can be written.") { run, query, rows, time, csv };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            if (parsed.GetValue(csv) && parsed.GetValue(store.Json))
                throw new UsageException("fleet sql prints one form at a time; accepted: --csv or --json.");
            var limits = new SqlLimits(
                parsed.GetValue(time) ?? SqlLimits.Default.TimeMax, parsed.GetValue(rows) ?? SqlLimits.Default.RowsMax);
            return await store.ReadAsync(parsed, run, ReadAsync, ct);

            async Task<int> ReadAsync(IRunReader reader)
            {
                var answer = await reader.QueryAsync(parsed.GetRequiredValue(query), limits, ct);
                if (parsed.GetValue(store.Json))
                {
                    terminal.WriteJson(new
                    {
                        run = reader.Run.Info.Run,
                        columns = answer.Columns.Select(column => new { name = column.Name, type = column.Type }),
                        rows = answer.Rows,
                        isCut = answer.IsCut,
                    });
                    return ExitCode.Valid;
                }

                if (parsed.GetValue(csv))
                    WriteCsv(terminal, answer);
                else
                    Show(terminal, answer);
                return ExitCode.Valid;
            }
        });
        return command;
    }

    private static void Show(Terminal terminal, SqlTable answer)
    {
        var table = new Table { Border = TableBorder.Simple };
        foreach (var column in answer.Columns)
            table.AddColumn(new TableColumn(Terminal.Safe(column.Name)) { NoWrap = true });
        foreach (var row in answer.Rows)
            table.AddRow(row.Select(value => Terminal.Safe(TextOf(value))).ToArray());
        if (!terminal.IsInteractive)
            terminal.Screen.Profile.Width = 4096;
        terminal.Screen.Write(table);
        terminal.Say($"{answer.Rows.Count} row(s){(answer.IsCut ? "; there are more, see --rows" : "")}.");
    }

    /// <summary>Values as they are: a file for another program, not a screen.</summary>
    private static void WriteCsv(Terminal terminal, SqlTable answer)
    {
        Write(answer.Columns.Select(column => column.Name));
        foreach (var row in answer.Rows)
            Write(row.Select(TextOf));
        if (answer.IsCut)
            terminal.SayProgress($"{answer.Rows.Count} rows; there are more, see --rows.");

        void Write(IEnumerable<string> fields) =>
            terminal.Output.Write(string.Join(',', fields.Select(Field)) + "\r\n");

        static string Field(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0
            ? text
            : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    private static string TextOf(object? value) => value switch
    {
        null => "",
        DateTime time => time.ToString("O", CultureInfo.InvariantCulture),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };
}
