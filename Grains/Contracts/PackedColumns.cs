using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

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

    /// <param name="record">The record.</param>
    /// <param name="columns">Its first column first, the others <paramref name="stride"/> apart.</param>
    static abstract void Take(in T record, Span<ulong> columns, int stride);

    /// <param name="columns">The record's first column first, the others <paramref name="stride"/> apart.</param>
    static abstract T Make(ReadOnlySpan<ulong> columns, int stride);
}

/// <summary>Writes records as differences of their columns from what the records before lead one to expect.</summary>
/// <remarks>
/// A record alone is a control word of three bits for each column, the size of its number, and then those bytes, little
/// endian, zigzag. A vector is written in blocks of up to <see cref="BlockRecords"/>, each column by column: what
/// stands in its first record, the step to the second, and what the steps after it change by, where they do. Numbers
/// that count up, and what all requests of a vector share, take no bytes for a record. Docs: decision 0129.
/// </remarks>
internal static class PackedColumns
{
    public const int CountMax = 10;

    /// <summary>Of one record: control word, columns, and the slack that a whole word is written into.</summary>
    public const int RecordBytesMax = sizeof(uint) + (CountMax * sizeof(ulong)) + sizeof(ulong);

    /// <summary>Records that are packed together; one bit of a word for each.</summary>
    public const int BlockRecords = 64;

    /// <summary>Before each column of a block: sizes of its first number and step, and of steps' changes.</summary>
    private const int HeaderBytes = sizeof(ushort);

    private const int SizeBits = 4;
    private const int SizeMask = (1 << SizeBits) - 1;
    private const int ControlBits = 3;
    private const uint ControlMask = (1 << ControlBits) - 1;

    /// <summary>Room for a vector, with the slack that a whole word is written into.</summary>
    public static int BytesMax(int records, int count)
    {
        var blocks = (records + BlockRecords - 1) / BlockRecords;
        return (((blocks * (HeaderBytes + sizeof(ulong))) + (records * sizeof(ulong))) * count) + sizeof(ulong);
    }

    /// <summary>Records at most in so many bytes of a vector.</summary>
    public static long RecordsMax(int bytes, int count) => bytes / (HeaderBytes * count) * (long)BlockRecords;

