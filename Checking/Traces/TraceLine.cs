namespace Fleet.Checking.Traces;

/// <summary>One record of a trace, as spans over its line.</summary>
/// <remarks>
/// Forms: <c>comm-pid [cpu] flags seconds.micros: event: …</c> (with or without flags or a thread group),
/// <c>comm pid[/tid] [cpu] seconds.micros: group:event: …</c> (perf script), <c>comm-pid cpuflags micros us: event:
/// …</c>
/// (latency format). A comm may hold blanks, brackets, <c>-</c>, <c>/</c> and <c>:</c>.
/// Source: kernel/trace/trace_output.c, tools/perf/builtin-script.c.
/// </remarks>
internal ref struct TraceLine
{
    public ReadOnlySpan<byte> Comm;
    public int Pid;
    public int Cpu;
    public ReadOnlySpan<byte> Flags;
    public long TimeNs;

    /// <summary>Name without its group; for a record of the function tracer the function.</summary>
    public ReadOnlySpan<byte> Event;
    public ReadOnlySpan<byte> Body;

    /// <summary>A record of the function tracer: an entry without arguments.</summary>
    public bool IsFunction;

    /// <summary>Which task it was: the pid, and one idle task for each CPU.</summary>
    public readonly int Task => Pid != 0 ? Pid : -1 - Cpu;

    /// <summary>Recorded in an interrupt, hard or soft, on top of the task.</summary>
    /// <remarks>
    /// The third flag is <c>.</c> in a task, <c>s</c>, <c>h</c>, <c>H</c>, <c>z</c> or <c>Z</c> above one.
    /// </remarks>
    public readonly bool IsInterrupt => Flags.Length >= 3 && Flags[2] != (byte)'.';

    /// <summary>
    /// The task could have been preempted at the place of the record; true where the flags do not say.
    /// </summary>
    /// <remarks>
    /// The first flag is <c>.</c> with interrupts on; the fourth is <c>.</c> or the depth of disabled preemption.
    /// </remarks>
    public readonly bool IsPreemptible => Flags.Length < 4 || (Flags[0] == '.' && Flags[3] == '.' && !IsInterrupt);

    public static bool TryParse(ReadOnlySpan<byte> text, out TraceLine line)
    {
        line = default;
        for (var from = 0; from < text.Length;)
        {
            var open = text[from..].IndexOf((byte)'[');
            if (open < 0)
            {
                break;
            }

            open += from;
            from = open + 1;
            var close = text[from..].IndexOf((byte)']');
            if (close is > 0 and <= 6 && TraceText.TryDecimal(text.Slice(from, close), out var cpu)
                && TryTask(text[..open], ref line)
                && TryStamp(text[(from + close + 1)..], ref line))
            {
                line.Cpu = (int)cpu;
                return true;
            }
        }

        return TryLatency(text, ref line);
    }

    private static bool TryTask(ReadOnlySpan<byte> head, ref TraceLine line)
    {
        head = head.Trim((byte)' ');
        if (head.Length > 0 && head[^1] == ')' && head.LastIndexOf((byte)'(') is var group && group > 0)
        {
            head = head[..group].TrimEnd((byte)' ');
        }

        var digits = head.Length;
        while (digits > 0 && TraceText.IsDigit(head[digits - 1]))
        {
            digits--;
        }

        if (digits == head.Length || digits < 1 || head.Length - digits > 10
            || !TraceText.TryDecimal(head[digits..], out var number) || number > int.MaxValue - 1)
        {
            return false;
        }

        var before = head[digits - 1];
        if (before == '/' && head[..(digits - 1)].LastIndexOf((byte)' ') is var gap && gap > 0
            && TraceText.TryDecimal(head[(gap + 1)..(digits - 1)], out _))
        {
            head = head[..gap];
        }
        else if (before is not ((byte)'-' or (byte)' '))
        {
            return false;
        }
        else
        {
            head = head[..(digits - 1)];
        }

        line.Comm = head.TrimEnd((byte)' ');
        line.Pid = (int)number;
        return true;
    }

    private static bool TryStamp(ReadOnlySpan<byte> rest, ref TraceLine line)
    {
        rest = rest.TrimStart((byte)' ');
        var end = rest.IndexOf((byte)' ');
        if (end <= 0)
        {
            return false;
        }

        line.Flags = default;
        if (rest[end - 1] != ':' || !TraceText.IsDigit(rest[0]))
        {
            if (end > 8)
            {
                return false;
            }

            line.Flags = rest[..end];
            rest = rest[end..].TrimStart((byte)' ');
            end = rest.IndexOf((byte)' ');
            if (end <= 0)
            {
                return false;
            }
        }

        return rest[end - 1] == ':' && TryTime(rest[..(end - 1)], out line.TimeNs) && TryEvent(rest[end..], ref line);
    }

    private static bool TryTime(ReadOnlySpan<byte> text, out long timeNs)
    {
        timeNs = 0;
        var dot = text.IndexOf((byte)'.');
        if (dot is <= 0 or > 9 || text.Length - dot - 1 is < 1 or > 9
            || !TraceText.TryDecimal(text[..dot], out var seconds)
                || !TraceText.TryDecimal(text[(dot + 1)..], out var fraction))
        {
            return false;
        }

        for (var digits = text.Length - dot - 1; digits < 9; digits++)
        {
            fraction *= 10;
        }

        timeNs = (seconds * 1_000_000_000) + fraction;
        return true;
    }

    private static bool TryEvent(ReadOnlySpan<byte> rest, ref TraceLine line)
    {
        rest = rest.TrimStart((byte)' ');
        var blank = rest.IndexOf((byte)' ');
        var name = blank < 0 ? rest : rest[..blank];
        if (name.Length is > 1 and <= 256 && name[^1] == ':')
        {
            name = name[..^1];
            line.Event = name[(name.LastIndexOf((byte)':') + 1)..];
            line.Body = blank < 0 ? default : rest[blank..].TrimStart((byte)' ');
            return !line.Event.IsEmpty;
        }

        line.Event = name;
        line.Body = blank < 0 ? default : rest[blank..].TrimStart((byte)' ');
        line.IsFunction = line.Body.StartsWith("<-"u8) || name.SequenceEqual("<stack"u8);
        return line.IsFunction;
    }

    private static bool TryLatency(ReadOnlySpan<byte> text, ref TraceLine line)
    {
        var micros = text.IndexOf("us"u8);
        if (micros <= 0)
        {
            return false;
        }

        var first = micros;
        while (first > 0 && TraceText.IsDigit(text[first - 1]))
        {
            first--;
        }

        var after = text[(micros + 2)..];
        var colon = after.IndexOf((byte)':');
        if (colon is < 0 or > 2 || !TraceText.TryDecimal(text[first..micros], out var time)
            || time > long.MaxValue / 1000)
        {
            return false;
        }

        var head = text[..first].TrimEnd((byte)' ');
        var gap = head.LastIndexOf((byte)' ');
        if (gap < 0)
        {
            return false;
        }

        var place = head[(gap + 1)..];
        var digits = 0;
        while (digits < place.Length && TraceText.IsDigit(place[digits]))
        {
            digits++;
        }

        if (digits is 0 or > 6 || !TraceText.TryDecimal(place[..digits], out var cpu)
            || !TryTask(head[..gap], ref line))
        {
            return false;
        }

        line.Cpu = (int)cpu;
        line.Flags = place[digits..];
        line.TimeNs = time * 1000;
        return TryEvent(after[(colon + 1)..], ref line);
    }
}
