using System.Globalization;
using Fleet.Checking;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Checking.Rules;

namespace Fleet.Client.Commands;

/// <summary>Shows an explanation in the terminal.</summary>
internal static class ExplanationView
{
    private const int BarMax = 40;
    private const int RecordsShownMax = 40;

    public static void Show(Terminal terminal, ExplainedFinding explained)
    {
        var explanation = explained.Explanation;
        var finding = explanation.Finding;
        var rule = RuleCatalog.Find(finding.Rule);
        terminal.Say(
            $"Finding {explained.Name}: {ForeignText.Clean(finding.Rule)}"
            + $"{(rule is { Number: > 0 } ? $" (I{rule.Number}, " : " (")}{ReportView.WordOf(finding.Class)}) at "
            + ForeignText.Clean(finding.Object));
        terminal.Say("");
        foreach (var (name, value) in explained.Facts)
            terminal.Say($"  {name,-10} {ForeignText.Clean(value)}");
        if (rule is not null)
            terminal.Say($"  {"rule",-10} {rule.Claim}");
        terminal.Say($"  {"kernel",-10} {ForeignText.Clean(explanation.KernelOrder, 1000)}");
        terminal.Say($"  {"remedy",-10} {ForeignText.Clean(RemedyOf(explanation), 1000)}");
        terminal.Say("");
        foreach (var (step, sentence) in explanation.Prose)
            terminal.Say($"{step}{(step.Length > 0 ? " " : "")}{ForeignText.Clean(sentence, 8192)}");
        if (explanation.References.Count > 0)
            ShowReferences(terminal, explanation);
        terminal.Say("");
        terminal.Say(HeadOf(explanation));
        var records = RecordsOf(explanation);
        foreach (var record in records.Take(RecordsShownMax))
            terminal.Say("  " + ForeignText.Clean(LineOf(record, explained), 8192));
        if (records.Count > RecordsShownMax)
            terminal.Say($"  … and {records.Count - RecordsShownMax:N0} more.");
    }

    public static object ToJson(ExplainedFinding explained)
    {
        var explanation = explained.Explanation;
        var finding = explanation.Finding;
        return new
        {
            id = explained.Name,
            rule = finding.Rule,
            @class = finding.Class,
            @object = finding.Object,
            count = finding.Count,
            profile = explained.Header.Profile,
            claim = RuleCatalog.Find(finding.Rule)?.Claim,
            kernel = explanation.KernelOrder,
            remedy = finding.Remedy,
            text = finding.Text,
            evidence = finding.Evidence,
            references = explanation.References.Select(step => new
            {
                seq = step.At.Seq,
                what = step.What,
                held = step.Held,
                forbidden = step.Forbidden,
            }),
            minimal = explanation.Minimal.Select(record => LineOf(record, explained)),
            verified = explanation.Verified,
            records = explanation.RecordCount,
        };
    }

    internal static string RemedyOf(Explanation explanation) => explanation.Finding.Remedy is { } remedy
        ? Remedies.Sentence(remedy)
        : "No patch and no known residual defect is named.";

    /// <summary>Says which records are shown, and how far they prove it alone.</summary>
    internal static string HeadOf(Explanation explanation) => explanation.Verified
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"The smallest set of records that still proves it, judged again alone ({explanation.Minimal.Count:N0} of "
            + $"{explanation.RecordCount:N0} of this device):")
        : string.Create(
            CultureInfo.InvariantCulture,
            $"The records that it names ({RecordsOf(explanation).Count:N0} of {explanation.RecordCount:N0} of this "
            + $"device). It follows from records that are not there, so no small set proves it alone:");

    internal static IReadOnlyList<HistoryRecord> RecordsOf(Explanation explanation) => explanation.Minimal;

    internal static string LineOf(in HistoryRecord record, ExplainedFinding explained) => record.Event is { } e
        ? RecordJson.Event(e, explained.Objects)
        : RecordJson.Operation(record.Operation, explained.Objects);

    private static void ShowReferences(Terminal terminal, Explanation explanation)
    {
        terminal.Say("");
        terminal.Say("References held on the mapping, in the device's own order:");
        var most = Math.Max(1, explanation.References.Max(step => step.Held));
        var (before, after) = explanation.ReferencesLeftOut;
        if (before > 0)
            terminal.Say($"  … {before:N0} earlier steps");
        var isForbidden = false;
        foreach (var step in explanation.References)
        {
            var bar = new string('#', most <= BarMax ? step.Held : step.Held * BarMax / most);
            var note = step.Forbidden && !isForbidden ? "  <- forbidden from here"
                : !step.Forbidden && isForbidden ? "  <- to here"
                : "";
            isForbidden = step.Forbidden;
            terminal.Say(
                $"  {(step.Forbidden ? "!" : " ")} seq {step.At.Seq,-8} {ForeignText.Clean(step.What, 60),-44} "
                + $"{step.Held,4} {bar}{note}");
        }

        if (after > 0)
            terminal.Say($"  … {after:N0} later steps");
    }
}
