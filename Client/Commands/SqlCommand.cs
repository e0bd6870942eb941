using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Query;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet sql</c>: one reading query over one run.</summary>
internal static class SqlCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>(
            "RUN")
        { Description = "Name of a run, the beginning of it, its file, or 'last'." };
        var query = new Argument<string>("QUERY")
        {
            Description =
                "One SELECT; the views are v_run, v_operations, v_events, v_findings and more (docs/schema.md).",
        };
        var rows = CommonOptions.Whole("--rows", 1, 1_000_000, "Rows shown at most (default 10000).");
        var time = CommonOptions.Duration("--time", "Time that the query may take (default 30s).");
        var store = new StoreOptions();
        var command = new Command(
            "sql", "Asks a stored run one question in SQL; nothing can be written.") { run, query, rows, time };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var limits = new SqlLimits(
                parsed.GetValue(time) ?? SqlLimits.Default.TimeMax, parsed.GetValue(rows) ?? SqlLimits.Default.RowsMax);
            var (opened, reader) = await RunStore.OpenRunAsync(
                parsed.GetRequiredValue(run), parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            await using var _ = opened;
            await using var __ = reader;
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

            Show(terminal, answer);
            return ExitCode.Valid;
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

    private static string TextOf(object? value) => value switch
    {
        null => "",
        DateTime time => time.ToString("O", CultureInfo.InvariantCulture),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };
}
