using System.Globalization;
using Fleet.Checking;
using Fleet.Kernel.History;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary>Shows what a checker decided.</summary>
internal static class ReportView
{
    /// <summary>Findings that are written out in full; the rest is counted.</summary>
    private const int FindingsShownMax = 5;

    public static void Show(Terminal terminal, CheckReport report, bool withRules)
    {
        if (withRules)
            terminal.Screen.Write(RulesOf(report));
        if (report.Probes.Values.Any(count => count > 0))
        {
            terminal.Say("Rare situations met: " + string.Join(", ", report.Probes.Where(probe => probe.Value > 0)
                .Select(probe => string.Create(CultureInfo.InvariantCulture, $"{probe.Key} {probe.Value:N0}"))) + ".");
        }

        foreach (var (finding, number) in report.Findings.Select((finding, place) => (finding, place + 1))
            .Take(FindingsShownMax))
        {
            terminal.Say("");
            terminal.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"Finding {number}: {ForeignText.Clean(finding.Rule)} ({WordOf(finding.Class)}) at "
                + $"{ForeignText.Clean(finding.Object)}, {finding.Count:N0} time(s)"));
            terminal.Say("  " + ForeignText.Clean(finding.Text, 8192));
            if (finding.Remedy is { } remedy)
                terminal.Say("  " + ForeignText.Clean(Remedies.Sentence(remedy), 1000));
        }

        if (report.Findings.Count > FindingsShownMax)
            terminal.Say($"… and {report.Findings.Count - FindingsShownMax} more finding(s).");
        terminal.Say("");
        foreach (var reason in report.Reasons)
            terminal.Say(ForeignText.Clean(reason, 2000));
    }

    public static object ToJson(CheckReport report) => new
    {
        verdict = report.Verdict,
        reasons = report.Reasons,
        records = report.Records,
        complete = report.Complete,
        findings = report.Findings.Select((finding, place) => new
        {
            id = place + 1,
            rule = finding.Rule,
            @class = finding.Class,
            @object = finding.Object,
            count = finding.Count,
            remedy = finding.Remedy,
            text = finding.Text,
            evidence = finding.Evidence,
        }),
        rules = report.Rules.Where(rule => rule.Ok + rule.Violated + rule.Undecided > 0)
            .Select(rule =>
                new { rule = rule.Rule, ok = rule.Ok, violated = rule.Violated, undecided = rule.Undecided }),
        probes = report.Probes,
    };

    public static string WordOf(FindingClass @class) => @class.ToString().ToLowerInvariant();

    private static Table RulesOf(CheckReport report)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("rule");
        foreach (var column in (string[])["ok", "violated", "undecided"])
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (var rule in report.Rules.Where(rule => rule.Ok + rule.Violated + rule.Undecided > 0))
        {
            table.AddRow(
                Terminal.Safe(rule.Rule),
                rule.Ok.ToString("N0", CultureInfo.InvariantCulture),
                rule.Violated.ToString("N0", CultureInfo.InvariantCulture),
                rule.Undecided.ToString("N0", CultureInfo.InvariantCulture));
        }

        return table;
    }
}
