using System.Buffers.Text;
using System.Collections.Frozen;
using System.Text.Json;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>Turns one line into a record, or says why it is none.</summary>
internal sealed class RecordParser(ObjectTable objects, bool extensions)
{
    /// <summary>Last position of an object: positions are added up, and their sum stays a number.</summary>
    private const long SeqMax = 1L << 48;

    /// <summary>Farthest moment, ns from the clock's zero: 146 years; clocks are compared by adding bounds.</summary>
    private const long TimeMax = 1L << 62;

    /// <summary>Most by which clocks may be said to differ, ns: 36 years.</summary>
    internal const long ClockBoundMax = 1L << 60;

    private static readonly FrozenDictionary<string, Errno> Errnos =
        Enum.GetValues<Errno>().Where(e => e is not Errno.OK).ToFrozenDictionary(e => e.ToString());

    private static readonly FrozenDictionary<string, OperationKind> Operations = new Dictionary<string, OperationKind>
    {
        ["alloc"] = OperationKind.Alloc,
        ["free"] = OperationKind.Free,
        ["access"] = OperationKind.Access,
        ["bind"] = OperationKind.Bind,
        ["unbind"] = OperationKind.Unbind,
        ["add_resource"] = OperationKind.AddResource,
        ["remove"] = OperationKind.Remove,
        ["query"] = OperationKind.Query,
    }.ToFrozenDictionary();

    private readonly NameCache _names = new(objects);
    private readonly List<Position> _after = [];
    private long _line;

    /// <summary>Parses one line; false for an event of an unknown kind where extensions are allowed.</summary>
    /// <exception cref="HistoryFormatException">The line is JSON but no record of the format.</exception>
    /// <exception cref="JsonException">The line is not JSON.</exception>
    public bool Parse(ReadOnlySpan<byte> line, long number, out HistoryRecord record)
    {
        _line = number;
        if (line.Trim(" \t\r"u8).IsEmpty)
        {
            throw Bad("the line is empty");
        }

        var reader = new Utf8JsonReader(line);
        reader.Read();

        if (reader.TokenType is not JsonTokenType.StartObject)
        {
            throw Bad("a record has to be a JSON object");
        }

        var scan = reader;
        var isOperation = false;
        while (scan.Read() && scan.TokenType is JsonTokenType.PropertyName)
        {
            if (scan.ValueTextEquals("ev"u8))
            {
                scan.Read();
                return ParseEvent(ref reader, KindOf(ref scan), out record);
            }

            isOperation |= scan.ValueTextEquals("op"u8);
            scan.Read();
            scan.Skip();
        }

        if (!isOperation)
        {
            throw Bad("a record has to have \"ev\" or \"op\"");
        }

        record = ParseOperation(ref reader);
        return true;
    }

    private EventKind KindOf(ref Utf8JsonReader reader)
    {
        var name = Text(ref reader, "ev");
        if (name is not null && EventKinds.TryParse(name, out var kind))
        {
            return kind;
        }

        return extensions
            ? EventKind.None
            : throw Bad($"'{HistoryFormatException.Printable(name ?? "null")}' is no kind of event (\"ev\"); "
                + "a header with \"extensions\":true would allow it");
    }

