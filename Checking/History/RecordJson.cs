using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>The JSON form of one record: the line of a history file, the evidence of a finding.</summary>
/// <remarks>Absent values are not written, so that reading a line back gives an equal record.</remarks>
public static class RecordJson
{
    public static string Event(HistoryEvent record, ObjectTable objects) => Text(json => Write(json, record, objects));

    public static string Operation(in Operation record, ObjectTable objects)
    {
        var copy = record;
        return Text(json => Write(json, copy, objects));
    }

    public static string Header(HistoryHeader header) => HeaderJson.Text(header);

    internal static string Record(in HistoryRecord record, ObjectTable objects) =>
        record.Event is { } e ? Event(e, objects) : Operation(record.Operation, objects);

    internal static void Write(Utf8JsonWriter json, HistoryEvent record, ObjectTable objects)
    {
        json.WriteStartObject();
        json.WriteString("ev"u8, EventKinds.WireName(record.Kind));
        WritePosition(json, record.At, objects);
        if (objects.ProcessName(record.Proc) is { Length: > 0 } process)
        {
            json.WriteString("proc"u8, process);
        }

        json.WriteNumber("t"u8, record.TimeNs);
        Text(json, "actor", record.Actor);
        Error(json, record.Err);
        foreach (var (name, field) in EventFields.Of(record.Kind))
        {
            switch (field)
            {
                case EventField.Other: Name(json, name, record.Other, objects); break;
                case EventField.Start: Hex(json, name, record.Start); break;
                case EventField.SizeBytes: Number(json, name, record.SizeBytes); break;
                case EventField.Pfn: Hex(json, name, record.Pfn); break;
                case EventField.Count when record.Count != 0: json.WriteNumber(name, record.Count); break;
                case EventField.Node when record.Node != -1: json.WriteNumber(name, record.Node); break;
                case EventField.Fn: Text(json, name, record.Fn); break;
                case EventField.Text: Text(json, name, record.Text); break;
                case EventField.Alloc: Alloc(json, name, record.Alloc, objects); break;
                default: break;
            }
        }

        if (record.After.Count > 0)
        {
            json.WriteStartArray("after"u8);
            foreach (var position in record.After)
            {
                json.WriteStartObject();
                WritePosition(json, position, objects);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    internal static void Write(Utf8JsonWriter json, in Operation record, ObjectTable objects)
    {
        json.WriteStartObject();
        json.WriteNumber("op"u8, record.Number);
        Name(json, "client", record.Client, objects);
        Name(json, "session", record.Session, objects);
        json.WriteString("kind"u8, record.Kind switch
        {
            OperationKind.Alloc => "alloc"u8,
            OperationKind.Free => "free"u8,
            OperationKind.Access => "access"u8,
            OperationKind.Bind => "bind"u8,
            OperationKind.Unbind => "unbind"u8,
            OperationKind.AddResource => "add_resource"u8,
            OperationKind.Remove => "remove"u8,
            OperationKind.Query => "query"u8,
            _ => throw new ArgumentException($"an operation of kind {record.Kind} cannot be written", nameof(record)),
        });
        Name(json, "dev", record.Device, objects);
        json.WriteNumber("intended"u8, record.IntendedNs);
        json.WriteNumber("sent"u8, record.SentNs);
        json.WriteNumber("done"u8, record.DoneNs);
        json.WriteString("outcome"u8, record.Outcome switch
        {
            OperationOutcome.Ok => "ok"u8,
            OperationOutcome.Fail => "fail"u8,
            _ => "unknown"u8,
        });
        Error(json, record.Err);
        if (!record.At.IsNone)
        {
            json.WriteStartObject("at"u8);
            WritePosition(json, record.At, objects);
            json.WriteEndObject();
        }

        Alloc(json, "alloc", record.Alloc, objects);
        Hex(json, "addr", record.Address);
        Number(json, "size", record.SizeBytes);
        Name(json, "owner", record.Owner, objects);
        Name(json, "map", record.Map, objects);
        Hex(json, "pfn", record.Pfn);
        if (record.PageCount != 0)
        {
            json.WriteNumber("count"u8, record.PageCount);
        }

        if (record.Direction is not AccessDirection.None)
        {
            json.WriteString("dir"u8, record.Direction is AccessDirection.Read ? "read"u8 : "write"u8);
        }

        if (record.Via is not AccessVia.None)
        {
            json.WriteString("via"u8, record.Via is AccessVia.Cpu ? "cpu"u8 : "dma"u8);
        }

        Hex(json, "tag", record.Tag);
        if (record.Of != 0)
        {
            json.WriteNumber("of"u8, record.Of);
        }

        json.WriteEndObject();
    }

    private static string Text(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer))
        {
            write(json);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WritePosition(Utf8JsonWriter json, Position at, ObjectTable objects)
    {
        json.WriteString("obj"u8, objects.Name(at.Obj));
        json.WriteNumber("gen"u8, at.Gen);
        json.WriteNumber("seq"u8, at.Seq);
        if (at.Life != 0)
        {
            json.WriteNumber("life"u8, at.Life);
        }
    }

    private static void Name(Utf8JsonWriter json, string field, int id, ObjectTable objects)
    {
        if (id != 0)
        {
            json.WriteString(field, objects.Name(id));
        }
    }

    private static void Text(Utf8JsonWriter json, string field, string? text)
    {
        if (text is not null)
        {
            json.WriteString(field, text);
        }
    }

    private static void Error(Utf8JsonWriter json, Errno err)
    {
        if (err is not Errno.OK)
        {
            json.WriteString("err"u8, err.ToString());
        }
    }

    private static void Number(Utf8JsonWriter json, string field, ulong value)
    {
        if (value != 0)
        {
            json.WriteNumber(field, value);
        }
    }

    private static void Hex(Utf8JsonWriter json, string field, ulong value)
    {
        if (value != 0)
        {
            Span<char> text = stackalloc char[18];
            text.TryWrite(CultureInfo.InvariantCulture, $"0x{value:x}", out var length);
            json.WriteString(field, text[..length]);
        }
    }

    private static void Alloc(Utf8JsonWriter json, string field, AllocId id, ObjectTable objects)
    {
        if (!id.IsNone)
        {
            json.WriteString(
                field, string.Create(CultureInfo.InvariantCulture, $"{objects.Name(id.Device)}#{id.Gen}#{id.Number}"));
        }
    }
}
