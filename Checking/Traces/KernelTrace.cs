using System.Globalization;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Reads what a real kernel recorded about its page maps, and judges it.</summary>
/// <remarks>
/// Text of <c>/sys/kernel/tracing/trace</c> (also <c>trace_pipe</c>, <c>trace-cmd report</c>) or of <c>perf script</c>,
/// plain or gzip, streamed;
/// the probes are those of <see cref="TraceProbes"/>. Concurrency: each call stands alone. Source: kernel-model section
/// E, last column.
/// </remarks>
public static class KernelTrace
{
    /// <summary>A trace comes from a kernel of today unless somebody says otherwise.</summary>
    public const string DefaultProfile = "MAINLINE";

    /// <summary>Judges a whole trace.</summary>
    /// <param name="trace">Read to its end, not closed.</param>
    /// <param name="profile">Kernel to judge as; it says which change forbids a finding.</param>
    /// <param name="sink">Gets every event as the other engines record it, in the order of the file; null for
    /// nobody.</param>
    /// <param name="objects">Gets the names of the events' objects.</param>
    /// <exception cref="TraceFormatException">The file is no such text, or a line of it cannot be read.</exception>
    public static TraceReport Check(
        Stream trace, string profile = DefaultProfile, Action<HistoryEvent>? sink = null, ObjectTable? objects = null)
    {
        var judge = new TraceJudge(profile, objects ?? new(), sink);
        using var lines = new TraceLines(trace);
        while (lines.TryNext(out var text))
        {
            if (TryRecord(text, lines, judge, out var record))
            {
                judge.Observe(record, lines.Number);
            }
        }

        return judge.End(lines.Number, lines.ByteCount);
    }

    /// <summary>Reads and splits every record without judging it: what the reader alone costs.</summary>
    /// <returns>Lines read and records among them.</returns>
    /// <exception cref="TraceFormatException">As <see cref="Check"/>.</exception>
    public static (long Lines, long Records, long Bytes) Scan(Stream trace)
    {
        using var lines = new TraceLines(trace);
        var records = 0L;
        while (lines.TryNext(out var text))
        {
            if (TryRecord(text, lines, judge: null, out var record))
            {
                records++;
                if (TraceProbeNames.Find(record.Event) > TraceProbe.Mark && !record.IsFunction)
                {
                    _ = TraceFields.TryParse(record.Body, out _, out _);
                }
            }
        }

        return (lines.Number, records, lines.ByteCount);
    }

    private static bool TryRecord(ReadOnlySpan<byte> text, TraceLines lines, TraceJudge? judge, out TraceLine record)
    {
        record = default;
        if (text.IsEmpty || text[0] == '#')
        {
            Header(text, lines.Number, judge);
            return false;
        }

        if (TraceLine.TryParse(text, out record))
        {
            if (!lines.LastIsOpen)
            {
                return true;
            }

            // A number that was cut is still a number: such a line is not believed.
            judge?.LoseRecords($"The last line ({lines.Number}) has no line end: the file was cut there.");
            return false;
        }

        if (lines.LastIsOpen)
        {
            judge?.LoseRecords($"The last line ({lines.Number}) is cut.");
            return false;
        }

        var bare = text.Trim((byte)' ').Trim((byte)'\t');
        if (bare.IsEmpty || bare.StartsWith("=> "u8) || text[0] == '\t')
        {
            return false;
        }

        if (bare.StartsWith("CPU:"u8) && bare.IndexOf("LOST "u8) >= 0)
        {
            judge?.LoseRecords($"Line {lines.Number} says that records were lost ({TraceText.Printable(bare)}).");
            return false;
        }

        throw new TraceFormatException(
            lines.Number,
            LooksLikeGraph(bare)
                ? "this is the output of the function_graph tracer, whose records carry no arguments; accepted: event "
                    + "records, as 'fleet trace probes' sets them up"
                : $"'{TraceText.Printable(bare)}' is no record of a trace; accepted: 'comm-pid [cpu] flags "
                    + "seconds.micros: event: …' or a line of perf script");
    }

    private static void Header(ReadOnlySpan<byte> text, long line, TraceJudge? judge)
    {
        var tracer = text.IndexOf("# tracer: "u8);
        if (tracer == 0 && text[10..].StartsWith("function_graph"u8))
        {
            throw new TraceFormatException(
                line,
                "this is the output of the function_graph tracer, whose records carry no arguments; accepted: event "
                + "records, as 'fleet trace probes' sets them up");
        }

        var entries = text.IndexOf("entries-in-buffer/entries-written: "u8);
        if (entries >= 0 && judge is not null)
        {
            var rest = text[(entries + 35)..];
            var slash = rest.IndexOf((byte)'/');
            var end = slash < 0 ? -1 : rest[slash..].IndexOf((byte)' ');
            if (end > 0 && TraceText.TryDecimal(rest[..slash], out var kept) && TraceText.TryDecimal(
                rest.Slice(slash + 1, end - 1), out var written)
                && kept < written)
            {
                judge.LoseRecords(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The ring buffer kept {kept} of {written} records: the older ones were overwritten."));
            }
        }
    }

    private static bool LooksLikeGraph(ReadOnlySpan<byte> text) =>
        text.IndexOf(" | "u8) >= 0 || text.EndsWith("() {"u8) || text.EndsWith("();"u8) || text.StartsWith("------"u8);
}
