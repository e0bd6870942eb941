using System.Buffers.Binary;
using System.Numerics;

namespace Fleet.Grains.Serialization;

/// <summary>Which columns a record of a hot operation has on the wire.</summary>
/// <remarks>Implemented by structs, so that the loops over records are compiled once for each kind.</remarks>
public interface IPackedLayout<T>
    where T : struct
{
    /// <summary>Names of the columns in their order, for the approved contracts.</summary>
    static abstract string Names { get; }

    /// <summary>At most <see cref="PackedColumns.CountMax"/>.</summary>
    static abstract int Count { get; }

    static abstract void Take(in T record, Span<ulong> columns);

    static abstract T Make(ReadOnlySpan<ulong> columns);
}

/// <summary>Writes records as differences of their columns from what the records before lead one to expect.</summary>
/// <remarks>
/// A record is a control word of three bits for each column, the size of its difference, and then those bytes, little
/// endian, zigzag. Expected is the value before, and from the third record on another step of the same width:
/// numbers that count up, and what all requests of a vector share, take no bytes. Docs: decision 0129.
/// </remarks>
internal static class PackedColumns
{
    public const int CountMax = 10;

    /// <summary>Of one record: control word, columns, and the slack that a whole word is written into.</summary>
    public const int RecordBytesMax = sizeof(uint) + (CountMax * sizeof(ulong)) + sizeof(ulong);

    private const int ControlBits = 3;
    private const uint ControlMask = (1 << ControlBits) - 1;

    public static int ControlBytes(int count) => ((count * ControlBits) + 7) / 8;

    /// <summary>Packs a record that nothing stands before.</summary>
    /// <returns>Bytes written.</returns>
    public static int Pack<T, TLayout>(in T record, Span<byte> to)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax];
        TLayout.Take(record, columns);
        return Write(columns[..TLayout.Count], to);
    }

    /// <summary>Packs records in order; <paramref name="to"/> has <see cref="RecordBytesMax"/> for each.</summary>
    /// <returns>Bytes written.</returns>
    public static int Pack<T, TLayout>(ReadOnlySpan<T> records, Span<byte> to)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> before = stackalloc ulong[CountMax];
        Span<ulong> steps = stackalloc ulong[CountMax];
        Span<ulong> columns = stackalloc ulong[CountMax];
        Span<ulong> differences = stackalloc ulong[CountMax];
        before.Clear();
        steps.Clear();
        var written = 0;
        for (var r = 0; r < records.Length; r++)
        {
            TLayout.Take(records[r], columns);
            for (var i = 0; i < TLayout.Count; i++)
            {
                unchecked
                {
                    var step = columns[i] - before[i];
                    differences[i] = step - steps[i];
                    before[i] = columns[i];
                    steps[i] = r == 0 ? 0 : step;
                }
            }

            written += Write(differences[..TLayout.Count], to[written..]);
        }

        return written;
    }

    /// <exception cref="InvalidDataException">The bytes are no record of this kind.</exception>
    public static T Unpack<T, TLayout>(ReadOnlySpan<byte> from)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax];
        return Read(from, columns[..TLayout.Count]) == from.Length
            ? TLayout.Make(columns)
            : throw new InvalidDataException($"A packed {typeof(T).Name} has bytes left over.");
    }

    /// <exception cref="InvalidDataException">The bytes are not as many records of this kind.</exception>
    public static void Unpack<T, TLayout>(ReadOnlySpan<byte> from, Span<T> records)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax];
        Span<ulong> steps = stackalloc ulong[CountMax];
        Span<ulong> differences = stackalloc ulong[CountMax];
        columns.Clear();
        steps.Clear();
        for (var r = 0; r < records.Length; r++)
        {
            from = from[Read(from, differences[..TLayout.Count])..];
            for (var i = 0; i < TLayout.Count; i++)
            {
                unchecked
                {
                    var step = differences[i] + steps[i];
                    columns[i] += step;
                    steps[i] = r == 0 ? 0 : step;
                }
            }

            records[r] = TLayout.Make(columns);
        }

        if (from.Length > 0)
        {
            throw new InvalidDataException($"Packed records of {typeof(T).Name} have bytes left over.");
        }
    }

    private static int Write(ReadOnlySpan<ulong> values, Span<byte> to)
    {
        var controlBytes = ControlBytes(values.Length);
        var (control, at) = (0u, controlBytes);
        for (var i = 0; i < values.Length; i++)
        {
            var value = Zigzag(values[i]);
            var size = (71 - BitOperations.LeadingZeroCount(value)) >> 3;
            BinaryPrimitives.WriteUInt64LittleEndian(to[at..], value);

            // Seven says eight: three bits hold no more, and seven bytes are rare.
            var code = Math.Min(size, 7);
            control |= (uint)code << (ControlBits * i);
            at += BytesOf(code);
        }

        for (var i = 0; i < controlBytes; i++)
        {
            to[i] = (byte)(control >> (8 * i) & 0xff);
        }

        return at;
    }

    /// <returns>Bytes read.</returns>
    private static int Read(ReadOnlySpan<byte> from, Span<ulong> values)
    {
        var at = ControlBytes(values.Length);
        var control = Word(from, 0, at);
        for (var i = 0; i < values.Length; i++)
        {
            var bytes = BytesOf((int)(control >> (ControlBits * i) & ControlMask));
            values[i] = bytes == 0 ? 0 : Unzigzag(Word(from, at, bytes));
            at += bytes;
        }

        return at;
    }

    /// <summary>A little-endian number of 1 to 8 bytes, in one load where there are so many more.</summary>
    private static ulong Word(ReadOnlySpan<byte> from, int at, int bytes)
    {
        if (at + sizeof(ulong) <= from.Length)
        {
            return BinaryPrimitives.ReadUInt64LittleEndian(from[at..]) & (ulong.MaxValue >> (64 - (8 * bytes)));
        }

        if (at + bytes > from.Length)
        {
            throw new InvalidDataException("A packed record is cut off.");
        }

        var value = 0UL;
        for (var i = 0; i < bytes; i++)
        {
            value |= (ulong)from[at + i] << (8 * i);
        }

        return value;
    }

    private static int BytesOf(int code) => code + (code / 7);

    private static ulong Zigzag(ulong value) => unchecked((value << 1) ^ (ulong)((long)value >> 63));

    private static ulong Unzigzag(ulong value) => unchecked((value >> 1) ^ (0 - (value & 1)));
}
