using System.Globalization;
using Fleet.Client.Commands;
using Spectre.Console;

namespace Fleet.Client.Simulate;

/// <summary>Shows the summary of a simulated run: what happened, what was found, how to see it again.</summary>
internal static class SimulationView
{
    private const int StuckShownMax = 5;
    private const int FindingsShownMax = 3;

    public static void Show(Terminal terminal, SimulationSummary summary)
    {
        terminal.Screen.Write(OperationsOf(summary));
        Say(terminal, string.Create(
            CultureInfo.InvariantCulture,
            $"{summary.Devices:N0} devices, {summary.Clients:N0} clients, {summary.Silos} virtual silos: "
            + $"{summary.Unbinds:N0} unbinds, {summary.UnbindsWithHolders:N0} of them with live holders, "
            + $"{summary.Events:N0} events."));
        if (summary.Thresholds.Length > 0)
            terminal.Screen.Write(SummaryView.ThresholdsOf(summary.Thresholds));
        if (summary.Probes.Count > 0)
            Say(terminal, $"Rare situations met: {Counts(summary.Probes)}.");
        if (summary.Faults.Count > 0)
            Say(terminal, $"Faults and what came of them: {Counts(summary.Faults)}.");
        foreach (var stuck in summary.Stuck.Take(StuckShownMax))
        {
            Say(terminal, string.Create(
                CultureInfo.InvariantCulture,
                $"Stuck: {stuck.Kind} of {ForeignText.Clean(stuck.Device)} for {stuck.SinceSeconds:0.0} s, waits for "
                + $"{ForeignText.Clean(stuck.WaitsFor, 500)}."));
        }

        if (summary.Stuck.Length > StuckShownMax)
            Say(terminal, $"… and {summary.Stuck.Length - StuckShownMax} more stuck.");
        foreach (var finding in summary.Findings.Take(FindingsShownMax))
        {
            Say(terminal, "");
            Say(terminal, $"Finding {finding.Id}: {finding.Rule} ({finding.Class}) at {finding.Object}, "
                + $"{finding.Count} time(s)");
            Say(terminal, "  " + ForeignText.Clean(finding.Text, 8192));
        }

        if (summary.Findings.Length > FindingsShownMax)
            Say(terminal, $"… and {summary.Findings.Length - FindingsShownMax} more finding(s).");
        Say(terminal, "");
        foreach (var reason in summary.Reasons)
            Say(terminal, ForeignText.Clean(reason, 2000));
        if (summary.AsExpected is { } asExpected)
        {
            Say(terminal, $"The scenario expects {summary.Expected} of {summary.Profile}: "
                + $"{(asExpected ? "as expected" : "NOT as expected")}.");
        }

        if (summary.SameTwice is true)
            Say(terminal, "Run twice: both histories have the same digest.");
        Say(terminal, string.Create(
            CultureInfo.InvariantCulture,
            $"{summary.Verdict.ToString().ToLowerInvariant()} (exit {summary.ExitCode}) · profile "
            + $"{summary.Profile} · "
            + $"seed {summary.Seed} · simulated {summary.SimulatedSeconds:0.0} s in {summary.RealSeconds:0.00} s "
            + $"({summary.SimulatedOverReal:0.0} x real time) · history {summary.Digest}"));
        Say(terminal, $"Again: {ForeignText.Clean(summary.Command, 2000)}");
    }

    private static Table OperationsOf(SimulationSummary summary)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("operation");
        foreach (var column in (string[])[
            "ok", "fail", "unknown", "response p50", "p99", "p99.9", "max ms", "service p99"])
            table.AddColumn(new TableColumn(column) { NoWrap = true }.RightAligned());
        foreach (var operation in summary.Operations)
        {
            var response = summary.Latency.FirstOrDefault(
                one => one.Metric == "response" && one.Of == operation.Kind);
            var service = summary.Latency.FirstOrDefault(one => one.Metric == "service" && one.Of == operation.Kind);
            table.AddRow(
                operation.Kind, Whole(operation.Ok), Whole(operation.Fail), Whole(operation.Unknown),
                Time(response?.P50Ms), Time(response?.P99Ms), Time(response?.P999Ms), Time(response?.MaxMs),
                Time(service?.P99Ms));
        }

        return table;
    }

    /// <summary>Milliseconds of the virtual clock.</summary>
    private static string Time(double? ms) => ms?.ToString("0.00", CultureInfo.InvariantCulture) ?? "-";

    private static string Counts(IReadOnlyDictionary<string, long> counts) =>
        string.Join(", ", counts.Select(count => $"{ForeignText.Clean(count.Key)} {Whole(count.Value)}"));

    private static string Whole(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static void Say(Terminal terminal, string line) => terminal.Say(line);
}
