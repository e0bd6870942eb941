using System.Globalization;
using System.Text;
using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Exports;

/// <summary>Writes a history as Jepsen keeps it: EDN, one map a line, invocation and completion apart.</summary>
/// <remarks>
/// An operation is <c>:invoke</c> and then <c>:ok</c>, <c>:fail</c> or, without an answer, <c>:info</c>; what a device
/// did by itself (bind, unbind, teardown, faults) is <c>:info</c> of the process <c>:nemesis</c>. Lines are in the
/// order of <c>:time</c>, in ns, with a dense <c>:index</c>.
/// </remarks>
public static class JepsenEdn
{
    /// <param name="stream">Stays open.</param>
    public static void Write(Stream stream, IReadOnlyCollection<HistoryRecord> records, ObjectTable objects)
    {
        ArgumentNullException.ThrowIfNull(records);
        using var text = new StreamWriter(stream, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
        var operations = SequentialProcesses.Of(records);
        var events = records.Where(r => r.Event is { } e && IsNemesis(e.Kind)).Select(r => r.Event!).ToList();
        var lines = new List<(long Ns, byte Rank, int Index)>((operations.Count * 2) + events.Count);
        for (var i = 0; i < operations.Count; i++)
        {
            lines.Add((operations[i].CallNs, 1, i));
            lines.Add((operations[i].ReturnNs, 2, i));
        }

        for (var i = 0; i < events.Count; i++)
        {
            lines.Add((events[i].TimeNs, 0, i));
        }

        lines.Sort();
        var end = lines.Count == 0 ? 0 : lines.FindLast(l => l.Ns != long.MaxValue).Ns;
        for (var index = 0; index < lines.Count; index++)
        {
            var (ns, rank, of) = lines[index];
            var time = ns == long.MaxValue ? end : ns;
            if (rank == 0)
            {
                WriteEvent(text, index, time, events[of], objects);
            }
            else
            {
                WriteOperation(text, index, time, operations[of], isCall: rank == 1, objects);
            }
        }
    }

    private static bool IsNemesis(EventKind kind) => kind is EventKind.BindBegin or EventKind.BindEnd
        or EventKind.UnbindBegin or EventKind.UnbindEnd or EventKind.TeardownBegin or EventKind.TeardownEnd
        or EventKind.MemoryAdd or EventKind.MemoryRemove or EventKind.Fenced or EventKind.Incarnation
        or EventKind.Inject or EventKind.Oops or EventKind.Bug or EventKind.Hang or EventKind.Reap;

    private static void WriteOperation(
        StreamWriter text, int index, long time, in ProcessOperation one, bool isCall, ObjectTable objects)
    {
        var op = one.Operation;
        var type = isCall ? "invoke" : op.Outcome switch
        {
            OperationOutcome.Ok => "ok",
            OperationOutcome.Fail => "fail",
            _ => "info",
        };
        Head(text, index, time, type, Keyword(op.Kind.ToString()), one.Process.ToString(CultureInfo.InvariantCulture));
        text.Write(", :value {:op ");
        text.Write(op.Number);
        Name(text, "client", op.Client, objects);
        Name(text, "dev", op.Device, objects);
        // An alloc asks for a size alone; where it was given is part of the answer.
        var isAnswered = !isCall && op.Outcome is not OperationOutcome.Unknown;
        if (op.Kind is not OperationKind.Alloc || isAnswered)
        {
            if (!op.Alloc.IsNone)
            {
                String(
                    text, "alloc",
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{objects.Name(op.Alloc.Device)}#{op.Alloc.Gen}#{op.Alloc.Number}"));
            }

            Number(text, "addr", op.Address);
        }

        Number(text, "size", op.SizeBytes);
        Name(text, "map", op.Map, objects);
        Number(text, "pfn", op.Pfn);
        if (op.Direction is not AccessDirection.None)
        {
            text.Write($", :dir :{Keyword(op.Direction.ToString())}");
        }

        if (op.Direction is AccessDirection.Write || isAnswered)
        {
            Number(text, "tag", op.Tag);
        }

        if (isAnswered)
        {
            Name(text, "owner", op.Owner, objects);
            if (!op.At.IsNone)
            {
                text.Write(", :at ");
                Position(text, op.At, objects);
            }
        }

        text.Write('}');
        if (!isCall && op.Err is not Errno.OK)
        {
            text.Write($", :error :{op.Err}");
        }

        text.Write("}\n");
    }

    private static void WriteEvent(StreamWriter text, int index, long time, HistoryEvent e, ObjectTable objects)
    {
        Head(text, index, time, "info", EventKinds.WireName(e.Kind).Replace('_', '-'), ":nemesis");
        text.Write(", :value {:at ");
        Position(text, e.At, objects);
        Name(text, "other", e.Other, objects);
        Number(text, "start", e.Start);
        Number(text, "size", e.SizeBytes);
        String(text, "actor", e.Actor);
        String(text, "fn", e.Fn);
        String(text, "text", e.Text);
        text.Write('}');
        if (e.Err is not Errno.OK)
        {
            text.Write($", :error :{e.Err}");
        }

        text.Write("}\n");
    }

    private static void Head(StreamWriter text, int index, long time, string type, string f, string process)
    {
        text.Write(string.Create(
            CultureInfo.InvariantCulture,
            $"{{:index {index}, :time {time}, :type :{type}, :process {process}, :f :{f}"));
    }

    /// <summary>AddResource becomes add-resource.</summary>
    private static string Keyword(string name)
    {
        var keyword = new StringBuilder(name.Length + 2);
        foreach (var letter in name)
        {
            if (char.IsUpper(letter) && keyword.Length > 0)
            {
                keyword.Append('-');
            }

            keyword.Append(char.ToLowerInvariant(letter));
        }

        return keyword.ToString();
    }

    private static void Position(StreamWriter text, Position at, ObjectTable objects)
    {
        text.Write("{:obj ");
        Quoted(text, objects.Name(at.Obj));
        text.Write(string.Create(
            CultureInfo.InvariantCulture, $", :gen {at.Gen}, :seq {at.Seq}, :life {at.Life}}}"));
    }

    private static void Name(StreamWriter text, string key, int id, ObjectTable objects)
    {
        if (id != 0)
        {
            String(text, key, objects.Name(id));
        }
    }

    private static void Number(StreamWriter text, string key, ulong value)
    {
        if (value != 0)
        {
            // Beyond 64 signed bits EDN wants to be told that it is a big integer.
            text.Write(string.Create(
                CultureInfo.InvariantCulture, $", :{key} {value}{(value > long.MaxValue ? "N" : "")}"));
        }
    }

    private static void String(StreamWriter text, string key, string? value)
    {
        if (value is not null)
        {
            text.Write($", :{key} ");
            Quoted(text, value);
        }
    }

    private static void Quoted(StreamWriter text, string value)
    {
        text.Write('"');
        foreach (var letter in value)
        {
            switch (letter)
            {
                case '"' or '\\':
                    text.Write('\\');
                    text.Write(letter);
                    break;
                case < ' ' or '\u007f':
                    text.Write(string.Create(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"));
                    break;
                default:
                    text.Write(letter);
                    break;
            }
        }

        text.Write('"');
    }
}
