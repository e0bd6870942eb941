using System.Globalization;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using Spectre.Console;
using Spectre.Console.Rendering;
using static System.FormattableString;

namespace Fleet.Client.Commands;

/// <summary>What a person sees of a run while it goes on: rates, latencies, phases, waits, faults, findings.</summary>
/// <remarks>Limits: the last <see cref="HistoryMax"/> moments and findings, whatever the run's length.</remarks>
internal sealed class RunPicture(Scenario scenario, string profile, int devices)
{
    private const int HistoryMax = 240;
    private const int FindingsShownMax = 4;
    private const int WaitsShownMax = 4;
    private const string Bars = "▁▂▃▄▅▆▇█";

    private readonly Queue<RunMoment> _history = new();
    private readonly Queue<(Finding Finding, TimeSpan At)> _findings = new();

    public void Add(RunMoment moment)
    {
        _history.Enqueue(moment);
        if (_history.Count > HistoryMax)
            _history.Dequeue();
    }

    public void Found(Finding finding, TimeSpan at)
    {
        _findings.Enqueue((finding, at));
        if (_findings.Count > FindingsShownMax)
            _findings.Dequeue();
    }

    public IRenderable Draw(RunMoment moment, int width)
    {
        var room = Math.Clamp(width, 60, 140);
        var rows = new List<IRenderable>
        {
            new Markup(
                $"[bold]{Terminal.Safe(scenario.Name)}[/] [grey]profile[/] {Terminal.Safe(profile)} "
                + $"[grey]·[/] {Count(devices)} devices [grey]·[/] {Count(scenario.Load.Clients)} clients "
                + $"[grey]· seed[/] {scenario.Seed} [grey]·[/] {Clock(moment.Elapsed)}"),
            PhasesOf(moment, room),
            Rates(moment, room),
            Kinds(moment, room),
        };
        rows.AddRange(Waits(moment, room));
        rows.AddRange(Thresholds(moment));
        rows.AddRange(Events(moment));
        return new Padder(new Rows(rows), new Padding(1, 0, 0, 0));
    }

    /// <summary>One bar whose parts are as long as the phases last, and how much of each is over.</summary>
    private Markup PhasesOf(RunMoment moment, int room)
    {
        var total = scenario.Duration.TotalSeconds;
        var width = room - 4;
        var parts = new List<string>();
        var isPast = scenario.Phases.Any(phase => phase.Name == moment.Phase);
        foreach (var phase in scenario.Phases)
        {
            var cells = Math.Max(3, (int)(width * phase.For.TotalSeconds / total));
            var isNow = phase.Name == moment.Phase;
            isPast &= !isNow;
            var done = isPast ? 1
                : isNow ? moment.PhaseLeft is { } left ? 1 - (left / phase.For) : 0
                : 0;
            var full = Math.Clamp((int)(cells * done), 0, cells);
            var colour = isNow ? "deepskyblue1" : isPast ? "green" : "grey";
            parts.Add($"[{colour}]{new string('━', full)}[/][grey23]{new string('━', cells - full)}[/]");
        }

        var words = moment.IsPaused ? "[yellow]paused[/]"
            : moment.PhaseLeft is { } time ? $"{Clock(time)} left" : "until everything is freed";
        return new(
            string.Join(' ', parts) + "\n"
            + $"[deepskyblue1]{Terminal.Safe(moment.Phase)}[/] {words}"
            + (NextOf(moment.Phase) is { } next ? $" [grey]then {Terminal.Safe(next)}[/]" : ""));
    }

    private string? NextOf(string phase)
    {
        var after = scenario.Phases.SkipWhile(one => one.Name != phase).Skip(1).FirstOrDefault();
        return after?.Name;
    }

    private Grid Rates(RunMoment moment, int room)
    {
        var grid = new Grid { Expand = false };
        grid.AddColumn(new GridColumn().NoWrap()).AddColumn(new GridColumn().NoWrap())
            .AddColumn(new GridColumn().NoWrap());
        var due = moment.DuePerSecond is { } rate ? $" [grey]of {Count(rate)} due[/]" : "";
        var achieved = moment.Achieved is { } share
            ? $"  {(share < 0.95 ? "[red]" : "[green]")}{share.ToString("0.0%", CultureInfo.InvariantCulture)}[/] "
                + $"[grey]sent, lag p99[/] {Time(moment.LagP99Ms)}"
            : "";
        grid.AddRow(
            "[grey]rate[/]",
            $"[bold]{Count(moment.RatePerSecond)}[/]/s{due}{achieved}",
            "[deepskyblue1]"
            + $"{Spark([.. _history.Select(one => (double?)one.RatePerSecond)], room / 3, isLog: false)}[/]");
        grid.AddRow(
            "[grey]load[/]",
            $"{Count(moment.Operations)} [grey]operations,[/] {Count(moment.Live)} [grey]allocations live[/]",
            $"[grey]unknown[/] {Count(moment.Unknown)}  [grey]to store[/] {Count(moment.Backlog)}"
            + (moment.MemoryBytes is { } bytes ? $"  [grey]memory[/] {Count(bytes / (1 << 20))} MiB" : ""));
        return grid;
    }

