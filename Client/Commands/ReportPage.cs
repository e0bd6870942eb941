using System.Text.Json;
using Fleet.Checking;
using Fleet.Client.Html;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using static System.FormattableString;

namespace Fleet.Client.Commands;

/// <summary>One stored run on one page.</summary>
internal static class ReportPage
{
    private const int FindingsShownMax = 20;
    private const int TicksAimed = 8;

    public static async Task<HtmlPage> OfAsync(IRunReader reader, CancellationToken ct)
    {
        var run = reader.Run;
        var summary = ShowCommand.SummaryOf(run.Outcome?.Summary);
        var metrics = await reader.MetricsAsync(ct);
        var latency = await reader.LatencyAsync(ct);
        var probes = await reader.ProbesAsync(ct);
        var faults = await reader.FaultsAsync(ct);
        var findings = await reader.FindingsAsync(ct);
        var evidence = await reader.EvidenceAsync(ct);

        var page = new HtmlPage($"Fleet: {run.Info.Run}");
        Head(page, run, summary);
        if (summary is not null)
            Overview(page, summary);

        // What was found is what the page is read for; that nothing was is said where the checks are.
        if (findings.Count > 0)
            Findings(page, findings);
        Thresholds(page, summary);
        OverTime(page, new Timeline(run.Info, metrics));
        Latency(page, summary, latency);
        if (findings.Count == 0)
            Findings(page, findings);
        Situations(page, probes);
        Faults(page, faults, summary);
        Gauges(page, summary);
        Rules(page, evidence);
        Facts(page, run, summary);
        return page;
    }

    private static void Head(HtmlPage page, StoredRun run, RunSummary? summary)
    {
        var verdict = (summary?.Verdict ?? run.Outcome?.Verdict)?.ToString().ToLowerInvariant() ?? "not judged";
        var tone = verdict switch { "valid" => "good", "invalid" => "bad", _ => "warn" };
        var expected = summary?.AsExpected switch
        {
            true => $" The scenario expects {summary.Expected} of {run.Info.Profile}: as expected.",
            false => $" The scenario expects {summary.Expected} of {run.Info.Profile}: not as expected.",
            _ => "",
        };
        var claim = ClaimOf(run.Info.Settings);
        page.Head(
            $"{run.Info.Scenario} on {run.Info.Profile}",
            $"{verdict}, exit {summary?.ExitCode ?? run.Outcome?.ExitCode ?? 0}",
            summary?.ExitCode is ExitCode.Threshold ? "warn" : tone,
            $"{claim}{expected}".Trim());
        if (summary is null)
            return;

        foreach (var reason in summary.Reasons)
            page.Paragraph(reason);
    }

    private static void Overview(HtmlPage page, RunSummary summary)
    {
        var alloc = summary.Latency.FirstOrDefault(one => one is { Metric: "response", Of: "alloc" });
        List<(string, string)> tiles =
        [
            (Count(summary.OperationsTotal), "operations"),
            (Invariant($"{summary.OperationsPerSecond:#,0}/s"), "done"),
            (Time(alloc?.P50Ms), "alloc response, p50"),
            (Time(alloc?.P99Ms), "alloc response, p99"),
            (Count(summary.Unbinds), Invariant($"unbinds, {summary.UnbindsWithHolders:#,0} with live holders")),
            summary.Achieved is { } achieved
                ? (Invariant($"{achieved:0.0%}"), Invariant($"of {summary.Due:#,0} due were sent"))
                : (Count(summary.Devices), Invariant($"devices of {summary.Hosts:#,0} hosts")),
        ];
        page.Tiles(tiles);
    }

    private static void Thresholds(HtmlPage page, RunSummary? summary)
    {
        if (summary is null || summary.Thresholds.Length == 0)
            return;

        var table = new HtmlTable("threshold", "limit", "figure#", "");
        foreach (var one in summary.Thresholds)
        {
            var word = one.State switch
            {
                ThresholdState.Met => "met",
                ThresholdState.Missed => "missed",
                ThresholdState.TooEarly => "not looked at: the load ended before",
                _ => "nothing measured",
            };
            table.Row([one.Name, one.Limit, one.Figure, word], isHit: one.Missed);
        }

        page.Heading("Thresholds").Table(table);
    }

