using System.CommandLine;
using Fleet.Checking.Rules;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet rules</c>: what every history is judged by.</summary>
internal static class RulesCommand
{
    public static Command Create(Terminal terminal)
    {
        var json = CommonOptions.Json();
        var command = new Command("rules", "Lists the rules that a history is judged by.") { json };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new
                {
                    rules = RuleCatalog.All.Select(rule => new
                    {
                        name = rule.Name,
                        number = rule.Number,
                        @class = rule.Class,
                        claim = rule.Claim,
                    }),
                });
                return ExitCode.Valid;
            }

            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("rule", "number", "class", "what must hold");
            foreach (var rule in RuleCatalog.All)
            {
                table.AddRow(
                    Terminal.Safe(rule.Name),
                    rule.Number == 0 ? "-" : $"I{rule.Number}",
                    ReportView.WordOf(rule.Class),
                    Terminal.Safe(rule.Claim));
            }

            terminal.Screen.Write(table);
            return ExitCode.Valid;
        });
        return command;
    }
}
