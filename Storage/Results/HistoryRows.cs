using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>Takes the values of rows, column after column, in whatever form a store wants them.</summary>
/// <remarks>Implemented by structs: the writer is compiled once for each, and a value costs no dispatch.</remarks>
internal interface IRowSink
{
    void StartRow();

    void Long(long value);

    void Long(long? value);

    void Int(int? value);

    void Short(short? value);

    void EndRow();
}

/// <summary>Records as the rows of <see cref="HistoryTables"/>: the one place that knows which value stands in which
/// column, and which are left out.</summary>
internal static class HistoryRows
{
    /// <param name="known">Session and process that the client was first seen with, in the numbers of the
    /// store.</param>
    public static void Write<TRows>(
        ref TRows rows, in Operation op, HistoryBatch batch, ObjectMap map, (int Session, int Proc) known)
        where TRows : struct, IRowSink
    {
        var row = RowOf(op, batch, map, known);
        rows.StartRow();
        rows.Long(row.NumberCode);
        rows.Long(row.SentNs);
        rows.Long(row.Address);
        rows.Long(RowPacking.Large(row.Pfn));
        rows.Long(row.Tag);
        rows.Long(row.Of);
        rows.Long(RowPacking.Large(row.Late));
        rows.Long(RowPacking.Large(row.Took));
        rows.Long(RowPacking.Large(row.Size));
        rows.Long(RowPacking.Large(row.Seq));
        rows.Long(RowPacking.Large(row.AllocNumber));
        rows.Int(RowPacking.SmallOrNone(row.Late));
        rows.Int(RowPacking.Small(row.Took));
        rows.Int(RowPacking.SmallOrNone(row.Size));
        rows.Int(RowPacking.SmallOrNone(row.Seq));
        rows.Int(RowPacking.SmallOrNone(row.AllocNumber));
        rows.Int(row.Client);
        rows.Int(row.Obj);
        rows.Int(row.Gen);
        rows.Int(row.Life);
        rows.Int(row.Owner);
        rows.Int(row.Map);
        rows.Int(row.Device);
        rows.Int(row.Session);
        rows.Int(row.AllocGen);
        rows.Int(row.Pages);
        rows.Int(row.Page);
        rows.Int(RowPacking.SmallOrNone(row.Pfn));
        rows.Short(known.Proc == batch.Proc ? null : (short)batch.Proc);
        rows.Short(row.Err);
        rows.EndRow();
    }

    /// <param name="known">Session and process that the client was first seen with, in the numbers of the
    /// store.</param>
    public static OperationRow RowOf(
        in Operation op, HistoryBatch batch, ObjectMap map, (int Session, int Proc) known) => new(
            op, map, op.At.IsNone ? 0 : batch.Objects.DeviceOf(op.At.Obj),
            !op.At.IsNone && batch.Objects.Kind(op.At.Obj) is ObjectKind.Map, known.Session);

    /// <param name="texts">Numbers of actors, functions and texts in the store.</param>
    public static void Write<TRows>(
        ref TRows rows, HistoryEvent e, HistoryBatch batch, ObjectMap map, IReadOnlyDictionary<string, int> texts)
        where TRows : struct, IRowSink
    {
        rows.StartRow();
        rows.Long(e.At.Seq);
        rows.Long(e.TimeNs);
        rows.Long(RowPacking.Some(unchecked((long)e.Start)));
        rows.Long(RowPacking.Some(unchecked((long)e.SizeBytes)));
        rows.Long(RowPacking.Some(unchecked((long)e.Pfn)));
        rows.Long(RowPacking.Some(e.Count));
        rows.Long(RowPacking.Some(e.Alloc.Number));
        rows.Int(map[e.At.Obj]);
        rows.Int(e.At.Gen);
        rows.Int(e.At.Life);
        rows.Int(Text(e.Actor));
        rows.Int(e.Other == 0 ? null : map[e.Other]);
        rows.Int(e.Node < 0 ? null : e.Node);
        rows.Int(Text(e.Fn));
        rows.Int(Text(e.Text));
        rows.Int(e.Alloc.IsNone ? null : map[e.Alloc.Device]);
        rows.Int(e.Alloc.IsNone ? null : e.Alloc.Gen);
        rows.Short((short)e.Proc);
        rows.Short(e.Proc == batch.Proc ? null : (short)batch.Proc);
        rows.Short((short)e.Kind);
        rows.Short(e.Err is Errno.OK ? null : (short)e.Err);
        rows.Short(e.After.Count == 0 ? null : (short)e.After.Count);
        rows.EndRow();

        int? Text(string? value) => value is null ? null : texts[value];
    }

    /// <summary>Writes the positions that an event names, one row for each.</summary>
    public static void WriteAfter<TRows>(ref TRows rows, HistoryEvent e, ObjectMap map)
        where TRows : struct, IRowSink
    {
        for (var n = 0; n < e.After.Count; n++)
        {
            rows.StartRow();
            rows.Long(e.At.Seq);
            rows.Long(e.After[n].Seq);
            rows.Int(map[e.At.Obj]);
            rows.Int(e.At.Gen);
            rows.Int(map[e.After[n].Obj]);
            rows.Int(e.After[n].Gen);
            rows.Int(e.After[n].Life);
            rows.Short((short)n);
            rows.EndRow();
        }
    }
}
