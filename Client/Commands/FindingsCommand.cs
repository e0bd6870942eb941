using System.CommandLine;
using System.Globalization;
using Fleet.Checking;
using Fleet.Client.Runs;
using Fleet.Storage.Results;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet findings</c> and <c>fleet explain</c>: what was found in a run, and what proves it.</summary>
internal static class FindingsCommand
{
    public static Command Create(Terminal terminal)
    {
        var run = new Argument<string>("RUN")
        {
            Description = "Name of a run, the beginning of it, its file, or 'last'.",
            DefaultValueFactory = _ => RunStore.Last,
        };
        var store = new StoreOptions();
        var command = new Command("findings", "Lists the findings of a run.") { run };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var (opened, reader) = await RunStore.OpenRunAsync(
                parsed.GetRequiredValue(run), parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            await using var _ = opened;
            await using var __ = reader;
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
            terminal.Say("fleet explain RUN/NUMBER shows one with what proves it.");
            return ExitCode.Valid;
        });
        return command;
    }

    public static Command CreateExplain(Terminal terminal)
    {
        var finding = new Argument<string>("FINDING") { Description = "RUN/NUMBER, or NUMBER for the newest run." };
        var store = new StoreOptions();
        var command = new Command(
            "explain", "Explains one finding: the rule, the contradiction, the records that prove it.")
        {
            finding,
        };
        store.AddTo(command);
        command.SetAction(async (parsed, ct) =>
        {
            var reference = FindingReference.Parse(parsed.GetRequiredValue(finding));
            var (opened, reader) = await RunStore.OpenRunAsync(
                reference.Run, parsed.GetValue(store.Store), parsed.GetValue(store.Results), ct);
            await using var _ = opened;
            await using var __ = reader;
            var findings = await reader.FindingsAsync(ct);
            var found = findings.FirstOrDefault(one => one.Id == reference.Number) ?? throw new UsageException(
                findings.Count == 0
                    ? $"Run {reader.Run.Info.Run} has no finding at all; accepted: a run that has one."
                    : $"Run {reader.Run.Info.Run} has no finding {reference.Number}; accepted: 1 to {findings.Count}.");
            if (parsed.GetValue(store.Json))
                terminal.WriteJson(
                    new { run = reader.Run.Info.Run, profile = reader.Run.Info.Profile, finding = ToJson(found) });
            else
                Explain(terminal, reader.Run, found);
            return ExitCode.Valid;
        });
        return command;
    }

    public static Table TableOf(string run, IReadOnlyList<StoredFinding> findings)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("finding", "rule", "class", "times", "at", "found by", "forbidden or caused by");
        foreach (var (number, checker, finding) in findings)
        {
            table.AddRow(
                Terminal.Safe($"{run}/{number}"),
                Terminal.Safe(finding.Rule),
                finding.Class.ToString().ToLowerInvariant(),
                finding.Count.ToString("N0", CultureInfo.InvariantCulture),
                Terminal.Safe(finding.Object),
                Terminal.Safe(checker),
                Terminal.Safe(finding.Remedy ?? "-"));
        }

        return table;
    }

    private static void Explain(Terminal terminal, StoredRun run, StoredFinding stored)
    {
        var finding = stored.Finding;
        terminal.Say(
            $"Finding {run.Info.Run}/{stored.Id}: {ForeignText.Clean(finding.Rule)} "
            + $"({finding.Class.ToString().ToLowerInvariant()}), "
            + $"profile {ForeignText.Clean(run.Info.Profile)}, seed {run.Info.Seed}");
        terminal.Say($"  at        {ForeignText.Clean(finding.Object)}");
        terminal.Say($"  times     {finding.Count}, equal but for place and time");
        terminal.Say($"  found by  the {ForeignText.Clean(stored.Checker)} checker");
        var remedy = finding.Remedy is { } named
            ? Remedies.Sentence(named)
            : "No patch and no known residual defect is named.";
        terminal.Say("  remedy    " + ForeignText.Clean(remedy, 1000));
        terminal.Say("");
        terminal.Say(ForeignText.Clean(finding.Text, 8192));
        terminal.Say("");
        terminal.Say($"The {finding.Evidence.Count} record(s) that prove it, in the order of the objects:");
        foreach (var record in finding.Evidence)
            terminal.Say($"  {ForeignText.Clean(record, 8192)}");
    }

    private static object ToJson(StoredFinding stored) => new
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
