using System.Buffers;
using System.IO.Compression;
using System.Text.Json;
using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>Reads a history line by line, whatever its length; gzip is recognised by its first bytes.</summary>
/// <remarks>
/// Concurrency: one thread. Memory: one line and the names seen. Source: history-format.
/// Nothing after a malformed line is trusted: the reader throws at it and refuses to go on.
/// </remarks>
public sealed class HistoryReader : IDisposable
{
    /// <summary>Longest line, in bytes, its end not counted.</summary>
    public const int LineMax = 1 << 20;

    private readonly Stream _stream;
    private readonly RecordParser _parser;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(1 << 17);
    private int _start;
    private int _end;
    private bool _ended;
    private bool _broken;

    /// <param name="stream">Read from its current place to its end; disposed with the reader.</param>
    /// <param name="objects">Gets the names of the file.</param>
    /// <exception cref="HistoryFormatException">Line 1 is no header of this format.</exception>
    public HistoryReader(Stream stream, ObjectTable objects)
    {
        _stream = Decompressed(stream);
        try
        {
            Header = ReadHeader();
        }
        catch
        {
            Dispose();
            throw;
        }

        _parser = new(objects, Header.Extensions);
    }

    public HistoryHeader Header { get; }

    /// <summary>The file ends inside a line, so its last record is missing.</summary>
    public bool Truncated { get; private set; }

    /// <summary>Number of the line read last, from 1.</summary>
    public long Line { get; private set; }

    /// <exception cref="IOException">The file cannot be opened.</exception>
    /// <exception cref="HistoryFormatException">Line 1 is no header of this format.</exception>
    public static HistoryReader Open(string path, ObjectTable objects) =>
        new(
            new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan),
            objects);

    /// <summary>Reads the next record; false at the end.</summary>
    /// <exception cref="HistoryFormatException">The line is malformed.</exception>
    public bool Read(out HistoryRecord record)
    {
        while (NextLine(out var line, out var last))
        {
            try
            {
                if (_parser.Parse(line, Line, out record))
                {
                    return true;
                }
            }
            catch (JsonException) when (last)
            {
                Truncated = true;
                break;
            }
            catch (JsonException e)
            {
                throw Broken($"not a JSON object ({HistoryFormatException.Printable(e.Message.Split('.')[0])})");
            }
            catch (Exception e) when (e is InvalidOperationException or ArgumentException or OverflowException)
            {
                // The JSON reader answers so to text that is not UTF-8.
                throw Broken("text that is not UTF-8");
            }
            catch (HistoryFormatException)
            {
                _broken = true;
                throw;
            }
        }

        record = default;
        return false;
    }

    public void Dispose()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }

        _ended = true;
        _start = _end = 0;
        _stream.Dispose();
    }

    private static Stream Decompressed(Stream stream)
    {
        var first = new byte[2];
        var got = stream.ReadAtLeast(first, 2, throwOnEndOfStream: false);
        var whole = new PrefixedStream(first.AsMemory(0, got), stream);
        return got == 2 && first is [0x1F, 0x8B] ? new GZipStream(whole, CompressionMode.Decompress) : whole;
    }

    private HistoryFormatException Broken(string reason)
    {
        _broken = true;
        return new(Line, reason);
    }

    private HistoryHeader ReadHeader()
    {
        if (!NextLine(out var line, out _))
        {
            throw new HistoryFormatException(
                1, "the file is empty; the first line has to be a header with \"format\":\"fleet-history\"");
        }

        try
        {
            return HeaderJson.Parse(line);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw Broken(
                "no header; the first line has to be a JSON object with "
                + "\"format\":\"fleet-history\" and \"version\":1");
        }
    }

    /// <summary>Gives the next line without its end; <paramref name="last"/> when the file ends without one.</summary>
    private bool NextLine(out ReadOnlySpan<byte> line, out bool last)
    {
        line = default;
        last = false;
        if (_broken)
        {
            return false;
        }

        var searched = 0;
        while (true)
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var end = rest[searched..].IndexOf((byte)'\n');
            if (end >= 0)
            {
                line = rest[..(searched + end)];
                _start += line.Length + 1;
                break;
            }

            searched = rest.Length;
            if (searched > LineMax)
            {
                Line++;
                throw Broken($"the line is longer than {LineMax} bytes");
            }

            if (!Fill())
            {
                if (searched == 0)
                {
                    return false;
                }

                line = _buffer.AsSpan(_start, searched);
                _start = _end;
                last = true;
                break;
            }
        }

        Line++;
        if (line.Length > LineMax)
        {
            throw Broken($"the line is longer than {LineMax} bytes");
        }

        if (line is [.., (byte)'\r'])
        {
            line = line[..^1];
        }

        return true;
    }

    private bool Fill()
    {
        if (_ended)
        {
            return false;
        }

        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
            _buffer.CopyTo(larger, 0);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        int got;
        try
        {
            got = _stream.Read(_buffer, _end, _buffer.Length - _end);
        }
        catch (InvalidDataException)
        {
            // Compressed data that stops or turns to rubbish: what came before it is a truncated file.
            Truncated = true;
            got = 0;
        }

        _ended = got == 0;
        _end += got;
        return got > 0;
    }
}
