using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using Fleet.Kernel.History;
using Microsoft.Win32.SafeHandles;

namespace Fleet.Storage.Spool;

/// <summary>One mapped file that frames are appended to; its owner serialises the calls.</summary>
/// <remarks>
/// Invariant: everything before <c>_position</c> is whole frames, and the word at it is zero: a reader stops there.
/// What follows may be frames of an earlier use of the file; their checksums are those of another segment.
/// A frame is in the page cache when the call returns, so it survives the death of the process (not of the machine).
/// </remarks>
internal sealed unsafe class SegmentWriter : IDisposable
{
    /// <summary>A whole number of words, so that the frame after it is aligned.</summary>
    public const int OperationFrameBytes = SpoolFormat.FrameHeaderBytes + OperationCodec.Bytes;

    /// <summary>Bytes that are brought into the page cache at once, ahead of what is appended.</summary>
    private const int AheadBytes = 64 << 10;

    private static readonly byte[] Zeros = new byte[AheadBytes];

    private readonly SafeFileHandle _handle;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private readonly int _bytes;
    private int _position = SpoolFormat.SegmentHeaderBytes;
    private ulong _salt;

    /// <summary>Pages before this are in the page cache; see <see cref="PrepareAhead"/>.</summary>
    private int _ready;

    private SegmentWriter(string path, int bytes, long number, SafeFileHandle handle)
    {
        Path = path;
        _bytes = bytes;
        _salt = SaltOf(number);
        _handle = handle;
        _file = MemoryMappedFile.CreateFromFile(
            handle, null, bytes, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: false);
        _view = _file.CreateViewAccessor(0, bytes, MemoryMappedFileAccess.ReadWrite);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
        _start += _view.PointerOffset;
    }

    public string Path { get; private set; }

    /// <exception cref="StorageException">There is no room for it on the disk, or no right to write.</exception>
    public static SegmentWriter Create(string directory, SegmentKind kind, int proc, int stripe, long number, int bytes)
    {
        var path = System.IO.Path.Combine(directory, SpoolFormat.FileName(kind, stripe, number));
        try
        {
            // All blocks are taken now: a full disk is an error here, and not a SIGBUS in the middle of a record.
            var handle = File.OpenHandle(
                path + ".new", FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete,
                preallocationSize: bytes);
            RandomAccess.SetLength(handle, bytes);
            var segment = new SegmentWriter(path, bytes, number, handle);
            SpoolFormat.WriteSegmentHeader(new Span<byte>(segment._start, bytes), kind, proc, stripe, number);
            File.Move(path + ".new", path); // A reader never sees a segment without its header.
            return segment;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"The spool cannot write {path}: {e.Message}", e);
        }
    }

    /// <summary>Takes a file whose records are stored out of the stream, for <see cref="Begin"/>.</summary>
    public void SetAside(string path)
    {
        File.Move(Path, path);
        Path = path;
    }

    /// <summary>Uses a file that was set aside again: its pages are there and mapped.</summary>
    /// <exception cref="StorageException">It cannot be renamed.</exception>
    public void Begin(string directory, SegmentKind kind, int proc, int stripe, long number)
    {
        var path = System.IO.Path.Combine(directory, SpoolFormat.FileName(kind, stripe, number));
        *(ulong*)(_start + SpoolFormat.SegmentHeaderBytes) = 0;
        SpoolFormat.WriteSegmentHeader(new Span<byte>(_start, _bytes), kind, proc, stripe, number);
        (_position, _ready, _salt) = (SpoolFormat.SegmentHeaderBytes, _bytes, SaltOf(number));
        try
        {
            SetAside(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"The spool cannot write {path}: {e.Message}", e);
        }
    }

    /// <summary>Makes the frame of an operation, ready to be appended to any segment.</summary>
    /// <param name="frame">Of <see cref="OperationFrameBytes"/>.</param>
    public static void Encode(Span<byte> frame, in Operation op)
    {
        var payload = frame[SpoolFormat.FrameHeaderBytes..];
        OperationCodec.Write(payload, op);
        BinaryPrimitives.WriteUInt64LittleEndian(frame, HeaderOf(payload));
    }

    /// <summary>Appends a frame that was made before; false when only the end frame still fits.</summary>
    public bool TryAppendFrame(ReadOnlySpan<byte> frame)
    {
        if (_position + frame.Length + SpoolFormat.FrameBytes(1) > _bytes)
        {
            return false;
        }

        if (_position + frame.Length + sizeof(ulong) > _ready)
        {
            PrepareAhead(frame.Length);
        }

        var to = _start + _position;
        frame[SpoolFormat.FrameHeaderBytes..].CopyTo(new Span<byte>(to + SpoolFormat.FrameHeaderBytes, frame.Length));
        *(ulong*)(to + frame.Length) = 0;
        Volatile.Write(ref *(ulong*)to, BinaryPrimitives.ReadUInt64LittleEndian(frame) ^ _salt);
        _position += frame.Length;
        return true;
    }

    /// <summary>Appends one payload; false when only the end frame still fits.</summary>
    public bool TryAppend(ReadOnlySpan<byte> payload)
    {
        if (!Fits(payload.Length))
        {
            return false;
        }

        payload.CopyTo(new Span<byte>(_start + _position + SpoolFormat.FrameHeaderBytes, payload.Length));
        *(ulong*)(_start + _position + SpoolFormat.FrameBytes(payload.Length)) = 0;
        Commit(payload.Length);
        return true;
    }

    /// <summary>Says that the stream goes on in the next segment.</summary>
    public void End()
    {
        *(_start + _position + SpoolFormat.FrameHeaderBytes) = (byte)FrameType.End;
        Commit(1);
    }

    public void Dispose()
    {
        if (_view.SafeMemoryMappedViewHandle.IsClosed)
        {
            return;
        }

        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    private bool Fits(int payloadBytes) =>
        _position + SpoolFormat.FrameBytes(payloadBytes) + SpoolFormat.FrameBytes(1) <= _bytes;

    private void Commit(int payloadBytes)
    {
        var frame = _start + _position;
        Volatile.Write(
            ref *(ulong*)frame,
            HeaderOf(new ReadOnlySpan<byte>(frame + SpoolFormat.FrameHeaderBytes, payloadBytes)) ^ _salt);
        _position += SpoolFormat.FrameBytes(payloadBytes);
    }

    /// <summary>
    /// Writes the zeros that stand there already: page by page, the faults of the mapping cost nearly twice as much.
    /// </summary>
    private void PrepareAhead(int frameBytes)
    {
        // Nothing before the position: there are frames.
        var from = Math.Max(_ready, _position);
        _ready = Math.Min(_bytes, (_position + frameBytes + AheadBytes) / AheadBytes * AheadBytes);
        RandomAccess.Write(_handle, Zeros.AsSpan(0, Math.Min(AheadBytes, _ready - from)), from);
    }

    private static ulong SaltOf(long number) => (ulong)SpoolFormat.Salt(number) << 32;

    private static ulong HeaderOf(ReadOnlySpan<byte> payload) =>
        (uint)payload.Length | ((ulong)SpoolFormat.Checksum(payload) << 32);
}
