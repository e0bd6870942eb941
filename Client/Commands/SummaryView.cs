using System.Globalization;
using Fleet.Client.Runs;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary>Shows the summary of a run: verdict first, then what stands behind it.</summary>
internal static class SummaryView
{
    private const int StuckShownMax = 5;
    private const int FindingsShownMax = 3;

    public static void Show(Terminal terminal, RunSummary summary)
    {
        var screen = terminal.Screen;
        screen.Write(OperationsOf(summary));
        Say(terminal,
            $"{summary.Devices:N0} devices of {summary.Hosts:N0} hosts, {summary.Resources:N0} resources, "
            + $"{summary.Clients:N0} clients: "
            + $"{summary.OperationsTotal:N0} operations ({summary.OperationsPerSecond:N0}/s), {summary.Unbinds:N0} "
            + $"unbinds, "
            + $"{summary.UnbindsWithHolders:N0} of them with live holders, {summary.EventsStored:N0} events.");
        Say(terminal,
            $"{summary.Counts.OperationsAcknowledged:N0} operations acknowledged by clients, "
            + $"{summary.Counts.OperationsSpooled:N0} spooled, {summary.Counts.OperationsStored:N0} stored; "
            + $"{summary.Counts.EventsAcknowledged:N0} events acknowledged, {summary.Counts.EventsStored:N0} stored.");
        Say(terminal,
            $"Rare situations met: {Counts(summary.Probes)}.");
        if (summary.Achieved is { } achieved)
            Say(terminal, $"Sent {achieved:P1} of the operations that were due.");
        if (summary.BindErrors.Count > 0)
            Say(terminal, $"Binds refused: {Counts(summary.BindErrors)}.");
        if (summary.Failures.Count > 0)
            Say(terminal, $"Calls that failed: {Counts(summary.Failures)}.");
        foreach (var stuck in summary.Stuck.Take(StuckShownMax))
            Say(terminal,
                $"Stuck: {stuck.Kind} of {ForeignText.Clean(stuck.Device)} for {stuck.SinceSeconds:0.0} s, waits for "
                + $"{ForeignText.Clean(stuck.WaitsFor, 500)}.");
        if (summary.Stuck.Length > StuckShownMax)
            Say(terminal, $"… and {summary.Stuck.Length - StuckShownMax:N0} more stuck.");
        foreach (var finding in summary.Findings.Take(FindingsShownMax))
        {
            terminal.Say("");
            Say(terminal,
                $"Finding {finding.Id}: {ForeignText.Clean(finding.Rule)} ({finding.Class}) at "
                + $"{ForeignText.Clean(finding.Object)}, {finding.Count:N0} time(s)");
            terminal.Say("  " + ForeignText.Clean(finding.Text, 8192));
        }

        if (summary.Findings.Length > FindingsShownMax)
            Say(terminal,
                $"… and {summary.Findings.Length - FindingsShownMax:N0} more finding(s): fleet findings {summary.Run}");
        terminal.Say("");
        foreach (var reason in summary.Reasons)
            terminal.Say(ForeignText.Clean(reason, 2000));
        if (summary.AsExpected is { } asExpected)
            terminal.Say(
                $"The scenario expects {summary.Expected} of {summary.Profile}: "
                + $"{(asExpected ? "as expected" : "NOT as expected")}.");
        if (summary.Interrupted)
            terminal.Say("Interrupted: what was recorded until then is stored and judged.");
        var seconds = summary.Seconds.Select(part => $"{part.Key} {part.Value:0.0} s");
        screen.MarkupLine(
            $"{ColourOf(summary)}{summary.Verdict.ToString().ToLowerInvariant()}[/] (exit {summary.ExitCode}) · "
            + $"profile {Terminal.Safe(summary.Profile)}"
            + $" · seed {summary.Seed} · {Terminal.Safe(string.Join(", ", seconds))}");
        if (summary.Location.Length > 0)
            terminal.Say($"Results: {summary.Location}");
    }

    private static Table OperationsOf(RunSummary summary)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("operation");
        foreach (var column in (string[])["ok", "fail", "unknown", "p50 ms", "p99 ms", "max ms"])
            table.AddColumn(new TableColumn(column) { NoWrap = true }.RightAligned());
        foreach (var operation in summary.Operations)
        {
            var response = summary.Latency.FirstOrDefault(one => one.Metric == "response" && one.Of == operation.Kind);
            table.AddRow(
                operation.Kind,
                Whole(operation.Ok),
                Whole(operation.Fail),
                Whole(operation.Unknown),
                Time(response?.P50Ms),
                Time(response?.P99Ms),
                Time(response?.MaxMs));
        }

        return table;
    }

    private static string ColourOf(RunSummary summary) => summary.ExitCode switch
    {
        ExitCode.Valid => "[green]",
        ExitCode.Invalid or ExitCode.Harness => "[red]",
        _ => "[yellow]",
    };

    private static string Counts(IReadOnlyDictionary<string, long> counts) => string.Join(
        ", ", counts.Select(
            count => string.Create(CultureInfo.InvariantCulture, $"{ForeignText.Clean(count.Key)} {count.Value:N0}")));

    private static string Whole(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Time(double? ms) => ms?.ToString("0.00", CultureInfo.InvariantCulture) ?? "-";

    private static void Say(Terminal terminal, string line) => terminal.Say(line);
}