    private bool ParseEvent(ref Utf8JsonReader reader, EventKind kind, out HistoryRecord record)
    {
        var fields = EventFields.Of(kind);
        int obj = 0, gen = 0, life = 0, proc = 0, other = 0, node = -1;
        long seq = 0, time = 0, count = 0;
        ulong start = 0, size = 0, pfn = 0;
        string? actor = null, fn = null, text = null;
        var err = Errno.OK;
        AllocId alloc = default;
        IReadOnlyList<Position> after = [];

        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var extra = -1;
            for (var i = 0; i < fields.Count && extra < 0; i++)
            {
                extra = reader.ValueTextEquals(fields[i].Name) ? i : -1;
            }

            if (extra >= 0)
            {
                var (name, field) = fields[extra];
                reader.Read();
                switch (field)
                {
                    case EventField.Other: other = Name(ref reader, name); break;
                    case EventField.Start: start = Hex(ref reader, name); break;
                    case EventField.SizeBytes: size = Unsigned(ref reader, name); break;
                    case EventField.Pfn: pfn = Hex(ref reader, name); break;
                    case EventField.Count: count = Number(ref reader, name, long.MinValue); break;
                    case EventField.Node: node = (int)Number(ref reader, name, -1, int.MaxValue); break;
                    case EventField.Fn: fn = Text(ref reader, name); break;
                    case EventField.Text: text = Text(ref reader, name); break;
                    case EventField.Alloc: alloc = Alloc(ref reader, name); break;
                    default: reader.Skip(); break;
                }

                continue;
            }

            switch (Common(ref reader))
            {
                case CommonField.Obj: obj = Name(ref reader, "obj"); break;
                case CommonField.Gen: gen = (int)Number(ref reader, "gen", 0, int.MaxValue); break;
                case CommonField.Seq: seq = Number(ref reader, "seq", 1, SeqMax); break;
                case CommonField.Life: life = (int)Number(ref reader, "life", 0, int.MaxValue); break;
                case CommonField.Proc: proc = objects.InternProcess(Text(ref reader, "proc")); break;
                case CommonField.Time: time = Number(ref reader, "t", -TimeMax, TimeMax); break;
                case CommonField.Actor: actor = Text(ref reader, "actor"); break;
                case CommonField.Err: err = Error(ref reader); break;
                case CommonField.After: after = After(ref reader); break;
                default: reader.Skip(); break;
            }
        }

        Ended(ref reader);
        if (kind is EventKind.None)
        {
            record = default;
            return false;
        }

