using System.Buffers.Binary;
using System.Text;

namespace Fleet.Storage.Spool;

/// <summary>Collects the payload of one frame of varying length before it is appended in one go.</summary>
internal sealed class FrameBuffer
{
    private byte[] _bytes = new byte[4096];
    private int _length;

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

    public FrameBuffer Start(FrameType type)
    {
        _length = 0;
        return Byte((byte)type);
    }

    public FrameBuffer Byte(byte value)
    {
        Take(1)[0] = value;
        return this;
    }

    public FrameBuffer Int16(short value)
    {
        BinaryPrimitives.WriteInt16LittleEndian(Take(2), value);
        return this;
    }

    public FrameBuffer Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(Take(4), value);
        return this;
    }

    public FrameBuffer Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(Take(8), value);
        return this;
    }

    public FrameBuffer UInt64(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(Take(8), value);
        return this;
    }

    /// <summary>UTF-8 after its length; length -1 is null.</summary>
    public FrameBuffer Text(string? value) => value is null ? Int32(-1) : Text(value.AsSpan());

    public FrameBuffer Text(ReadOnlySpan<char> value)
    {
        var bytes = Encoding.UTF8.GetByteCount(value);
        Int32(bytes);
        Encoding.UTF8.GetBytes(value, Take(bytes));
        return this;
    }

    private Span<byte> Take(int bytes)
    {
        if (_length + bytes > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + bytes));
        }

        var taken = _bytes.AsSpan(_length, bytes);
        _length += bytes;
        return taken;
    }
}

/// <summary>Reads back what <see cref="FrameBuffer"/> wrote; the checksum was verified before.</summary>
internal ref struct FrameReader(ReadOnlySpan<byte> from)
{
    private ReadOnlySpan<byte> _rest = from;

    public byte Byte() => Take(1)[0];

    public short Int16() => BinaryPrimitives.ReadInt16LittleEndian(Take(2));

    public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4));

    public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    public string? Text()
    {
        var bytes = Int32();
        return bytes < 0 ? null : Encoding.UTF8.GetString(Take(bytes));
    }

    private ReadOnlySpan<byte> Take(int bytes)
    {
        var taken = _rest[..bytes];
        _rest = _rest[bytes..];
        return taken;
    }
}