    private Table Kinds(RunMoment moment, int room)
    {
        var table = new Table { Border = TableBorder.None };
        table.AddColumn(new TableColumn("[grey]response[/]") { NoWrap = true });
        foreach (var column in (string[])["per s", "p50", "p99", "max"])
            table.AddColumn(new TableColumn($"[grey]{column}[/]") { NoWrap = true, Width = 9 }.RightAligned());
        table.AddColumn(new TableColumn("[grey]p99, each column half a second, log scale[/]") { NoWrap = true });
        foreach (var kind in moment.Kinds)
        {
            var series = _history.Select(one => one.Kinds.FirstOrDefault(same => same.Kind == kind.Kind).P99Ms);
            table.AddRow(
                kind.Kind,
                Count(kind.RatePerSecond),
                Time(kind.P50Ms),
                Time(kind.P99Ms),
                Time(kind.MaxMs),
                $"[yellow]{Spark([.. series], Math.Max(10, room - 62), isLog: true)}[/]");
        }

        return table;
    }

    private static IEnumerable<IRenderable> Waits(RunMoment moment, int room)
    {
        yield return new Markup(
            $"[grey]unbinds[/] {Count(moment.Unbinds)}"
            + (moment.UnbindsInFlight > 0 ? $", [yellow]{Count(moment.UnbindsInFlight)} under way[/]" : ""));
        foreach (var open in moment.Open.Take(WaitsShownMax))
        {
            var since = TimeSpan.FromMicroseconds(Math.Max(0, moment.NowNs - open.BeganNs) / 1000);
            var text = open.WaitsFor.Length == 0 ? "" : $" waits for {open.WaitsFor}";
            var line = ForeignText.Clean($"{open.Kind.ToString().ToLowerInvariant()} of {open.Device}{text}", 400);
            var shown = line.Length > room - 14 ? line[..(room - 15)] + "…" : line;
            yield return new Markup($"  {Time(since.TotalMilliseconds),8} {Markup.Escape(shown)}");
        }
    }

    private static IEnumerable<IRenderable> Thresholds(RunMoment moment)
    {
        foreach (var one in moment.Thresholds.Where(one => !ThresholdMetric.Find(one.Threshold.Metric)!.IsSlope))
        {
            var metric = ThresholdMetric.Find(one.Threshold.Metric)!;
            var name = one.Threshold.Of is { } of ? $"{metric.Name} of {of}" : metric.Name;
            var limit = one.Threshold.Below is { } below
                ? $"below {metric.Show(below)}" : $"above {metric.Show(one.Threshold.Above!.Value)}";
            var mark = one.State switch
            {
                ThresholdState.Met => "[green]✓[/]",
                ThresholdState.Missed => "[red]✗[/]",
                _ => "[grey]·[/]",
            };
            yield return new Markup(
                $"{mark} {Terminal.Safe(name)} {Terminal.Safe(one.Value is { } value ? metric.Show(value) : "-")} "
                + $"[grey]{Terminal.Safe(limit)}[/]");
        }
    }

    private IEnumerable<IRenderable> Events(RunMoment moment)
    {
        if (moment.Faults > 0)
            yield return new Markup(
                $"[magenta1]⚡[/] {Count(moment.Faults)} [grey]faults, last[/] {Terminal.Safe(moment.FaultLast)}");
        if (moment.Findings == 0)
            yield break;

        yield return new Markup($"[red bold]{Count(moment.Findings)} kind(s) of findings[/]");
        foreach (var (finding, at) in _findings)
            yield return new Markup(
                $"  [red]{Terminal.Safe(finding.Rule)}[/] at {Terminal.Safe(finding.Object)} [grey]{Clock(at)}[/]");
    }

    /// <summary>The last values as one line of bars; a gap where there was none.</summary>
    private static string Spark(IReadOnlyList<double?> values, int width, bool isLog)
    {
        var shown = values.Skip(Math.Max(0, values.Count - width))
            .Select(value => value is { } one && isLog ? Math.Log10(Math.Max(one, 0.001)) : value).ToList();
        if (!shown.Any(value => value is not null))
            return "";

        var (low, high) = (isLog ? shown.Min()!.Value : 0, shown.Max()!.Value);
        var span = Math.Max(high - low, isLog ? 0.3 : 1e-9);
        return string.Concat(shown.Select(value => value is { } one
            ? Bars[(int)Math.Clamp((one - low) / span * (Bars.Length - 1), 0, Bars.Length - 1)]
            : ' '));
    }

    private static string Count(double value) => Math.Abs(value) switch
    {
        >= 10_000_000 => Invariant($"{value / 1e6:#,0.0} M"),
        _ => Invariant($"{value:#,0}"),
    };

    private static string Time(double? ms) => ms switch
    {
        null => "-",
        >= 1000 => Invariant($"{ms / 1000:0.00} s"),
        >= 1 => Invariant($"{ms:0.0} ms"),
        _ => Invariant($"{ms * 1000:0} µs"),
    };

    private static string Clock(TimeSpan time) => time.TotalHours >= 1
        ? Invariant($"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00} h")
        : Invariant($"{time.Minutes}:{time.Seconds:00}");
}
