using System.Buffers.Binary;
using System.IO.Hashing;

namespace Fleet.Storage.Spool;

/// <summary>What a segment file holds.</summary>
internal enum SegmentKind
{
    /// <summary>The process and its object names; kept until the run is stored.</summary>
    Names,

    /// <summary>
    /// Reserved operation numbers; open ones are carried into the next segment, then the old one goes.
    /// </summary>
    Numbers,

    /// <summary>Operations and events of one stripe; deleted once stored.</summary>
    Records,
}

/// <summary>First byte of every frame.</summary>
internal enum FrameType : byte
{
    None, Process, Name, Reserve, Release, Operation, Events, End, Closed,
}

/// <summary>Where one record lies in a spool; unique in a run together with the process.</summary>
internal static class SpoolFormat
{
    public const uint Version = 2;
    public const int SegmentHeaderBytes = 64;

    /// <summary>Length (4) and checksum (4), written last as one aligned word: a frame is whole or absent.</summary>
    public const int FrameHeaderBytes = 8;

    private const ulong Magic = 0x3150_5354_4545_4C46; // "FLEETSP1"

    public static int FrameBytes(int payloadBytes) => (FrameHeaderBytes + payloadBytes + 7) & ~7;

    /// <summary>
    /// Low half of XXH3: as strong as CRC-32 against torn writes, and three times faster on short frames.
    /// </summary>
    public static uint Checksum(ReadOnlySpan<byte> payload) => unchecked((uint)XxHash3.HashToUInt64(payload));

    /// <summary>
    /// What the checksums of a segment are changed by: a file that is used again holds frames of an earlier segment,
    /// and none of them passes for one of this.
    /// </summary>
    public static uint Salt(long segment) => unchecked((uint)segment * 0x9E37_79B1);

    /// <summary>Name of a file whose records are stored, until it is used again; no reader looks at it.</summary>
    public static string SpareName(long number) => $"spare-{number:D6}.spool";

    public static string FileName(SegmentKind kind, int stripe, long number) => kind switch
    {
        SegmentKind.Names => $"names-{number:D6}.spool",
        SegmentKind.Numbers => $"numbers-{number:D6}.spool",
        _ => $"records-{stripe:D3}-{number:D9}.spool",
    };

    public static void WriteSegmentHeader(Span<byte> to, SegmentKind kind, int proc, int stripe, long number)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], Version);
        BinaryPrimitives.WriteInt32LittleEndian(to[12..], (int)kind);
        BinaryPrimitives.WriteInt32LittleEndian(to[16..], proc);
        BinaryPrimitives.WriteInt32LittleEndian(to[20..], stripe);
        BinaryPrimitives.WriteInt64LittleEndian(to[24..], number);
        BinaryPrimitives.WriteUInt32LittleEndian(to[60..], Checksum(to[..60]));
    }

    /// <exception cref="StorageException">It is no spool segment, or one of another version.</exception>
    public static (SegmentKind Kind, int Proc, int Stripe, long Number) ReadSegmentHeader(
        ReadOnlySpan<byte> from, string path)
    {
        if (from.Length < SegmentHeaderBytes || BinaryPrimitives.ReadUInt64LittleEndian(from) != Magic)
        {
            throw new StorageException($"The file {path} is no spool segment of Fleet.");
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(from[8..]);
        if (version != Version)
        {
            throw new StorageException($"The spool segment {path} has version {version}; this Fleet reads {Version}.");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(from[60..]) != Checksum(from[..60]))
        {
            throw new StorageException($"The header of the spool segment {path} is damaged.");
        }

        return (
            (SegmentKind)BinaryPrimitives.ReadInt32LittleEndian(from[12..]),
            BinaryPrimitives.ReadInt32LittleEndian(from[16..]),
            BinaryPrimitives.ReadInt32LittleEndian(from[20..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[24..]));
    }
}
