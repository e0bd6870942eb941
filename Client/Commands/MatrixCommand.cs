using System.CommandLine;
using System.Diagnostics;
using Fleet.Kernel.Judging;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Matrix;

namespace Fleet.Client.Commands;

/// <summary><c>fleet matrix</c>: every small world under every kernel, explored and compared with the table.</summary>
internal static class MatrixCommand
{
    public static Command Create(Terminal terminal)
    {
        var table = new Option<string>("--table")
        {
            Description = "CSV file with other expectations; without it the shipped table.",
            HelpName = "FILE",
        };
        var scenarios = Only("--scenario", "Only these small worlds.", "S");
        var profiles = Only("--profile", "Only these profiles.", "P");
        var schedules = CommonOptions.WholeLong(
            "--schedules", 1, 1_000_000_000, "Most schedules of one cell; a cell stopped by it is bounded.");
        var twice = new Option<bool>("--twice")
        {
            Description = "Explore every cell twice and compare the digests of all histories.",
        };
        var json = CommonOptions.Json();
        var command = new Command(
            "matrix", "Explores every small world under every profile and compares with the table.")
        {
            table, scenarios, profiles, schedules, twice, json,
        };
        command.SetAction(parsed => ExploreCommand.Guard(terminal, () => Run(
            terminal,
            parsed.GetValue(table),
            parsed.GetValue(scenarios) ?? [],
            parsed.GetValue(profiles) ?? [],
            new ExploreOptions { SchedulesMax = parsed.GetValue(schedules) ?? 2_000_000 },
            parsed.GetValue(twice),
            parsed.GetValue(json))));
        return command;
    }

    private static Option<string[]> Only(string name, string description, string help) => new(name)
    {
        Description = description,
        HelpName = help,
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = true,
    };

    private static int Run(
        Terminal terminal, string? path, string[] scenarios, string[] profiles, ExploreOptions options, bool isTwice,
        bool isJson)
    {
        var expected = Expectations(path);
        var ids = scenarios.Select(id => Explorer.FindScenario(id).Id).ToHashSet();
        var names = profiles.Select(name => ProfileCommand.Parse(name).Name).ToHashSet();
        var clock = Stopwatch.StartNew();
        var report = MatrixRunner.Run(
            expected,
            MatrixTable.ShippedOverrules(),
            options,
            ids.Count + names.Count == 0
                ? null
                : (scenario, profile) => (ids.Count == 0 || ids.Contains(scenario.Id))
                    && (names.Count == 0 || names.Contains(profile.Name)),
            cell => Progress(terminal, cell),
            isTwice ? Repetition.Run : null);
        var seconds = clock.Elapsed.TotalSeconds;
        if (isJson)
        {
            terminal.WriteJson(new
            {
                agrees = report.Agrees,
                seconds,
                cells = report.Cells.Select(cell => new
                {
                    scenario = cell.Scenario,
                    profile = cell.Profile,
                    outcome = cell.Outcome,
                    worst = cell.Report?.Worst,
                    rules = cell.Report?.Broken.Rules.Select(KernelRules.WireName),
                    exhausted = cell.Report?.IsExhausted,
                    schedules = cell.Report?.Schedules,
                    bad = cell.Report?.Bad,
                    why = cell.Why,
                }),
            });
        }
        else
        {
            Print(terminal, report, seconds);
        }

        return report.Count(CellOutcome.Differs) > 0 ? ExitCode.Invalid
            : report.Count(CellOutcome.Bounded) > 0 ? ExitCode.Unknown
            : ExitCode.Valid;
    }

    /// <exception cref="UsageException">The file cannot be read.</exception>
    private static IReadOnlyList<ExpectedCell> Expectations(string? path)
    {
        try
        {
            return MatrixTable.Parse(path is null ? MatrixTable.ShippedText() : File.ReadAllText(path));
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"The table {ForeignText.Quote(path ?? "")} cannot be used: {ForeignText.Clean(e.Message, 500)}", e);
        }
    }

    private static void Progress(Terminal terminal, MatrixCell cell)
    {
        if (cell.Outcome is CellOutcome.Differs)
        {
            terminal.SayProgress($"differs: {cell.Scenario} under {cell.Profile}: {cell.Why}");
        }
    }

    private static void Print(Terminal terminal, MatrixReport report, double seconds)
    {
        foreach (var row in report.Cells.GroupBy(cell => cell.Scenario))
        {
            terminal.Say(row.Key);
            foreach (var same in row.GroupBy(cell => (Text(cell), cell.Outcome)))
            {
                var names = string.Join(' ', same.Select(cell => cell.Profile));
                var schedules = same.Sum(cell => cell.Report?.Schedules ?? 0);
                terminal.Say($"  {Word(same.Key.Outcome),-10} {same.Key.Item1}");
                terminal.Say($"  {"",-10} {names} ({ExploreCommand.Number(schedules)} schedules)");
                if (same.First().Why is { } why)
                {
                    terminal.Say($"  {"",-10} {why}");
                }
            }
        }

        terminal.Say(
            $"{report.Cells.Count} cells: {report.Count(CellOutcome.Agrees)} agree, "
            + $"{report.Count(CellOutcome.Overruled)} overruled, {report.Count(CellOutcome.NotApplicable)} n/a, "
            + $"{report.Count(CellOutcome.New)} new, {report.Count(CellOutcome.Bounded)} bounded, "
            + $"{report.Count(CellOutcome.Differs)} differ; {ExploreCommand.Number(seconds, "0.0")} s");
    }

    private static string Text(MatrixCell cell)
    {
        if (cell.Report is not { } report)
        {
            return "n/a";
        }

        var worst = report.Worst.ToString().ToLowerInvariant();
        var rules = report.Broken.IsEmpty ? "" : $" {report.Broken}";
        return $"{worst}{rules} [{(report.IsExhausted ? "exhausted" : "bounded")}]";
    }

    private static string Word(CellOutcome outcome) => outcome switch
    {
        CellOutcome.Agrees => "agrees",
        CellOutcome.Overruled => "overruled",
        CellOutcome.New => "new",
        CellOutcome.NotApplicable => "n/a",
        CellOutcome.Bounded => "bounded",
        _ => "DIFFERS",
    };
}