    private static void OverTime(HtmlPage page, Timeline time)
    {
        if (time.IsEmpty)
            return;

        page.Heading("Over time");
        Draw("Operations per second", value => Invariant($"{value:#,0.#}"), isLog: false,
            ("done", "rate", 0), ("due", "due", 4));
        foreach (var kind in LatencyRecorder.Kinds.Select(LatencyRecorder.NameOf))
        {
            Draw($"Response time of {kind}", value => Time(value), isLog: true,
                ("max", $"response/{kind}/max", 5), ("p99", $"response/{kind}/p99", 1),
                ("p50", $"response/{kind}/p50", 0), ("service p99", $"service/{kind}/p99", 4));
        }

        Draw("Schedule lag: how late operations were sent", value => Time(value), isLog: true,
            ("max", "lag/max", 5), ("p99", "lag/p99", 1), ("p50", "lag/p50", 0));
        Draw("Allocations that are held", value => Invariant($"{value:#,0}"), isLog: false, ("live", "live", 2));
        Draw(
            "Unbinds under way", value => Invariant($"{value:#,0}"), isLog: false, ("unbinds", "unbinds_in_flight", 1));
        Draw("Memory, MiB", value => Invariant($"{value:#,0}"), isLog: false,
            ("resident", "memory", 0), ("managed heap", "heap", 2), ("database", "database", 4));

        void Draw(
            string what, Func<double, string> show, bool isLog, params (string Name, string Metric, int Colour)[] lines)
        {
            var unit = what.EndsWith("MiB", StringComparison.Ordinal) ? 1 << 20 : 1;
            var curves = lines.Select(line => new Curve(line.Name, line.Colour, time.Of(line.Metric, unit))
            {
                IsDashed = line.Metric == "due" || line.Name.StartsWith("service", StringComparison.Ordinal),
            }).Where(curve => curve.Points.Any(point => point.Y is not null)).ToList();
            if (curves.Count == 0)
                return;

            page.Drawing(new CurveChart(what, curves, show)
            {
                IsLogarithmic = isLog,
                Ticks = time.Ticks(TicksAimed),
                Bands = time.Bands,
                Marks = time.Marks,
                ShowX = Clock,
            });
        }
    }

    /// <summary>The curve by which HdrHistogram is known: each step to the right is a tenth of the operations
    /// left.</summary>
    private static void Latency(HtmlPage page, RunSummary? summary, IReadOnlyList<LatencyBucket> latency)
    {
        var curves = new List<Curve>();
        foreach (var (place, kind) in LatencyRecorder.Kinds.Select(LatencyRecorder.NameOf).Index())
        {
            var buckets = latency.Where(bucket => bucket.Metric == $"{kind}/response").ToList();
            if (buckets.Count > 0)
                curves.Add(new(kind, place, [.. Percentiles(buckets)]));
        }

        if (curves.Count == 0)
            return;

        page.Heading("Latency").Paragraph(
            "Response time counts from the moment at which an operation was intended, so what waited is seen; service "
            + "time counts from the moment it was sent.", isSoft: true);
        page.Drawing(new CurveChart("Response time by percentile", curves, value => Time(value))
        {
            IsLogarithmic = true,
            Ticks = [(0, "0 %"), (1, "90 %"), (2, "99 %"), (3, "99.9 %"), (4, "99.99 %"), (5, "99.999 %")],
            ShowX = x => Invariant($"{1 - Math.Pow(10, -x):0.####%}"),
        });
        if (summary is null)
            return;

        var table = new HtmlTable(
            "operation", "ok#", "fail#", "unknown#", "response p50#", "p90#", "p99#", "p99.9#", "max#",
            "service p50#", "p99#", "max#");
        foreach (var one in summary.Operations)
        {
            var response = summary.Latency.FirstOrDefault(line => line.Metric == "response" && line.Of == one.Kind);
            var service = summary.Latency.FirstOrDefault(line => line.Metric == "service" && line.Of == one.Kind);
            table.Row(
                [one.Kind, Count(one.Ok), Count(one.Fail), Count(one.Unknown), Time(response?.P50Ms),
                    Time(response?.P90Ms), Time(response?.P99Ms), Time(response?.P999Ms), Time(response?.MaxMs),
                    Time(service?.P50Ms), Time(service?.P99Ms), Time(service?.MaxMs)]);
        }

        page.Table(table);
        foreach (var (kind, errors) in summary.Errors)
            page.Paragraph(
                $"Answers that said no to {kind}: "
                + string.Join(", ", errors.Select(error => $"{error.Key} {Count(error.Value)}")) + ".");
    }

