using System.Buffers;
using System.Text;
using System.Text.Json;
using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>Writes a history: the header at once, then one line for each record.</summary>
/// <remarks>Concurrency: one thread. Compress by giving it a <see cref="System.IO.Compression.GZipStream"/>.</remarks>
public sealed class HistoryWriter : IDisposable
{
    private const int FlushBytes = 1 << 16;

    private readonly Stream _stream;
    private readonly ObjectTable _objects;
    private readonly ArrayBufferWriter<byte> _buffer = new(FlushBytes * 2);
    private readonly Utf8JsonWriter _json;

    /// <param name="stream">Stays open when the writer is disposed.</param>
    public HistoryWriter(Stream stream, HistoryHeader header, ObjectTable objects)
    {
        _stream = stream;
        _objects = objects;
        _json = new(_buffer);
        _buffer.Write(Encoding.UTF8.GetBytes(RecordJson.Header(header)));
        _buffer.Write("\n"u8);
    }

    public void Write(HistoryEvent record)
    {
        RecordJson.Write(_json, record, _objects);
        EndLine();
    }

    public void Write(in Operation record)
    {
        RecordJson.Write(_json, record, _objects);
        EndLine();
    }

    public void Write(in HistoryRecord record)
    {
        if (record.Event is { } e)
        {
            Write(e);
        }
        else
        {
            Write(record.Operation);
        }
    }

    public void Flush()
    {
        _stream.Write(_buffer.WrittenSpan);
        _buffer.ResetWrittenCount();
        _stream.Flush();
    }

    public void Dispose()
    {
        Flush();
        _json.Dispose();
    }

    private void EndLine()
    {
        _json.Flush();
        _json.Reset();
        _buffer.Write("\n"u8);
        if (_buffer.WrittenCount >= FlushBytes)
        {
            _stream.Write(_buffer.WrittenSpan);
            _buffer.ResetWrittenCount();
        }
    }
}