    /// <summary>Packs a record that nothing stands before.</summary>
    /// <returns>Bytes written.</returns>
    public static int Pack<T, TLayout>(in T record, Span<byte> to)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax];
        TLayout.Take(record, columns, 1);
        return Write(columns[..TLayout.Count], to);
    }

    /// <summary>Packs records in order; <paramref name="to"/> has <see cref="BytesMax"/>.</summary>
    /// <returns>Bytes written.</returns>
    [SkipLocalsInit]
    public static int Pack<T, TLayout>(ReadOnlySpan<T> records, Span<byte> to)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax * BlockRecords];
        var at = 0;
        while (records.Length > 0)
        {
            var block = records[..Math.Min(records.Length, BlockRecords)];
            for (var r = 0; r < block.Length; r++)
            {
                TLayout.Take(block[r], columns[r..], BlockRecords);
            }

            for (var i = 0; i < TLayout.Count; i++)
            {
                at += WriteColumn(columns.Slice(i * BlockRecords, block.Length), to[at..]);
            }

            records = records[block.Length..];
        }

        return at;
    }

    /// <exception cref="InvalidDataException">The bytes are no record of this kind.</exception>
    public static T Unpack<T, TLayout>(ReadOnlySpan<byte> from)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax];
        return Read(from, columns[..TLayout.Count]) == from.Length
            ? TLayout.Make(columns, 1)
            : throw new InvalidDataException($"A packed {typeof(T).Name} has bytes left over.");
    }

    /// <exception cref="InvalidDataException">The bytes are not as many records of this kind.</exception>
    [SkipLocalsInit]
    public static void Unpack<T, TLayout>(ReadOnlySpan<byte> from, Span<T> records)
        where T : struct
        where TLayout : struct, IPackedLayout<T>
    {
        Span<ulong> columns = stackalloc ulong[CountMax * BlockRecords];
        while (records.Length > 0)
        {
            var block = records[..Math.Min(records.Length, BlockRecords)];
            for (var i = 0; i < TLayout.Count; i++)
            {
                from = from[ReadColumn(from, columns.Slice(i * BlockRecords, block.Length))..];
            }

            for (var r = 0; r < block.Length; r++)
            {
                block[r] = TLayout.Make(columns[r..], BlockRecords);
            }

            records = records[block.Length..];
        }

        if (from.Length > 0)
        {
            throw new InvalidDataException($"Packed records of {typeof(T).Name} have bytes left over.");
        }
    }

    /// <returns>Bytes written.</returns>
    private static int WriteColumn(ReadOnlySpan<ulong> values, Span<byte> to)
    {
        var first = Zigzag(values[0]);
        var step = values.Length > 1 ? Zigzag(unchecked(values[1] - values[0])) : 0;
        var (firstBytes, stepBytes, changeBytes) = (SizeOf(first), SizeOf(step), ChangeBytes(values));
        BinaryPrimitives.WriteUInt16LittleEndian(
            to, (ushort)(firstBytes | (stepBytes << SizeBits) | (changeBytes << (2 * SizeBits))));
        BinaryPrimitives.WriteUInt64LittleEndian(to[HeaderBytes..], first);
        var at = HeaderBytes + firstBytes;
        BinaryPrimitives.WriteUInt64LittleEndian(to[at..], step);
        at += stepBytes;
        if (changeBytes == 0)
        {
            return at;
        }

        var (changed, changedAt) = (0UL, at);
        at += sizeof(ulong);
        for (var i = 2; i < values.Length; i++)
        {
            var change = Change(values, i);
            if (change != 0)
            {
                changed |= 1UL << i;
                BinaryPrimitives.WriteUInt64LittleEndian(to[at..], Zigzag(change));
                at += changeBytes;
            }
        }

        BinaryPrimitives.WriteUInt64LittleEndian(to[changedAt..], changed);
        return at;
    }

    /// <returns>Bytes of the largest change from one step to the next; 0 where all steps are the same.</returns>
    private static int ChangeBytes(ReadOnlySpan<ulong> values)
    {
        ref var start = ref MemoryMarshal.GetReference(values);
        var i = 2;
        var any = Vector<ulong>.Zero;
        for (; i + Vector<ulong>.Count <= values.Length; i += Vector<ulong>.Count)
        {
            var before = Vector.LoadUnsafe(ref start, (nuint)i - 1);
            any |= Vector.LoadUnsafe(ref start, (nuint)i) - before
                - (before - Vector.LoadUnsafe(ref start, (nuint)i - 2));
        }

        var rest = 0UL;
        for (; i < values.Length; i++)
        {
            rest |= Change(values, i);
        }

        if (rest == 0 && any == Vector<ulong>.Zero)
        {
            return 0;
        }

        var all = 0UL;
        for (i = 2; i < values.Length; i++)
        {
            all |= Zigzag(Change(values, i));
        }

        return SizeOf(all);
    }

    private static ulong Change(ReadOnlySpan<ulong> values, int i) =>
        unchecked(values[i] - values[i - 1] - (values[i - 1] - values[i - 2]));

    /// <returns>Bytes read.</returns>
    private static int ReadColumn(ReadOnlySpan<byte> from, Span<ulong> values)
    {
        var header = (int)Word(from, 0, HeaderBytes);
        var (firstBytes, stepBytes, changeBytes) =
            (header & SizeMask, (header >> SizeBits) & SizeMask, header >> (2 * SizeBits));
        if (firstBytes > sizeof(ulong) || stepBytes > sizeof(ulong) || changeBytes > sizeof(ulong)
            || (values.Length == 1 && stepBytes > 0) || (values.Length <= 2 && changeBytes > 0))
        {
            throw new InvalidDataException("A packed column is none.");
        }

        var at = HeaderBytes;
        var value = Number(from, at, firstBytes);
        at += firstBytes;
        var step = Number(from, at, stepBytes);
        at += stepBytes;
        if (changeBytes == 0)
        {
            Count(values, value, step);
            return at;
        }

        var changed = Word(from, at, sizeof(ulong));
        at += sizeof(ulong);
        if ((changed & 3) != 0 || changed >> (values.Length - 1) > 1)
        {
            throw new InvalidDataException("A packed column changes where it has no record.");
        }

        values[0] = value;
        for (var i = 1; i < values.Length; i++)
        {
            if (((changed >> i) & 1) != 0)
            {
                step = unchecked(step + Number(from, at, changeBytes));
                at += changeBytes;
            }

            value = unchecked(value + step);
            values[i] = value;
        }

        return at;
    }

    private static void Count(Span<ulong> values, ulong first, ulong step)
    {
        if (step == 0)
        {
            values.Fill(first);
            return;
        }

        for (var i = 0; i < values.Length; i++)
        {
            values[i] = first;
            first = unchecked(first + step);
        }
    }

    private static ulong Number(ReadOnlySpan<byte> from, int at, int bytes) =>
        bytes == 0 ? 0 : Unzigzag(Word(from, at, bytes));

    private static int SizeOf(ulong value) => (71 - BitOperations.LeadingZeroCount(value)) >> 3;

    private static int ControlBytes(int count) => ((count * ControlBits) + 7) / 8;

    private static int Write(ReadOnlySpan<ulong> values, Span<byte> to)
    {
        var controlBytes = ControlBytes(values.Length);
        var (control, at) = (0u, controlBytes);
        for (var i = 0; i < values.Length; i++)
        {
            var value = Zigzag(values[i]);
            var size = SizeOf(value);
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
