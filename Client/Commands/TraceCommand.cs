using System.CommandLine;
using System.Globalization;
using Fleet.Checking.Traces;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet trace</c>, and <c>fleet check --trace</c>: what real kernels recorded.</summary>
internal static class TraceCommand
{
    /// <summary>Teardowns and unbinds that are listed; the rest is counted.</summary>
    private const int RowsShownMax = 20;

    /// <summary>Unbinds that are told in words, the longest first.</summary>
    private const int UnbindsShownMax = 5;

    private const string Accepted = "text of /sys/kernel/tracing/trace or of perf script, plain or gzip";

    public static Command Create(Terminal terminal) => new("trace", "Prepares the recording of real kernels.")
    {
        Probes(terminal),
    };

    /// <summary>Judges one trace and shows what it proves.</summary>
    /// <returns>The exit code.</returns>
    /// <exception cref="UsageException">The file is no trace, or a line of it cannot be read.</exception>
    public static int Check(Terminal terminal, string file, string? profile, bool asJson)
    {
        var report = Read(file, profile ?? KernelTrace.DefaultProfile);
        var source = ForeignText.Clean(file);
        if (asJson)
        {
            terminal.WriteJson(ToJson(source, report));
            return report.Check.ExitCode;
        }

        Show(terminal, report);
        ReportView.Show(terminal, report.Check, withRules: true);
        var silent = report.Check.Rules.Where(rule => !rule.Decided).Select(rule => rule.Rule).ToList();
        if (silent.Count > 0)
            terminal.Say($"Without visible evidence: {string.Join(", ", silent)}.");
        foreach (var note in report.Notes)
            terminal.Say(ForeignText.Clean(note, 1000));
        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{source}: {report.Check.Verdict.ToString().ToLowerInvariant()}, exit {report.Check.ExitCode}. "
            + $"{report.Reason} {report.LineCount} line(s), {report.Check.Records} record(s), judged as "
            + $"{report.Profile}."));
        return report.Check.ExitCode;
    }

    private static Command Probes(Terminal terminal)
    {
        var buffer = CommonOptions.Whole(
            "--buffer", 64, 16 << 20, "Kibibytes of ring buffer for each CPU (default 65536).");
        var json = CommonOptions.Json();
        var command = new Command("probes", "Prints the shell commands that set the probes, record and save.")
        {
            buffer,
            json,
        };
        command.SetAction(parsed =>
        {
            var script = TraceProbes.Script(parsed.GetValue(buffer) ?? 65536);
            if (parsed.GetValue(json))
            {
                terminal.WriteJson(new
                {
                    group = TraceProbes.Group,
                    probes = TraceProbes.All.Select(probe => new
                    {
                        function = probe.Function,
                        @event = probe.Event,
                        entry = probe.Entry,
                        @return = probe.Return,
                    }),
                    script,
                });
            }
            else
            {
                terminal.Say(script.TrimEnd());
            }

            return ExitCode.Valid;
        });
        return command;
    }

    private static TraceReport Read(string file, string profile)
    {
        try
        {
            using var stream = File.OpenRead(file);
            return KernelTrace.Check(stream, profile);
        }
        catch (TraceFormatException e)
        {
            var place = e.Line > 0 ? string.Create(CultureInfo.InvariantCulture, $":{e.Line}") : "";
            throw new UsageException($"{ForeignText.Clean(file)}{place}: {ForeignText.Clean(e.Reason, 1000)}.", e);
        }
        catch (Exception e) when (
            e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(file)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: {Accepted}.", e);
        }
    }

    private static void Show(Terminal terminal, TraceReport report)
    {
        terminal.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Devices.Count} device(s), {report.PageMapCount} page map(s), {report.Teardowns.Count} "
            + $"teardown(s), {report.Unbinds.Count} unbind(s), {report.FailedAddCount} failed add(s)."));
        if (report.Teardowns.Count > 0)
        {
            var table = new Table { Border = TableBorder.Simple };
            table.AddColumns("line", "page map", "kind", "waited", "ended by", "steps");
            foreach (var teardown in report.Teardowns.Take(RowsShownMax))
            {
                table.AddRow(
                    teardown.Line.ToString(CultureInfo.InvariantCulture),
                    Terminal.Safe(string.Create(CultureInfo.InvariantCulture, $"{teardown.Map} life {teardown.Life}")),
                    Terminal.Safe(teardown.Type),
                    teardown.Waited is { } waited ? Seconds(waited) : "-",
                    Terminal.Safe(teardown.WaitEndedBy),
                    Terminal.Safe(string.Join(" ", teardown.Steps)));
            }

            terminal.Screen.Write(table);
            if (report.Teardowns.Count > RowsShownMax)
                terminal.Say($"… and {report.Teardowns.Count - RowsShownMax} more teardown(s).");
        }

        var longest = report.Unbinds.Where(unbind => unbind.Teardowns.Count > 0)
            .OrderByDescending(unbind => unbind.Took ?? TimeSpan.MaxValue)
            .Take(UnbindsShownMax);
        foreach (var unbind in longest)
            terminal.Say(Sentence(unbind));
        if (report.UnknownEvents.Count > 0)
        {
            var events = report.UnknownEvents.Take(10).Select(
                one => string.Create(CultureInfo.InvariantCulture, $"{ForeignText.Clean(one.Event)} {one.Count}"));
            terminal.Say($"Events of no known probe, without influence: {string.Join(", ", events)}.");
        }
    }

    private static string Sentence(TracedUnbind unbind)
    {
        var waits = unbind.Teardowns.Select(teardown =>
        {
            var pinned = teardown.PinnedPages > 0
                ? string.Create(
                    CultureInfo.InvariantCulture, $", {teardown.PinnedPages} page(s) were pinned when it began")
                : "";
            var holders = teardown.Holders.Count > 0 ? $", held by {string.Join(", ", teardown.Holders)}" : "";
            return teardown.Waited is { } waited
                ? $"waited {Seconds(waited)} for {teardown.Map}{pinned}{holders}; ended by {teardown.WaitEndedBy}"
                : $"waits for {teardown.Map}{pinned}{holders}; {teardown.WaitEndedBy}";
        });
        var took = unbind.Took is { } time ? $"took {Seconds(time)}" : "did not end";
        return ForeignText.Clean(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Unbind of {unbind.Device} by {unbind.Task} (line {unbind.Line}) {took}: ")
            + string.Join(" | ", waits) + ".",
            4096);
    }

    private static string Seconds(TimeSpan time) =>
        time.TotalSeconds.ToString("0.000000", CultureInfo.InvariantCulture) + " s";

    private static object ToJson(string source, TraceReport report) => new
    {
        source,
        exitCode = report.Check.ExitCode,
        profile = report.Profile,
        reason = report.Reason,
        lines = report.LineCount,
        bytes = report.ByteCount,
        devices = report.Devices,
        pageMaps = report.PageMapCount,
        failedAdds = report.FailedAddCount,
        refOffsetBytes = report.RefOffsetBytes,
        report = ReportView.ToJson(report.Check),
        withoutEvidence = report.Check.Rules.Where(rule => !rule.Decided).Select(rule => rule.Rule),
        teardowns = report.Teardowns.Select(ToJson),
        unbinds = report.Unbinds.Select(unbind => new
        {
            device = unbind.Device,
            task = unbind.Task,
            line = unbind.Line,
            beginNs = unbind.BeginNs,
            tookNs = unbind.Took is { } took ? took.Ticks * 100 : (long?)null,
            teardowns = unbind.Teardowns.Select(teardown => teardown.Line),
        }),
        unknownEvents = report.UnknownEvents.Select(one => new { @event = one.Event, count = one.Count }),
        notes = report.Notes,
    };

    private static object ToJson(TracedTeardown teardown) => new
    {
        device = teardown.Device,
        map = teardown.Map,
        life = teardown.Life,
        pgmap = $"0x{teardown.Pgmap:x}",
        type = teardown.Type,
        start = $"0x{teardown.Start:x}",
        sizeBytes = teardown.SizeBytes,
        line = teardown.Line,
        beginNs = teardown.BeginNs,
        waitedNs = teardown.Waited is { } waited ? waited.Ticks * 100 : (long?)null,
        waitEndedBy = teardown.WaitEndedBy,
        pinnedPages = teardown.PinnedPages,
        holders = teardown.Holders,
        steps = teardown.Steps,
        complete = teardown.IsComplete,
    };
}
