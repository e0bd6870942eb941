using System.Globalization;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Spectre.Console;
using static System.FormattableString;

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
        Say(terminal, $"Rare situations met: {(summary.Probes.Count > 0 ? Counts(summary.Probes) : "none")}.");
        if (summary.Thresholds.Length > 0)
            screen.Write(ThresholdsOf(summary.Thresholds));
        Faults(terminal, summary.Faults);
        if (summary.Gauges.Any(gauge => gauge.PerHour is not null))
            screen.Write(GaugesOf(summary));
        if (summary.Achieved is { } achieved)
        {
            var lag = summary.Latency.FirstOrDefault(one => one.Metric == "lag");
            Say(terminal,
                $"Sent {summary.Sent:N0} of the {summary.Due:N0} operations that were due ({achieved:0.0%}); schedule "
                + $"lag p50 {Time(lag?.P50Ms)} ms, p99 {Time(lag?.P99Ms)} ms, max {Time(lag?.MaxMs)} ms"
                + (summary.Punctuality is { } why
                    ? $"; {why.BusyShare:0.0%} became due while their client had no answer yet, and the thread that "
                        + $"sends was late by {Time(why.WokenLateP99Ms)} ms at p99, {Time(why.WokenLateMaxMs)} at most."
                    : "."));
        }

        foreach (var (kind, errors) in summary.Errors)
            Say(terminal, $"Answers that said no to {kind}: {Counts(errors)}.");
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
        foreach (var column in (string[])
            ["ok", "fail", "unknown", "response p50", "p99", "p99.9", "max ms", "service p50", "p99", "max ms"])
            table.AddColumn(new TableColumn(column) { NoWrap = true }.RightAligned());
        foreach (var operation in summary.Operations)
        {
            var response = summary.Latency.FirstOrDefault(one => one.Metric == "response" && one.Of == operation.Kind);
            var service = summary.Latency.FirstOrDefault(one => one.Metric == "service" && one.Of == operation.Kind);
            table.AddRow(
                operation.Kind,
                Whole(operation.Ok),
                Whole(operation.Fail),
                Whole(operation.Unknown),
                Time(response?.P50Ms),
                Time(response?.P99Ms),
                Time(response?.P999Ms),
                Time(response?.MaxMs),
                Time(service?.P50Ms),
                Time(service?.P99Ms),
                Time(service?.MaxMs));
        }

        return table;
    }

    internal static Table ThresholdsOf(IReadOnlyList<ThresholdSummary> thresholds)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("threshold", "limit");
        table.AddColumn(new TableColumn("figure") { NoWrap = true }.RightAligned());
        table.AddColumn("");
        foreach (var threshold in thresholds)
        {
            table.AddRow(
                Terminal.Safe(threshold.Name),
                Terminal.Safe(threshold.Limit),
                Terminal.Safe(threshold.Figure),
                threshold.State switch
                {
                    ThresholdState.Met => "[green]met[/]",
                    ThresholdState.Missed => "[red]missed[/]",
                    ThresholdState.TooEarly => "[grey]not looked at: the load ended before[/]",
                    _ => "[yellow]nothing measured[/]",
                });
        }

        return table;
    }

    private static void Faults(Terminal terminal, FaultSummary faults)
    {
        if (faults.Messages.Count > 0)
            Say(terminal, $"Messages struck: {Counts(faults.Messages)}.");
        if (faults.ResolvedExecuted + faults.ResolvedNotSeen + faults.Unresolved > 0)
            Say(terminal,
                $"Unknown operations resolved: {faults.ResolvedExecuted:N0} had been executed, "
                + $"{faults.ResolvedNotSeen:N0} never will be; {faults.Unresolved:N0} stayed unknown.");
        if (faults.Strikes.Length == 0)
            return;

        var kinds = faults.Strikes.GroupBy(one => one.Kind).ToDictionary(of => of.Key, of => of.LongCount());
        Say(terminal,
            $"Faults: {Counts(kinds)}; {faults.WithLiveHandles:N0} struck silos whose devices had allocations out, "
            + $"{faults.KillsInTeardown:N0} killed one that was tearing a device down.");
        if (faults.Unstruck.Length > 0)
            Say(terminal, $"Ended though nothing had struck them: {string.Join(", ", faults.Unstruck)}.");
        if (faults.Recovery.Length > 0)
            terminal.Screen.Write(RecoveryOf(faults));
    }

    private static Table RecoveryOf(FaultSummary faults)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("back after");
        foreach (var column in (string[])
            ["strikes", "devices", "first s", "median s", "last s", "struck again", "not back"])
            table.AddColumn(new TableColumn(column) { NoWrap = true }.RightAligned());
        foreach (var kind in faults.Recovery)
        {
            table.AddRow(
                Terminal.Safe(kind.Label()), Whole(kind.Strikes), Whole(kind.Devices), Time(kind.FirstMs / 1000),
                Time(kind.MedianMs / 1000), Time(kind.LastMs / 1000), Whole(kind.StruckAgain), Whole(kind.NotBack));
        }

        return table;
    }

    private static Table GaugesOf(RunSummary summary)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("gauge");
        foreach (var column in (string[])["first", "last", "max", "slope per hour", "95 % interval"])
            table.AddColumn(new TableColumn(column) { NoWrap = true }.RightAligned());
        table.AddColumn("");
        foreach (var gauge in summary.Gauges)
        {
            table.AddRow(
                Terminal.Safe(gauge.Name),
                Of(gauge.First),
                Of(gauge.Last),
                Of(gauge.Max),
                gauge.PerHour is { } slope ? Of(slope) : "-",
                gauge is { LowPerHour: { } low, HighPerHour: { } high } ? $"{Of(low)} … {Of(high)}" : "-",
                gauge.Trend is "grows" ? "[yellow]grows[/]" : gauge.Trend);

            string Of(double value) => gauge.Unit == "bytes"
                ? Invariant($"{value / (1 << 20):#,0.0} MiB") : Invariant($"{value:#,0.#}");
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
