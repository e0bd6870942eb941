using System.Runtime.InteropServices;
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

    private const int ValidityWords = RowsMax / 64;

    private readonly DuckDB.NET.Native.DuckDBAppender _appender;
    private readonly DuckDBDataChunk _chunk;
    private readonly Cell* _cells;
    private readonly Cell* _cellsEnd;
    private readonly string _table;
    private readonly bool _hasNulls;
    private Cell* _cell;
    private int _row;

    /// <summary>One column of the chunk.</summary>
    private struct Cell
    {
        public void* Data;
        public ulong* Validity;
    }

    /// <param name="hasNulls">Whether a value may be missing; else <see cref="Dense"/> writes the rows.</param>
    public ChunkAppender(DuckDBConnection connection, string table, DuckDBType[] types, bool hasNulls = true)
    {
        _table = table;
        _hasNulls = hasNulls;
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

        _cells = (Cell*)NativeMemory.Alloc((nuint)types.Length, (nuint)sizeof(Cell));
        _cellsEnd = _cells + types.Length;
        Start();
    }

    public Sink Rows => new(this);

    public Dense DenseRows => new(this);

    private void Long(long value)
    {
        ((long*)_cell->Data)[_row] = value;
        Some();
    }

    private void Long(long? value)
    {
        if (value is { } v)
        {
            Long(v);
        }
        else
        {
            _cell++;
        }
    }

    private void Int(int? value)
    {
        if (value is { } v)
        {
            ((int*)_cell->Data)[_row] = v;
            Some();
        }
        else
        {
            _cell++;
        }
    }

    private void Short(short? value)
    {
        if (value is { } v)
        {
            ((short*)_cell->Data)[_row] = v;
            Some();
        }
        else
        {
            _cell++;
        }
    }

    private void EndRow()
    {
        if (_cell != _cellsEnd)
        {
            throw new StorageInvariantException(
                $"A row of {_table} got {_cell - _cells} of its {_cellsEnd - _cells} values.");
        }

        _cell = _cells;
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
        NativeMemory.Free(_cells);
    }

    private void Some()
    {
        _cell->Validity[_row >> 6] |= 1UL << (_row & 63);
        _cell++;
    }

    /// <summary>Empty columns: every value is null until it is written, as most values of a row are.</summary>
    private void Start()
    {
        _row = 0;
        _cell = _cells;
        for (var i = 0; _cells + i < _cellsEnd; i++)
        {
            var vector = NativeMethods.DataChunks.DuckDBDataChunkGetVector(_chunk, i);
            var cell = _cells + i;
            cell->Data = NativeMethods.Vectors.DuckDBVectorGetData(vector);
            if (!_hasNulls)
            {
                continue;
            }

            NativeMethods.Vectors.DuckDBVectorEnsureValidityWritable(vector);
            cell->Validity = NativeMethods.Vectors.DuckDBVectorGetValidity(vector);
            new Span<ulong>(cell->Validity, ValidityWords).Clear();
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

    /// <summary>Writes rows without nulls, column after column.</summary>
    internal readonly struct Dense(ChunkAppender appender)
    {
        public void Long(long value) => ((long*)appender._cell++->Data)[appender._row] = value;

        public void Int(int value) => ((int*)appender._cell++->Data)[appender._row] = value;

        public void Short(short value) => ((short*)appender._cell++->Data)[appender._row] = value;

        public void EndRow() => appender.EndRow();
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