        if (obj == 0 || seq == 0)
        {
            throw Bad($"an event has to have {(obj == 0 ? "\"obj\"" : "\"seq\"")}");
        }

        record = new HistoryEvent
        {
            Kind = kind,
            At = new(obj, gen, seq, life),
            Proc = proc,
            TimeNs = time,
            Actor = actor,
            Err = err,
            After = after,
            Other = other,
            Start = start,
            SizeBytes = size,
            Pfn = pfn,
            Count = count,
            Node = node,
            Fn = fn,
            Text = text,
            Alloc = alloc,
        };
        return true;
    }

    private enum CommonField : byte { None, Obj, Gen, Seq, Life, Proc, Time, Actor, Err, After }

    private static CommonField Common(ref Utf8JsonReader reader)
    {
        var field = reader.ValueTextEquals("obj"u8) ? CommonField.Obj
            : reader.ValueTextEquals("gen"u8) ? CommonField.Gen
            : reader.ValueTextEquals("seq"u8) ? CommonField.Seq
            : reader.ValueTextEquals("life"u8) ? CommonField.Life
            : reader.ValueTextEquals("proc"u8) ? CommonField.Proc
            : reader.ValueTextEquals("t"u8) ? CommonField.Time
            : reader.ValueTextEquals("actor"u8) ? CommonField.Actor
            : reader.ValueTextEquals("err"u8) ? CommonField.Err
            : reader.ValueTextEquals("after"u8) ? CommonField.After
            : CommonField.None;
        reader.Read();
        return field;
    }

    private Operation ParseOperation(ref Utf8JsonReader reader)
    {
        var op = default(Operation);
        var (hasNumber, hasOutcome) = (false, false);
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            if (Is(ref reader, "op"u8))
            {
                op.Number = Number(ref reader, "op", 0);
                hasNumber = true;
            }
            else if (Is(ref reader, "client"u8))
            {
                op.Client = Name(ref reader, "client");
            }
            else if (Is(ref reader, "session"u8))
            {
                op.Session = Name(ref reader, "session");
            }
            else if (Is(ref reader, "kind"u8))
            {
                var kind = Text(ref reader, "kind") ?? "";
                op.Kind = Operations.TryGetValue(kind, out var known)
                    ? known
                    : throw Bad($"\"kind\" of an operation is '{HistoryFormatException.Printable(kind)}'; accepted: "
                        + "alloc, free, access, bind, unbind, add_resource, remove, query");
            }
            else if (Is(ref reader, "dev"u8))
            {
                op.Device = Name(ref reader, "dev");
            }
            else if (Is(ref reader, "intended"u8))
            {
                op.IntendedNs = Number(ref reader, "intended", -TimeMax, TimeMax);
            }
            else if (Is(ref reader, "sent"u8))
            {
                op.SentNs = Number(ref reader, "sent", -TimeMax, TimeMax);
            }
            else if (Is(ref reader, "done"u8))
            {
                op.DoneNs = Number(ref reader, "done", -TimeMax, TimeMax);
            }
            else if (Is(ref reader, "outcome"u8))
            {
                hasOutcome = true;
                op.Outcome = Text(ref reader, "outcome") switch
                {
                    "ok" => OperationOutcome.Ok,
                    "fail" => OperationOutcome.Fail,
                    "unknown" => OperationOutcome.Unknown,
                    var text =>
                        throw Bad($"\"outcome\" is '{HistoryFormatException.Printable(text ?? "null")}'; "
                            + "accepted: ok, fail, unknown"),
                };
            }
            else if (Is(ref reader, "err"u8))
            {
                op.Err = Error(ref reader);
            }
            else if (Is(ref reader, "at"u8))
            {
                op.At = reader.TokenType is JsonTokenType.Null ? default : At(ref reader, "at");
            }
            else if (Is(ref reader, "alloc"u8))
            {
                op.Alloc = Alloc(ref reader, "alloc");
            }
            else if (Is(ref reader, "addr"u8))
            {
                op.Address = Hex(ref reader, "addr");
            }
            else if (Is(ref reader, "size"u8))
            {
                op.SizeBytes = Unsigned(ref reader, "size");
            }
            else if (Is(ref reader, "owner"u8))
            {
                op.Owner = Name(ref reader, "owner");
            }
            else if (Is(ref reader, "map"u8))
            {
                op.Map = Name(ref reader, "map");
            }
            else if (Is(ref reader, "pfn"u8))
            {
                op.Pfn = Hex(ref reader, "pfn");
            }
            else if (Is(ref reader, "count"u8))
            {
                op.PageCount = (int)Number(ref reader, "count", 0, int.MaxValue);
            }
            else if (Is(ref reader, "dir"u8))
            {
                op.Direction = Text(ref reader, "dir") switch
                {
                    "read" => AccessDirection.Read,
                    "write" => AccessDirection.Write,
                    null => AccessDirection.None,
                    _ => throw Bad("\"dir\" has to be read or write"),
                };
            }
            else if (Is(ref reader, "via"u8))
            {
                op.Via = Text(ref reader, "via") switch
                {
                    "cpu" => AccessVia.Cpu,
                    "dma" => AccessVia.Dma,
                    null => AccessVia.None,
                    _ => throw Bad("\"via\" has to be cpu or dma"),
                };
            }
            else if (Is(ref reader, "tag"u8))
            {
                op.Tag = Hex(ref reader, "tag");
            }
            else if (Is(ref reader, "of"u8))
            {
                op.Of = Number(ref reader, "of", 0);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }

        Ended(ref reader);
        if (!hasNumber || !hasOutcome || op.Kind is OperationKind.None || op.Client == 0)
        {
            throw Bad("an operation has to have \"op\", \"client\", \"kind\" and \"outcome\"");
        }

        if (op.Outcome is not OperationOutcome.Unknown && op.SentNs > op.DoneNs)
        {
            throw Bad("\"done\" of an operation lies before \"sent\"");
        }

        return op;
    }

    private static bool Is(ref Utf8JsonReader reader, ReadOnlySpan<byte> name)
    {
        if (!reader.ValueTextEquals(name))
        {
            return false;
        }

        reader.Read();
        return true;
    }

    private static void Ended(ref Utf8JsonReader reader)
    {
        // Reading once more makes the JSON reader refuse whatever stands behind the object.
        reader.Read();
    }

    private IReadOnlyList<Position> After(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is JsonTokenType.Null)
        {
            return [];
        }

        if (reader.TokenType is not JsonTokenType.StartArray)
        {
            throw Bad("\"after\" has to be a list of positions");
        }

        _after.Clear();
        while (reader.Read() && reader.TokenType is not JsonTokenType.EndArray)
        {
            var position = At(ref reader, "after");
            if (position.Seq > 0)
            {
                _after.Add(position);
            }
        }

        return _after.Count == 0 ? [] : _after.ToArray();
    }

    private Position At(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType is not JsonTokenType.StartObject)
        {
            throw Bad($"\"{field}\" has to be a position: {{\"obj\":…,\"gen\":…,\"seq\":…}}");
        }

        int obj = 0, gen = 0, life = 0;
        long seq = 0;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            switch (Common(ref reader))
            {
                case CommonField.Obj: obj = Name(ref reader, "obj"); break;
                case CommonField.Gen: gen = (int)Number(ref reader, "gen", 0, int.MaxValue); break;
                case CommonField.Seq: seq = Number(ref reader, "seq", 0, SeqMax); break;
                case CommonField.Life: life = (int)Number(ref reader, "life", 0, int.MaxValue); break;
                default: reader.Skip(); break;
            }
        }

        // A position 0 is the time before an object's first record: it follows nothing.
        return obj != 0 && (seq != 0 || field is "after")
            ? new(obj, gen, seq, life)
            : throw Bad($"a position in \"{field}\" has to have \"obj\" and \"seq\"");
    }

    private int Name(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType is JsonTokenType.Null)
        {
            return 0;
        }

        if (reader.TokenType is not JsonTokenType.String || reader.ValueSpan.Length > NameCache.LengthMax)
        {
            throw Bad($"\"{field}\" has to be a name of at most {NameCache.LengthMax} bytes");
        }

        return reader.ValueIsEscaped ? objects.Intern(reader.GetString()) : _names.Intern(reader.ValueSpan);
    }

    private string? Text(ref Utf8JsonReader reader, string field) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.True => "true",
        JsonTokenType.False => "false",
        JsonTokenType.String when reader.ValueIsEscaped => reader.GetString(),
        JsonTokenType.String => _names.Text(reader.ValueSpan),
        JsonTokenType.Number => _names.Text(reader.ValueSpan),
        _ => throw Bad($"\"{field}\" has to be a string"),
    };

    private long Number(ref Utf8JsonReader reader, string field, long least, long most = long.MaxValue) =>
        reader.TokenType is JsonTokenType.Number && reader.TryGetInt64(out var number) && number >= least
            && number <= most
            ? number
            : throw Bad(
                $"\"{field}\" has to be a whole number{(least > long.MinValue ? $" from {least} to {most}" : "")}");

    private ulong Unsigned(ref Utf8JsonReader reader, string field) =>
        reader.TokenType is JsonTokenType.Number && reader.TryGetUInt64(out var number)
            ? number
            : throw Bad($"\"{field}\" has to be a whole number from 0 on");

    private ulong Hex(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType is JsonTokenType.String
            && reader.ValueSpan is [(byte)'0', (byte)'x', .. { Length: > 0 and <= 16 } digits]
            && Utf8Parser.TryParse(digits, out ulong value, out var used, 'x') && used == digits.Length)
        {
            return value;
        }

        return reader.TokenType is JsonTokenType.Number && reader.TryGetUInt64(out var number)
            ? number
            : throw Bad($"\"{field}\" has to be a hexadecimal string such as \"0x400000\"");
    }

    private AllocId Alloc(ref Utf8JsonReader reader, string field)
    {
        if (reader.TokenType is JsonTokenType.Null)
        {
            return default;
        }

        if (reader.TokenType is JsonTokenType.String)
        {
            var text = reader.ValueIsEscaped ? Unescaped(ref reader) : reader.ValueSpan;
            var last = text.LastIndexOf((byte)'#');
            var first = last > 0 ? text[..last].LastIndexOf((byte)'#') : -1;
            if (first > 0 && first <= NameCache.LengthMax
                && Utf8Parser.TryParse(text[(first + 1)..last], out int gen, out var used) && used == last - first - 1
                && Utf8Parser.TryParse(text[(last + 1)..], out long number, out used) && used == text.Length - last - 1)
            {
                return new(_names.Intern(text[..first]), gen, number);
            }
        }

        throw Bad($"\"{field}\" has to be the name of an allocation, DEVICE#GEN#NUMBER");
    }

    private static ReadOnlySpan<byte> Unescaped(ref Utf8JsonReader reader)
    {
        var text = new byte[reader.ValueSpan.Length];
        return text.AsSpan(0, reader.CopyString(text));
    }

    private Errno Error(ref Utf8JsonReader reader)
    {
        var name = Text(ref reader, "err");
        return name is null ? Errno.OK
            : Errnos.TryGetValue(name, out var err) ? err
            : throw Bad($"\"err\" is '{HistoryFormatException.Printable(name)}'; accepted: "
                + $"{string.Join(", ", Errnos.Keys.Order(StringComparer.Ordinal))}");
    }

    private HistoryFormatException Bad(string reason) => new(_line, reason);
}
