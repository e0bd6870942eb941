using System.CommandLine;
using Fleet.Client.Scenarios;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet scenario</c>: checks, lists and shows scenario and fault files.</summary>
internal static class ScenarioCommand
{
    public static Command Create(Terminal terminal) =>
        new("scenario", "Checks, lists, shows and verifies scenario and fault files.")
    {
        Lint(terminal),
        ListShipped(terminal),
        Show(terminal),
        VerifyCommand.Create(terminal),
    };

    private static Command Lint(Terminal terminal)
    {
        var files = new Argument<string[]>(
            "FILE")
        { Description = "Paths or names of scenario or fault files.", Arity = ArgumentArity.OneOrMore };
        var set = Set();
        var json = CommonOptions.Json();
        var command = new Command("lint", "Checks files against the schema.") { files, set, json };
        command.SetAction(parsed =>
        {
            var overrides = Overrides(parsed.GetValue(set));
            var checkedFiles = parsed.GetRequiredValue(files).Select(
                file => new { file, kind = Check(file, overrides) }).ToList();
            if (parsed.GetValue(json))
                terminal.WriteJson(new { valid = true, files = checkedFiles });
            else
                checkedFiles.ForEach(one => terminal.Say($"{ForeignText.Clean(one.file)}: a valid {one.kind}."));
            return ExitCode.Valid;
        });
        return command;
    }

    private static Command ListShipped(Terminal terminal)
    {
        var json = CommonOptions.Json();
        var command = new Command("list", "Lists what comes with the program.") { json };
        command.SetAction(parsed =>
        {
            var entries = ScenarioFile.Shipped.Select(name => ScenarioFile.IsFaultPlan(name)
                ? new
                {
                    name,
                    kind = "fault plan",
                    claim = $"{ScenarioFile.ReadFaultPlan(name).Faults.Length} fault(s)",
                    isDefault = false
                }
                : new
                {
                    name,
                    kind = "scenario",
                    claim = ScenarioFile.ReadScenario(
                    name, []).Claim,
                    isDefault = name == ScenarioFile.Default
                }).ToList();
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new { scenarios = entries });
                return ExitCode.Valid;
            }

            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("name", "kind", "claim");
            foreach (var entry in entries)
                table.AddRow(
                    Terminal.Safe(entry.isDefault ? $"{entry.name} (default)" : entry.name), entry.kind, Terminal.Safe(
                        entry.claim));
            terminal.Screen.Write(table);
            return ExitCode.Valid;
        });
        return command;
    }

    private static Command Show(Terminal terminal)
    {
        var file = new Argument<string>("NAME") { Description = "Path or name of a scenario or fault file." };
        var json = CommonOptions.Json();
        var command = new Command("show", "Shows one file, and checks it.") { file, json };
        command.SetAction(parsed =>
        {
            var name = parsed.GetRequiredValue(file);
            var kind = Check(name, []);
            var text = ScenarioFile.ReadText(name);
            if (parsed.GetValue(json))
                terminal.WriteJson(new { name, kind, text });
            else
                terminal.Say(text.TrimEnd());
            return ExitCode.Valid;
        });
        return command;
    }

    public static Option<string[]> Set() => new("--set")
    {
        Description = "Overrides one value of the scenario, for example load.clients=128.",
        HelpName = "PATH=VALUE",
        Arity = ArgumentArity.OneOrMore,
    };

    public static List<ScenarioOverride> Overrides(string[]? texts) =>
        [.. (texts ?? []).Select(ScenarioOverride.Parse)];

    private static string Check(string file, List<ScenarioOverride> overrides)
    {
        if (overrides.Count == 0 && ScenarioFile.IsFaultPlan(file))
        {
            _ = ScenarioFile.ReadFaultPlan(file);
            return "fault plan";
        }

        _ = ScenarioFile.ReadScenario(file, overrides);
        return "scenario";
    }
}
