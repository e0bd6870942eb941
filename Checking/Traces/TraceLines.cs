using System.IO.Compression;
using Fleet.Checking.History;

namespace Fleet.Checking.Traces;

/// <summary>The lines of a trace file, gzip or plain, over one buffer; a line lives until the next is read.</summary>
/// <remarks>Limits: a line is at most <see cref="LineBytesMax"/>; the kernel's own is one page.</remarks>
internal sealed class TraceLines : IDisposable
{
    public const int LineBytesMax = 64 << 10;

    private const int BufferBytes = 1 << 20;

    private readonly Stream _source;
    private readonly Stream? _owned;
    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _start;
    private int _end;
    private bool _sourceEnded;

    /// <exception cref="TraceFormatException">The first bytes say that it is a recording in binary.</exception>
    public TraceLines(Stream source)
    {
        _source = source;
        Fill();
        var head = _buffer.AsSpan(0, _end);
        if (head.Length >= 2 && head[0] == 0x1f && head[1] == 0x8b)
        {
            var whole = new PrefixedStream(head.ToArray(), source);
            _owned = new GZipStream(whole, CompressionMode.Decompress, leaveOpen: true);
            _source = _owned;
            (_start, _end, _sourceEnded) = (0, 0, false);
            Fill();
            head = _buffer.AsSpan(0, _end);
        }

        RefuseBinary(head);
    }

    /// <summary>Number of the line read last, from 1.</summary>
    public long Number { get; private set; }

    /// <summary>Bytes of text read so far, line ends included.</summary>
    public long ByteCount { get; private set; }

    /// <summary>The line read last had no line end: the file was cut there, or somebody forgot it.</summary>
    public bool LastIsOpen { get; private set; }

    /// <exception cref="TraceFormatException">A line is too long, or the gzip stream is broken.</exception>
    public bool TryNext(out ReadOnlySpan<byte> line)
    {
        while (true)
        {
            var pending = _buffer.AsSpan(_start, _end - _start);
            var length = pending.IndexOf((byte)'\n');
            if (length >= 0)
            {
                _start += length + 1;
                return Take(pending[..length], length + 1, isOpen: false, out line);
            }

            if (pending.Length > LineBytesMax)
            {
                throw new TraceFormatException(
                    Number + 1,
                    $"longer than {LineBytesMax >> 10} KiB; accepted: text of a kernel trace, one record a line");
            }

            if (_sourceEnded)
            {
                _start = _end;
                line = default;
                return !pending.IsEmpty && Take(pending, pending.Length, isOpen: true, out line);
            }

            Fill();
        }
    }

    public void Dispose() => _owned?.Dispose();

    private bool Take(ReadOnlySpan<byte> text, int byteCount, bool isOpen, out ReadOnlySpan<byte> line)
    {
        Number++;
        ByteCount += byteCount;
        LastIsOpen = isOpen;
        line = text.Length > 0 && text[^1] == '\r' ? text[..^1] : text;
        if (line.Length > LineBytesMax)
        {
            throw new TraceFormatException(
                Number, $"longer than {LineBytesMax >> 10} KiB; accepted: text of a kernel trace, one record a line");
        }

        return true;
    }

    private void Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        try
        {
            var read = _source.Read(_buffer, _end, _buffer.Length - _end);
            _end += read;
            _sourceEnded = read == 0;
        }
        catch (InvalidDataException e)
        {
            throw new TraceFormatException(
                Number + 1, $"the gzip stream is broken here ({e.Message.TrimEnd('.')}); accepted: a whole file");
        }
    }

    private static void RefuseBinary(ReadOnlySpan<byte> head)
    {
        var kind = head.StartsWith("PERFILE2"u8) ? "the binary of 'perf record'; accepted: the text of 'perf script'"
            : head.StartsWith("\u0017\bDtracing"u8)
                ? "the binary of 'trace-cmd record'; accepted: the text of 'trace-cmd report' or of the trace file"
            : head[..Math.Min(head.Length, 4096)].Contains((byte)0)
                ? "binary; accepted: text of /sys/kernel/tracing/trace or of 'perf script'"
            : null;
        if (kind is not null)
        {
            throw new TraceFormatException(0, $"the file is {kind}");
        }
    }
}