    private static IEnumerable<(double X, double? Y)> Percentiles(List<LatencyBucket> buckets)
    {
        var total = buckets.Sum(bucket => (double)bucket.Count);
        var below = 0.0;
        foreach (var bucket in buckets)
        {
            below += bucket.Count;
            yield return (-Math.Log10(Math.Max(1 - (below / total), 1 / total)), (bucket.HighNs + 1) / 1e6);
        }
    }

    private static void Findings(HtmlPage page, IReadOnlyList<StoredFinding> findings)
    {
        page.Heading("Findings");
        if (findings.Count == 0)
        {
            page.Paragraph("No rule was broken.");
            return;
        }

        var table = new HtmlTable("number#", "rule", "class", "where", "times#");
        foreach (var one in findings.Take(FindingsShownMax))
        {
            table.Row(
                [Count(one.Id), one.Finding.Rule, ReportView.WordOf(one.Finding.Class), one.Finding.Object,
                    Count(one.Finding.Count)],
                isHit: one.Finding.Class is FindingClass.Safety or FindingClass.Liveness or FindingClass.Leak
                    or FindingClass.Harness);
        }

        page.Table(table);
        foreach (var one in findings.Take(FindingsShownMax))
            page.Proof(
                [
                    ($"{one.Id}. {one.Finding.Rule}.", one.Finding.Text),
                    .. one.Finding.Remedy is { } remedy ? [("Repaired by", remedy)] : Array.Empty<(string, string)>(),
                ]);
        if (findings.Count > FindingsShownMax)
            page.Paragraph($"… and {findings.Count - FindingsShownMax} more: fleet findings shows them.");
    }

    private static void Situations(HtmlPage page, IReadOnlyList<ProbeCount> probes)
    {
        if (probes.Count == 0)
            return;

        var table = new HtmlTable("situation", "met#", "");
        foreach (var probe in probes.OrderByDescending(probe => probe.Required).ThenByDescending(probe => probe.Count))
        {
            table.Row(
                [
                    probe.Name, Count(probe.Count),
                    probe is { Required: true, Count: 0 } ? $"required: {Probes.Missing(probe.Name)}"
                        : probe.Required ? "required" : "",
                ],
                isHit: probe is { Required: true, Count: 0 });
        }

        page.Heading("Rare situations").Paragraph(
            "A green run means something only where these happened; a required one at zero makes the verdict unknown.",
            isSoft: true).Table(table);
    }

    private static void Faults(HtmlPage page, IReadOnlyList<FaultRecord> faults, RunSummary? summary)
    {
        if (faults.Count > 0)
        {
            var table = new HtmlTable("fault", "target", "how", "may cause");
            foreach (var fault in faults)
                table.Row([fault.Kind, fault.Target, fault.Text, fault.Expects]);
            page.Heading("Faults").Table(table);
        }

        if (summary?.Faults.Recovery is { Length: > 0 } recovery)
        {
            var back = new HtmlTable(
                "strike", "strikes#", "devices#", "first back s#", "median s#", "last s#", "struck again#",
                "not back#");
            foreach (var kind in recovery)
            {
                back.Row(
                    [
                        kind.Label(), Count(kind.Strikes), Count(kind.Devices), Seconds(kind.FirstMs),
                        Seconds(kind.MedianMs), Seconds(kind.LastMs), Count(kind.StruckAgain), Count(kind.NotBack),
                    ],
                    isHit: kind.NotBack > 0);
            }

            page.Heading("Recovery").Paragraph(
                "From the strike to the first allocation that succeeded on each device of the struck silo.",
                isSoft: true).Table(back);

            static string Seconds(double? ms) => ms is { } known ? Invariant($"{known / 1000:0.00}") : "-";
        }

        if (summary is null || summary.Stuck.Length == 0)
            return;

        var stuck = new HtmlTable("device", "operation", "for", "waits for");
        foreach (var one in summary.Stuck)
            stuck.Row([one.Device, one.Kind, Invariant($"{one.SinceSeconds:0.0} s"), one.WaitsFor], isHit: true);
        page.Heading("Never ended").Table(stuck);
    }

