using Npgsql;
using NpgsqlTypes;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Rows turned into one array for each column, as <c>unnest</c> takes them.</summary>
/// <remarks>
/// For few rows: a statement with arrays goes in one packet with others, where a COPY needs a conversation of its own.
/// </remarks>
internal sealed class ColumnArrays(int longs, int ints, int shorts)
{
    private readonly List<long?>[] _longs = [.. Enumerable.Range(0, longs).Select(_ => new List<long?>())];
    private readonly List<int?>[] _ints = [.. Enumerable.Range(0, ints).Select(_ => new List<int?>())];
    private readonly List<short?>[] _shorts = [.. Enumerable.Range(0, shorts).Select(_ => new List<short?>())];

    public int Rows { get; private set; }

    public void Clear()
    {
        Rows = 0;
        Array.ForEach(_longs, column => column.Clear());
        Array.ForEach(_ints, column => column.Clear());
        Array.ForEach(_shorts, column => column.Clear());
    }

    public Sink Start() => new(this);

    /// <summary>The statement that inserts the rows; columns stand in the order of their widths, as in every table of
    /// the history.</summary>
    public NpgsqlBatchCommand Insert(string table, string columns, int runId)
    {
        var count = longs + ints + shorts;
        var command = new NpgsqlBatchCommand(
            $"INSERT INTO {table}_{runId} ({columns}, run_id) SELECT *, {runId} FROM unnest("
            + string.Join(", ", Enumerable.Range(1, count).Select(i => $"${i}")) + ")");
        foreach (var column in _longs)
        {
            Add(column.ToArray(), NpgsqlDbType.Bigint);
        }

        foreach (var column in _ints)
        {
            Add(column.ToArray(), NpgsqlDbType.Integer);
        }

        foreach (var column in _shorts)
        {
            Add(column.ToArray(), NpgsqlDbType.Smallint);
        }

        return command;

        void Add(object values, NpgsqlDbType type) => command.Parameters.Add(
            new NpgsqlParameter { Value = values, NpgsqlDbType = NpgsqlDbType.Array | type });
    }

    /// <summary>Fills the columns from left to right.</summary>
    internal struct Sink(ColumnArrays rows) : IRowSink
    {
        private int _long;
        private int _int;
        private int _short;

        public void StartRow() => (_long, _int, _short) = (0, 0, 0);

        public void Long(long value) => rows._longs[_long++].Add(value);

        public void Long(long? value) => rows._longs[_long++].Add(value);

        public void Int(int? value) => rows._ints[_int++].Add(value);

        public void Short(short? value) => rows._shorts[_short++].Add(value);

        public void EndRow() => rows.Rows++;
    }
}
