using System.Text.Json;
using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Exports;

/// <summary>Writes the operations of a history as Porcupine takes them: a JSON array of its Operation.</summary>
/// <remarks>
/// The names are those that Go's encoder gives to the fields of <c>porcupine.Operation</c>: ClientId, Input, Call,
/// Output, Return; Input and Output are objects of this format's own. An operation without an answer returns after
/// everything else and says <c>"unknown": true</c>, so that a model may let it take effect anywhere, or not at all.
/// <c>Input.dev</c> is what to partition by.
/// </remarks>
public static class PorcupineJson
{
    /// <param name="stream">Stays open.</param>
    public static void Write(Stream stream, IReadOnlyCollection<HistoryRecord> records, ObjectTable objects)
    {
        var operations = SequentialProcesses.Of(records);
        var end = operations.Count == 0
            ? 0
            : operations.Max(o => o.ReturnNs == long.MaxValue ? o.CallNs : o.ReturnNs) + 1;
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartArray();
        foreach (var one in operations)
        {
            Write(json, one, end, objects);
            if (json.BytesPending > 1 << 16)
            {
                json.Flush();
            }
        }

        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, in ProcessOperation one, long end, ObjectTable objects)
    {
        var op = one.Operation;
        var isUnknown = op.Outcome is OperationOutcome.Unknown;
        json.WriteStartObject();
        json.WriteNumber("ClientId"u8, one.Process);
        json.WriteStartObject("Input"u8);
        json.WriteNumber("op"u8, op.Number);
        json.WriteString("kind"u8, op.Kind switch
        {
            OperationKind.AddResource => "add_resource",
            var kind => kind.ToString().ToLowerInvariant(),
        });
        Name(json, "client", op.Client, objects);
        Name(json, "dev", op.Device, objects);
        if (op.Kind is not OperationKind.Alloc)
        {
            Allocation(json, op, objects);
        }

        Number(json, "size", op.SizeBytes);
        Name(json, "map", op.Map, objects);
        Number(json, "pfn", op.Pfn);
        Number(json, "count", (ulong)Math.Max(0, op.PageCount));
        if (op.Direction is not AccessDirection.None)
        {
            json.WriteString("dir"u8, op.Direction is AccessDirection.Write ? "write"u8 : "read"u8);
        }

        if (op.Direction is AccessDirection.Write)
        {
            Number(json, "tag", op.Tag);
        }

        json.WriteEndObject();
        json.WriteNumber("Call"u8, one.CallNs);
        json.WriteStartObject("Output"u8);
        if (isUnknown)
        {
            json.WriteBoolean("unknown"u8, true);
        }
        else
        {
            json.WriteBoolean("ok"u8, op.Outcome is OperationOutcome.Ok);
            if (op.Err is not Errno.OK)
            {
                json.WriteString("err"u8, op.Err.ToString());
            }

            if (op.Kind is OperationKind.Alloc)
            {
                Allocation(json, op, objects);
            }

            Name(json, "owner", op.Owner, objects);
            if (op.Direction is AccessDirection.Read)
            {
                Number(json, "tag", op.Tag);
            }

            if (!op.At.IsNone)
            {
                json.WriteNumber("seq"u8, op.At.Seq);
                json.WriteNumber("gen"u8, op.At.Gen);
            }
        }

        json.WriteEndObject();
        json.WriteNumber("Return"u8, isUnknown ? end : one.ReturnNs);
        json.WriteEndObject();
    }

    private static void Allocation(Utf8JsonWriter json, in Operation op, ObjectTable objects)
    {
        if (!op.Alloc.IsNone)
        {
            json.WriteString("alloc"u8, $"{objects.Name(op.Alloc.Device)}#{op.Alloc.Gen}#{op.Alloc.Number}");
        }

        Number(json, "addr", op.Address);
    }

    private static void Name(Utf8JsonWriter json, string field, int id, ObjectTable objects)
    {
        if (id != 0)
        {
            json.WriteString(field, objects.Name(id));
        }
    }

    private static void Number(Utf8JsonWriter json, string field, ulong value)
    {
        if (value != 0)
        {
            json.WriteNumber(field, value);
        }
    }
}
