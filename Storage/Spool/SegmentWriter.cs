using System.IO.MemoryMappedFiles;
using Fleet.Kernel.History;

namespace Fleet.Storage.Spool;

/// <summary>One mapped file that frames are appended to; its owner serialises the calls.</summary>
/// <remarks>
/// Invariant: everything before <c>_position</c> is whole frames, everything after it is zero.
/// A frame is in the page cache when the call returns, so it survives the death of the process (not of the machine).
/// </remarks>
internal sealed unsafe class SegmentWriter : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private readonly int _bytes;
    private int _position = SpoolFormat.SegmentHeaderBytes;

    private SegmentWriter(string path, int bytes, MemoryMappedFile file)
    {
        Path = path;
        _bytes = bytes;
        _file = file;
        _view = file.CreateViewAccessor(0, bytes, MemoryMappedFileAccess.ReadWrite);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
        _start += _view.PointerOffset;
    }

    public string Path { get; }

    /// <exception cref="StorageException">There is no room for it on the disk, or no right to write.</exception>
    public static SegmentWriter Create(string directory, SegmentKind kind, int proc, int stripe, long number, int bytes)
    {
        var path = System.IO.Path.Combine(directory, SpoolFormat.FileName(kind, stripe, number));
        try
        {
            // All blocks are taken now: a full disk is an error here, and not a SIGBUS in the middle of a record.
            using var stream = new FileStream(path + ".new", new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.ReadWrite,
                Share = FileShare.ReadWrite | FileShare.Delete,
                PreallocationSize = bytes,
                BufferSize = 0,
            });
            stream.SetLength(bytes);
            var file = MemoryMappedFile.CreateFromFile(
                stream.SafeFileHandle, null, bytes, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, true);
            var segment = new SegmentWriter(path, bytes, file);
            SpoolFormat.WriteSegmentHeader(new Span<byte>(segment._start, bytes), kind, proc, stripe, number);
            File.Move(path + ".new", path); // A reader never sees a segment without its header.
            return segment;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"The spool cannot write {path}: {e.Message}", e);
        }
    }

    /// <summary>Appends one operation; false when only the end frame still fits.</summary>
    public bool TryAppend(in Operation op)
    {
        if (!Fits(OperationCodec.Bytes))
        {
            return false;
        }

        OperationCodec.Write(
            new Span<byte>(_start + _position + SpoolFormat.FrameHeaderBytes, OperationCodec.Bytes), op);
        Commit(OperationCodec.Bytes);
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
        var checksum = SpoolFormat.Checksum(
            new ReadOnlySpan<byte>(frame + SpoolFormat.FrameHeaderBytes, payloadBytes));
        Volatile.Write(ref *(ulong*)frame, (uint)payloadBytes | ((ulong)checksum << 32));
        _position += SpoolFormat.FrameBytes(payloadBytes);
    }
}
