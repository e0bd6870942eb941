using System.Buffers.Binary;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Spool;

/// <summary>The fixed binary form of an operation in the spool; little endian, no allocation.</summary>
internal static class OperationCodec
{
    public const int Bytes = 144;

    public static void Write(Span<byte> to, in Operation op)
    {
        to = to[..Bytes]; // One check; the writes below are then known to fit.
        to[0] = (byte)FrameType.Operation;
        to[1] = (byte)op.Kind;
        to[2] = (byte)op.Outcome;
        to[3] = (byte)op.Direction;
        to[4] = (byte)op.Via;
        to[5] = 0;
        BinaryPrimitives.WriteInt16LittleEndian(to[6..], (short)op.Err);
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], op.Number);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], op.IntendedNs);
        BinaryPrimitives.WriteInt64LittleEndian(to[24..], op.SentNs);
        BinaryPrimitives.WriteInt64LittleEndian(to[32..], op.DoneNs);
        BinaryPrimitives.WriteInt64LittleEndian(to[40..], op.At.Seq);
        BinaryPrimitives.WriteInt64LittleEndian(to[48..], op.Alloc.Number);
        BinaryPrimitives.WriteUInt64LittleEndian(to[56..], op.Address);
        BinaryPrimitives.WriteUInt64LittleEndian(to[64..], op.SizeBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(to[72..], op.Pfn);
        BinaryPrimitives.WriteUInt64LittleEndian(to[80..], op.Tag);
        BinaryPrimitives.WriteInt64LittleEndian(to[88..], op.Of);
        BinaryPrimitives.WriteInt32LittleEndian(to[96..], op.Client);
        BinaryPrimitives.WriteInt32LittleEndian(to[100..], op.Session);
        BinaryPrimitives.WriteInt32LittleEndian(to[104..], op.Device);
        BinaryPrimitives.WriteInt32LittleEndian(to[108..], op.At.Obj);
        BinaryPrimitives.WriteInt32LittleEndian(to[112..], op.At.Gen);
        BinaryPrimitives.WriteInt32LittleEndian(to[116..], op.At.Life);
        BinaryPrimitives.WriteInt32LittleEndian(to[120..], op.Owner);
        BinaryPrimitives.WriteInt32LittleEndian(to[124..], op.Map);
        BinaryPrimitives.WriteInt32LittleEndian(to[128..], op.PageCount);
        BinaryPrimitives.WriteInt32LittleEndian(to[132..], op.Alloc.Gen);
        BinaryPrimitives.WriteInt32LittleEndian(to[136..], op.Alloc.Device);
        BinaryPrimitives.WriteInt32LittleEndian(to[140..], 0);
    }

    public static void Read(ReadOnlySpan<byte> from, out Operation op)
    {
        from = from[..Bytes];
        op = new Operation
        {
            Kind = (OperationKind)from[1],
            Outcome = (OperationOutcome)from[2],
            Direction = (AccessDirection)from[3],
            Via = (AccessVia)from[4],
            Err = (Errno)BinaryPrimitives.ReadInt16LittleEndian(from[6..]),
            Number = BinaryPrimitives.ReadInt64LittleEndian(from[8..]),
            IntendedNs = BinaryPrimitives.ReadInt64LittleEndian(from[16..]),
            SentNs = BinaryPrimitives.ReadInt64LittleEndian(from[24..]),
            DoneNs = BinaryPrimitives.ReadInt64LittleEndian(from[32..]),
            Address = BinaryPrimitives.ReadUInt64LittleEndian(from[56..]),
            SizeBytes = BinaryPrimitives.ReadUInt64LittleEndian(from[64..]),
            Pfn = BinaryPrimitives.ReadUInt64LittleEndian(from[72..]),
            Tag = BinaryPrimitives.ReadUInt64LittleEndian(from[80..]),
            Of = BinaryPrimitives.ReadInt64LittleEndian(from[88..]),
            Client = BinaryPrimitives.ReadInt32LittleEndian(from[96..]),
            Session = BinaryPrimitives.ReadInt32LittleEndian(from[100..]),
            Device = BinaryPrimitives.ReadInt32LittleEndian(from[104..]),
            At = new Position(
                BinaryPrimitives.ReadInt32LittleEndian(from[108..]),
                BinaryPrimitives.ReadInt32LittleEndian(from[112..]),
                BinaryPrimitives.ReadInt64LittleEndian(from[40..]),
                BinaryPrimitives.ReadInt32LittleEndian(from[116..])),
            Owner = BinaryPrimitives.ReadInt32LittleEndian(from[120..]),
            Map = BinaryPrimitives.ReadInt32LittleEndian(from[124..]),
            PageCount = BinaryPrimitives.ReadInt32LittleEndian(from[128..]),
            Alloc = new AllocId(
                BinaryPrimitives.ReadInt32LittleEndian(from[136..]),
                BinaryPrimitives.ReadInt32LittleEndian(from[132..]),
                BinaryPrimitives.ReadInt64LittleEndian(from[48..])),
        };
    }
}