    private static void Gauges(HtmlPage page, RunSummary? summary)
    {
        if (summary is null || summary.Gauges.Length == 0)
            return;

        var table = new HtmlTable(
            "gauge", "first#", "last#", "max#", "slope per hour#", "95 % interval#", "over the run");
        foreach (var gauge in summary.Gauges)
        {
            table.Row(
                [
                    gauge.Name, Of(gauge.First), Of(gauge.Last), Of(gauge.Max),
                    gauge.PerHour is { } slope ? Of(slope) : "-",
                    gauge is { LowPerHour: { } low, HighPerHour: { } high } ? $"{Of(low)} … {Of(high)}" : "-",
                    gauge.Trend,
                ],
                isHit: gauge is { Trend: "grows", Name: not ResourceWatch.Database });

            string Of(double value) => gauge.Unit == "bytes"
                ? Invariant($"{value / (1 << 20):#,0.0} MiB") : Invariant($"{value:#,0.#}");
        }

        page.Heading("What must not grow").Paragraph(
            "Median slope between any two readings (Theil–Sen) after the first third of the run; a database grows with "
            + "what it stores.", isSoft: true).Table(table);
    }

    private static void Rules(HtmlPage page, IReadOnlyList<Storage.Results.RuleEvidence> evidence)
    {
        var decided = evidence.Where(one => one.Ok + one.Violated + one.Undecided > 0).ToList();
        if (decided.Count == 0)
            return;

        page.Heading("Rules").Folded(
            $"{decided.Select(one => one.Rule).Distinct().Count()} rules decided "
            + $"{Count(decided.Sum(one => one.Ok + one.Violated))} instances",
            decided.OrderBy(one => one.Rule, StringComparer.Ordinal).ThenBy(one => one.Checker, StringComparer.Ordinal)
                .Select(one => Invariant($"{one.Rule,-28} {one.Checker,-7} ok {one.Ok,12:#,0}  ")
                    + Invariant($"violated {one.Violated,8:#,0}  undecided {one.Undecided,8:#,0}")));
    }

    private static void Facts(HtmlPage page, StoredRun run, RunSummary? summary) => page.Heading("The run").Facts(
        [
            ("run", run.Info.Run),
            ("command", run.Info.CommandLine),
            ("began", Invariant($"{run.Info.StartedAt.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC")),
            ("profile", run.Info.Profile),
            ("seed", Invariant($"{run.Info.Seed}")),
            ("stored", Invariant($"{run.Operations:#,0} operations, {run.Events:#,0} events")),
            ("time", summary is null ? "" : string.Join(
                ", ", summary.Seconds.Select(part => Invariant($"{part.Key} {part.Value:0.0} s")))),
            ("settings", run.Info.Settings),
        ]);

    private static string ClaimOf(string settings)
    {
        try
        {
            using var json = JsonDocument.Parse(settings);
            return json.RootElement.TryGetProperty("claim", out var claim) ? claim.GetString() ?? "" : "";
        }
        catch (JsonException)
        {
            return "";
        }
    }

    private static string Count(double value) => Invariant($"{value:#,0}");

    private static string Time(double? ms) => ms switch
    {
        null => "-",
        >= 1000 => Invariant($"{ms / 1000:#,0.##} s"),
        >= 1 => Invariant($"{ms:0.##} ms"),
        _ => Invariant($"{ms * 1000:0.#} µs"),
    };

