using System.CommandLine;
using Fleet.Checking.Rules;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet rules</c>: what every history is judged by, and what a kernel is known to break.</summary>
internal static class RulesCommand
{
    public static Command Create(Terminal terminal)
    {
        var profile = new Option<string?>("--profile")
        {
            Description = "Say which rules this kernel is known to break, in some world and some schedule.",
            HelpName = "P",
        };
        var json = CommonOptions.Json();
        var command = new Command("rules", "Lists the rules that a history is judged by.") { profile, json };
        command.SetAction(parsed =>
        {
            var kernel = parsed.GetValue(profile) is { } named ? ProfileCommand.Parse(named).Name : null;
            var breaks = kernel is null ? null : ExpectedBreaks.Of(kernel);
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new
                {
                    profile = kernel,
                    isKnown = kernel is null ? (bool?)null : breaks is not null,
                    rules = RuleCatalog.All.Select(rule => new
                    {
                        name = rule.Name,
                        number = rule.Number,
                        @class = rule.Class,
                        claim = rule.Claim,
                        source = rule.Source,
                        needs = rule.Needs,
                        limits = rule.Limits,
                        isExpectedToBreak = breaks?.Contains(rule.Name),
                    }),
                });
                return ExitCode.Valid;
            }

            terminal.Screen.Write(TableOf(kernel, breaks));
            foreach (var rule in RuleCatalog.All.Where(rule => rule.Limits is not null))
                terminal.Say($"{rule.Name}: {rule.Limits}.");
            if (kernel is not null)
            {
                terminal.Say("");
                terminal.Say(breaks switch
                {
                    null => $"Nothing is known of what {kernel} breaks; fleet matrix explores it.",
                    [] => $"{kernel} is known to break none.",
                    _ => $"{kernel} is known to break {breaks.Count} of them; fleet matrix shows in which worlds.",
                });
            }

            return ExitCode.Valid;
        });
        return command;
    }

    private static Table TableOf(string? kernel, IReadOnlyList<string>? breaks)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("rule", "number", "class", "needs", "what must hold");
        if (kernel is not null)
            table.AddColumn(Terminal.Safe(kernel));
        foreach (var rule in RuleCatalog.All)
        {
            List<string> cells =
            [
                Terminal.Safe(rule.Name),
                rule.Number == 0 ? "-" : $"I{rule.Number}",
                ReportView.WordOf(rule.Class),
                Terminal.Safe(WordsOf(rule.Needs)),
                Terminal.Safe(rule.Claim),
            ];
            if (kernel is not null)
                cells.Add(breaks is null ? "?" : breaks.Contains(rule.Name) ? "[red]breaks[/]" : "holds");
            table.AddRow([.. cells]);
        }

        return table;
    }

    private static string WordsOf(RuleNeeds needs) => needs switch
    {
        RuleNeeds.OneObject => "one object's order",
        RuleNeeds.AfterEdges => "after edges",
        RuleNeeds.ClientSequence => "a client's sequence",
        RuleNeeds.Quiescence => "a quiescent end",
        _ => "clocks",
    };
}
