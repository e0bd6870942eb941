using System.CommandLine;
using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Storage.Results;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet findings</c>: what was found in a run.</summary>
internal static class FindingsCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = StoreOptions.RunOrLast();
        var store = new StoreOptions();
        var command = new Command("findings", "Lists the findings of a run.") { run };
        store.AddTo(command);
        command.SetAction((parsed, ct) => store.ReadAsync(
            parsed,
            run,
            async reader =>
            {
                var findings = await reader.FindingsAsync(ct);
                if (parsed.GetValue(store.Json))
                {
                    terminal.WriteJson(new { run = reader.Run.Info.Run, findings = findings.Select(ToJson) });
                    return ExitCode.Valid;
                }

                if (findings.Count == 0)
                {
                    terminal.Say($"Run {reader.Run.Info.Run} has no finding.");
                    return ExitCode.Valid;
                }

                terminal.Screen.Write(TableOf(reader.Run.Info.Run, findings));
                terminal.Say("fleet explain RUN#NUMBER shows one with what proves it.");
                return ExitCode.Valid;
            },
            ct));
        return command;
    }

    public static Table TableOf(string run, IReadOnlyList<StoredFinding> findings)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("finding", "rule", "class", "times", "at", "found by", "forbidden or caused by");
        foreach (var (number, checker, finding) in findings)
        {
            table.AddRow(
                Terminal.Safe($"{run}#{number}"),
                Terminal.Safe(finding.Rule),
                finding.Class.ToString().ToLowerInvariant(),
                finding.Count.ToString("N0", CultureInfo.InvariantCulture),
                Terminal.Safe(finding.Object),
                Terminal.Safe(checker),
                Terminal.Safe(finding.Remedy ?? "-"));
        }

        return table;
    }

    internal static object ToJson(StoredFinding stored) => new
    {
        id = stored.Id,
        checker = stored.Checker,
        rule = stored.Finding.Rule,
        @class = stored.Finding.Class,
        @object = stored.Finding.Object,
        count = stored.Finding.Count,
        remedy = stored.Finding.Remedy,
        text = stored.Finding.Text,
        evidence = stored.Finding.Evidence,
    };
}
