using System.Buffers;
using System.Buffers.Binary;
using Orleans.Serialization.Buffers;
using Orleans.Serialization.Cloning;
using Orleans.Serialization.Codecs;
using Orleans.Serialization.WireProtocol;

namespace Fleet.Grains.Serialization;

/// <summary>One record of a hot operation on the wire.</summary>
/// <remarks>
/// A generated codec writes a header for each field, and goes through a generic virtual call for each record in it.
/// </remarks>
public abstract class PackedCodec<T, TLayout> : IFieldCodec<T>, IDeepCopier<T>, IOptionalDeepCopier
    where T : struct
    where TLayout : struct, IPackedLayout<T>
{
    public void WriteField<TBufferWriter>(
        ref Writer<TBufferWriter> writer, uint fieldIdDelta, Type? expectedType, T value)
        where TBufferWriter : IBufferWriter<byte>
    {
        ReferenceCodec.MarkValueField(writer.Session);
        writer.WriteFieldHeader(fieldIdDelta, expectedType, typeof(T), WireType.LengthPrefixed);
        Span<byte> packed = stackalloc byte[PackedColumns.RecordBytesMax];
        var bytes = PackedColumns.Pack<T, TLayout>(value, packed);
        writer.WriteVarUInt32((uint)bytes);
        writer.Write(packed[..bytes]);
    }

    public T ReadValue<TInput>(ref Reader<TInput> reader, Field field)
    {
        ReferenceCodec.MarkValueField(reader.Session);
        field.EnsureWireType(WireType.LengthPrefixed);
        var bytes = reader.ReadVarUInt32();
        if (bytes <= PackedColumns.RecordBytesMax && reader.TryReadBytes((int)bytes, out var packed))
        {
            return PackedColumns.Unpack<T, TLayout>(packed);
        }

        reader.EnsureAvailable(bytes);
        return PackedColumns.Unpack<T, TLayout>(reader.ReadBytes(bytes));
    }

    public T DeepCopy(T input, CopyContext context) => input;

    public bool IsShallowCopyable() => true;
}

/// <summary>As many answers of a hot operation on the wire: a vector.</summary>
/// <remarks>Not copied between grain and caller of one process: the grain leaves alone what it answered.</remarks>
public abstract class PackedVectorCodec<T, TLayout> : IFieldCodec<T[]>, IDeepCopier<T[]>, IOptionalDeepCopier
    where T : struct
    where TLayout : struct, IPackedLayout<T>
{
    public void WriteField<TBufferWriter>(
        ref Writer<TBufferWriter> writer, uint fieldIdDelta, Type? expectedType, T[]? value)
        where TBufferWriter : IBufferWriter<byte>
    {
        if (ReferenceCodec.TryWriteReferenceField(ref writer, fieldIdDelta, expectedType, value))
        {
            return;
        }

        writer.WriteFieldHeader(fieldIdDelta, expectedType, typeof(T[]), WireType.LengthPrefixed);
        PackedVector<T, TLayout>.Write(ref writer, value);
    }

    public T[]? ReadValue<TInput>(ref Reader<TInput> reader, Field field)
    {
        if (field.WireType == WireType.Reference)
        {
            return ReferenceCodec.ReadReference<T[], TInput>(ref reader, field);
        }

        field.EnsureWireType(WireType.LengthPrefixed);
        var records = PackedVector<T, TLayout>.Read(ref reader);
        ReferenceCodec.RecordObject(reader.Session, records);
        return records;
    }

    public T[]? DeepCopy(T[]? input, CopyContext context) => input;

    public bool IsShallowCopyable() => true;
}

/// <summary>The requests of one vector call on the wire.</summary>
/// <remarks>Not copied between caller and grain of one process: the caller leaves what it sent alone.</remarks>
public abstract class PackedRequestsCodec<TVector, T, TLayout>
    : IFieldCodec<TVector>, IDeepCopier<TVector>, IOptionalDeepCopier
    where TVector : struct, IRequestVector<TVector, T>
    where T : struct
    where TLayout : struct, IPackedLayout<T>
{
    public void WriteField<TBufferWriter>(
        ref Writer<TBufferWriter> writer, uint fieldIdDelta, Type? expectedType, TVector value)
        where TBufferWriter : IBufferWriter<byte>
    {
        ReferenceCodec.MarkValueField(writer.Session);
        writer.WriteFieldHeader(fieldIdDelta, expectedType, typeof(TVector), WireType.LengthPrefixed);
        PackedVector<T, TLayout>.Write(ref writer, value.Elements);
    }

    public TVector ReadValue<TInput>(ref Reader<TInput> reader, Field field)
    {
        ReferenceCodec.MarkValueField(reader.Session);
        field.EnsureWireType(WireType.LengthPrefixed);
        return TVector.Of(PackedVector<T, TLayout>.Read(ref reader));
    }

    public TVector DeepCopy(TVector input, CopyContext context) => input;

    public bool IsShallowCopyable() => true;
}

/// <summary>The body of a vector's field: its length and its packed records.</summary>
internal static class PackedVector<T, TLayout>
    where T : struct
    where TLayout : struct, IPackedLayout<T>
{
    /// <summary>The number of records, before them.</summary>
    private const int LengthBytes = sizeof(int);

    public static void Write<TBufferWriter>(ref Writer<TBufferWriter> writer, ReadOnlySpan<T> records)
        where TBufferWriter : IBufferWriter<byte>
    {
        var packed = ArrayPool<byte>.Shared.Rent(
            LengthBytes + PackedColumns.BytesMax(records.Length, TLayout.Count));
        var bytes = LengthBytes + PackedColumns.Pack<T, TLayout>(records, packed.AsSpan(LengthBytes));
        BinaryPrimitives.WriteInt32LittleEndian(packed, records.Length);
        writer.WriteVarUInt32((uint)bytes);
        writer.Write(packed.AsSpan(0, bytes));
        ArrayPool<byte>.Shared.Return(packed);
    }

    public static T[] Read<TInput>(ref Reader<TInput> reader)
    {
        var bytes = reader.ReadVarUInt32();
        reader.EnsureAvailable(bytes);
        return reader.TryReadBytes((int)bytes, out var packed) ? Unpack(packed) : Unpack(reader.ReadBytes(bytes));
    }

    private static T[] Unpack(ReadOnlySpan<byte> packed)
    {
        if (packed.Length < LengthBytes)
        {
            throw new InvalidDataException($"A vector of {typeof(T).Name} has no length.");
        }

        // No block is shorter than what stands before its columns: what cannot be there is not made room for.
        var length = BinaryPrimitives.ReadInt32LittleEndian(packed);
        var lengthMax = PackedColumns.RecordsMax(packed.Length - LengthBytes, TLayout.Count);
        if (length < 0 || length > lengthMax)
        {
            throw new InvalidDataException($"A vector says {length} of {typeof(T).Name}; {lengthMax} fit.");
        }

        var records = new T[length];
        PackedColumns.Unpack<T, TLayout>(packed[LengthBytes..], records);
        return records;
    }
}