    private static string Clock(double seconds) => Timeline.Clock(seconds);

    /// <summary>The stored readings of a run, by name, in seconds since the first of them.</summary>
    private sealed class Timeline
    {
        private readonly Dictionary<string, List<MetricPoint>> _series;
        private readonly long _firstNs;
        private readonly double _seconds;
        private readonly List<long> _times;

        public Timeline(RunInfo info, IReadOnlyList<MetricPoint> metrics)
        {
            _series = metrics.GroupBy(point => point.Name, StringComparer.Ordinal)
                .ToDictionary(group => group.Key, group => group.ToList(), StringComparer.Ordinal);
            _times = [.. metrics.Select(point => point.TimeNs).Distinct().Order()];
            _firstNs = _times.Count == 0 ? 0 : _times[0];
            _seconds = _times.Count == 0 ? 0 : (_times[^1] - _firstNs) / 1e9;
            Bands = [.. BandsOf(info)];
            Marks =
            [
                .. MarksOf("faults", "fault(s)").Select(mark => (mark.X, mark.Label, false)),
                .. MarksOf("findings", "finding(s)").Select(mark => (mark.X, mark.Label, true)),
            ];
        }

        public bool IsEmpty => _times.Count < 2;

        public IReadOnlyList<(double From, double To, string Label)> Bands { get; }

        public IReadOnlyList<(double X, string Label, bool IsBad)> Marks { get; }

        public List<(double X, double? Y)> Of(string metric, double unit)
        {
            if (!_series.TryGetValue(metric, out var points))
                return [];

            var values = points.ToDictionary(point => point.TimeNs, point => point.Value);
            return [.. _times.Select(time => (
                Seconds(time), values.TryGetValue(time, out var value) ? value / unit : (double?)null))];
        }

        public IReadOnlyList<(double X, string Label)> Ticks(int aimed)
        {
            double[] steps =
                [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
            var step = steps.FirstOrDefault(one => _seconds / one <= aimed, 86400);
            return [.. Enumerable.Range(0, (int)(_seconds / step) + 1).Select(
                place => (place * step, Clock(place * step)))];
        }

        public static string Clock(double seconds)
        {
            var time = TimeSpan.FromSeconds(seconds);
            return time.TotalHours >= 1 ? Invariant($"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}")
                : Invariant($"{time.Minutes}:{time.Seconds:00}");
        }

        private double Seconds(long timeNs) => (timeNs - _firstNs) / 1e9;

        private IEnumerable<(double, double, string)> BandsOf(RunInfo info)
        {
            if (!_series.TryGetValue("phase", out var phases))
                yield break;

            var names = NamesOf(info.Settings);
            var from = phases[0];
            foreach (var point in phases)
            {
                if (point.Value == from.Value && !ReferenceEquals(point, phases[^1]))
                    continue;

                var name = from.Value >= 0 && from.Value < names.Count ? names[(int)from.Value] : "";
                yield return (Seconds(from.TimeNs), Seconds(point.TimeNs), name);
                from = point;
            }
        }

        private static List<string> NamesOf(string settings)
        {
            try
            {
                using var json = JsonDocument.Parse(settings);
                return json.RootElement.TryGetProperty("phases", out var phases)
                    ? [.. phases.EnumerateArray().Select(phase => phase.GetProperty("name").GetString() ?? "")]
                    : [];
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                return []; // Another program's settings: the bands go without names.
            }
        }

        private IEnumerable<(double X, string Label)> MarksOf(string metric, string what)
        {
            if (!_series.TryGetValue(metric, out var points))
                yield break;

            for (var place = 1; place < points.Count; place++)
            {
                if (points[place].Value > points[place - 1].Value)
                    yield return (
                        Seconds(points[place].TimeNs),
                        Invariant($"{points[place].Value - points[place - 1].Value:0} {what} at ")
                        + Clock(Seconds(points[place].TimeNs)));
            }
        }
    }
}
