using DuckDB.NET.Data;
using DuckDB.NET.Native;

namespace Fleet.Storage.Results.Embedded;

/// <summary>Appends rows of numbers straight into DuckDB's column vectors.</summary>
/// <remarks>
/// The row appender takes one native call for each value; this takes one for each 2,048 rows. Values are written in the
/// order of the columns. Nothing is stored before <see cref="Close"/>.
/// </remarks>
internal sealed unsafe class ChunkAppender : IDisposable
{
    private const int RowsMax = 2048; // DuckDB's standard vector size.

    private readonly DuckDB.NET.Native.DuckDBAppender _appender;
    private readonly DuckDBDataChunk _chunk;
    private readonly DuckDBType[] _types;
    private readonly void*[] _data;
    private readonly ulong*[] _validity;
    private readonly string _table;
    private int _row;
    private int _column;

    public ChunkAppender(DuckDBConnection connection, string table, DuckDBType[] types)
    {
        _table = table;
        _types = types;
        _data = new void*[types.Length];
        _validity = new ulong*[types.Length];
        if (NativeMethods.Appender.DuckDBAppenderCreate(connection.NativeConnection, null!, table, out _appender)
            is DuckDBState.Error)
        {
            throw new StorageInvariantException($"The table {table} cannot be appended to.");
        }

        var logical = types.Select(NativeMethods.LogicalType.DuckDBCreateLogicalType).ToArray();
        _chunk = NativeMethods.DataChunks.DuckDBCreateDataChunk(
            [.. logical.Select(t => t.DangerousGetHandle())], (ulong)types.Length);
        foreach (var type in logical)
        {
            type.Dispose();
        }

        Start();
    }

    public Sink Rows => new(this);

    private void Long(long value)
    {
        ((long*)_data[_column])[_row] = value;
        _column++;
    }

    private void Long(long? value)
    {
        if (value is { } v)
        {
            ((long*)_data[_column])[_row] = v;
        }
        else
        {
            Null();
        }

        _column++;
    }

    private void Int(int? value)
    {
        if (value is { } v)
        {
            ((int*)_data[_column])[_row] = v;
        }
        else
        {
            Null();
        }

        _column++;
    }

    private void Short(short? value)
    {
        if (value is { } v)
        {
            ((short*)_data[_column])[_row] = v;
        }
        else
        {
            Null();
        }

        _column++;
    }

    private void EndRow()
    {
        if (_column != _types.Length)
        {
            throw new StorageInvariantException($"A row of {_table} got {_column} of its {_types.Length} values.");
        }

        _column = 0;
        if (++_row == RowsMax)
        {
            Flush();
        }
    }

    public void Close()
    {
        if (_row > 0)
        {
            Flush();
        }

        Check(NativeMethods.Appender.DuckDBAppenderClose(_appender));
    }

    public void Dispose()
    {
        _chunk.Dispose();
        _appender.Dispose();
    }

    private void Null() => _validity[_column][_row >> 6] &= ~(1UL << (_row & 63));

    private void Start()
    {
        _row = 0;
        for (var i = 0; i < _types.Length; i++)
        {
            var vector = NativeMethods.DataChunks.DuckDBDataChunkGetVector(_chunk, i);
            NativeMethods.Vectors.DuckDBVectorEnsureValidityWritable(vector);
            _data[i] = NativeMethods.Vectors.DuckDBVectorGetData(vector);
            _validity[i] = NativeMethods.Vectors.DuckDBVectorGetValidity(vector);
        }
    }

    private void Flush()
    {
        NativeMethods.DataChunks.DuckDBDataChunkSetSize(_chunk, (ulong)_row);
        Check(NativeMethods.Appender.DuckDBAppendDataChunk(_appender, _chunk));
        NativeMethods.DataChunks.DuckDBDataChunkReset(_chunk);
        Start();
    }

    private void Check(DuckDBState state)
    {
        if (state is DuckDBState.Error)
        {
            throw new StorageException($"DuckDB refused rows for the table {_table}; is the disk full?");
        }
    }

    internal readonly struct Sink(ChunkAppender appender) : IRowSink
    {
        public void StartRow()
        {
        }

        public void Long(long value) => appender.Long(value);

        public void Long(long? value) => appender.Long(value);

        public void Int(int? value) => appender.Int(value);

        public void Short(short? value) => appender.Short(value);

        public void EndRow() => appender.EndRow();
    }
}
