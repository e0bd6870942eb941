using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Spool;

/// <summary>The binary form of one group commit of events: one frame, so all of them or none.</summary>
internal static class EventCodec
{
    public static ReadOnlySpan<byte> Write(FrameBuffer buffer, IReadOnlyList<HistoryEvent> events)
    {
        buffer.Start(FrameType.Events).Int32(events.Count);
        // By index: of an interface an enumerator is an object.
        for (var i = 0; i < events.Count; i++)
        {
            var e = events[i];
            buffer.Byte((byte)e.Kind).Int16((short)e.Err);
            At(buffer, e.At);
            buffer.Int32(e.Proc).Int64(e.TimeNs).Text(e.Actor);
            buffer.Int32(e.Other).UInt64(e.Start).UInt64(e.SizeBytes).UInt64(e.Pfn).Int64(e.Count).Int32(e.Node);
            buffer.Text(e.Fn).Text(e.Text);
            buffer.Int32(e.Alloc.Device).Int32(e.Alloc.Gen).Int64(e.Alloc.Number);
            buffer.Int32(e.After.Count);
            for (var cause = 0; cause < e.After.Count; cause++)
            {
                At(buffer, e.After[cause]);
            }
        }

        return buffer.Written;
    }

    /// <param name="from">The payload after its type.</param>
    public static void Read(ReadOnlySpan<byte> from, ICollection<HistoryEvent> to)
    {
        var reader = new FrameReader(from);
        for (var left = reader.Int32(); left > 0; left--)
        {
            to.Add(new HistoryEvent
            {
                Kind = (EventKind)reader.Byte(),
                Err = (Errno)reader.Int16(),
                At = At(ref reader),
                Proc = reader.Int32(),
                TimeNs = reader.Int64(),
                Actor = reader.Text(),
                Other = reader.Int32(),
                Start = reader.UInt64(),
                SizeBytes = reader.UInt64(),
                Pfn = reader.UInt64(),
                Count = reader.Int64(),
                Node = reader.Int32(),
                Fn = reader.Text(),
                Text = reader.Text(),
                Alloc = new AllocId(reader.Int32(), reader.Int32(), reader.Int64()),
                After = After(ref reader),
            });
        }
    }

    private static Position[] After(ref FrameReader reader)
    {
        var count = reader.Int32();
        if (count == 0)
        {
            return [];
        }

        var after = new Position[count];
        for (var i = 0; i < count; i++)
        {
            after[i] = At(ref reader);
        }

        return after;
    }

    private static void At(FrameBuffer buffer, Position at) =>
        buffer.Int32(at.Obj).Int32(at.Gen).Int64(at.Seq).Int32(at.Life);

    private static Position At(ref FrameReader reader) =>
        new(reader.Int32(), reader.Int32(), reader.Int64(), reader.Int32());
}
