using DuckDB.NET.Data;
using DuckDB.NET.Native;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Results.Embedded;

/// <summary>Fills the file of one run; each batch is one transaction.</summary>
internal sealed class DuckRunWriter : IRunWriter
{
    private static readonly DuckDBType[] NarrowTypes =
    [
        .. Enumerable.Repeat(DuckDBType.BigInt, 3), .. Enumerable.Repeat(DuckDBType.Integer, 12), DuckDBType.SmallInt,
    ];

    private static readonly DuckDBType[] WideTypes =
    [
        .. Enumerable.Repeat(DuckDBType.BigInt, 11), .. Enumerable.Repeat(DuckDBType.Integer, 17),
        .. Enumerable.Repeat(DuckDBType.SmallInt, 2),
    ];

    private static readonly DuckDBType[] EventTypes =
    [
        .. Enumerable.Repeat(DuckDBType.BigInt, 7), .. Enumerable.Repeat(DuckDBType.Integer, 10),
        .. Enumerable.Repeat(DuckDBType.SmallInt, 5),
    ];

    private static readonly DuckDBType[] AfterTypes =
    [
        .. Enumerable.Repeat(DuckDBType.BigInt, 2), .. Enumerable.Repeat(DuckDBType.Integer, 5), DuckDBType.SmallInt,
    ];

    /// <summary>Rows of DuckDB's row group: a whole one goes to the file without a detour by the log.</summary>
    internal const int RowGroup = 122_880;

    private const string NarrowTable = "operations_narrow";

    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly DuckDBConnection _connection;
    private readonly string _partPath;
    private readonly bool _isCreator;
    private volatile bool _isKept;
    private readonly ObjectTable _objects;
    private readonly Dictionary<string, int> _texts = new(StringComparer.Ordinal);
    private readonly Dictionary<int, (int Session, int Proc)> _clients = [];
    private readonly Dictionary<ObjectTable, int[]> _maps = new(ReferenceEqualityComparer.Instance);
    private readonly bool _hasNarrow;
    private readonly string _wideTable;
    private bool[] _isNarrow = [];
    private DuckRunReader? _reader;
    private int _objectsWritten;
    private int _findings;
    private bool _sealed;
    private Exception? _failure;

    private DuckRunWriter(DuckDBConnection connection, RunInfo info, string path, ObjectTable objects, bool isCreator)
    {
        _connection = connection;
        _objects = objects;
        _partPath = path + DuckResultStore.PartSuffix;
        _isCreator = isCreator;

        // A run that an earlier Fleet began has one table for all.
        _hasNarrow = DuckRows.Number(
            connection, $"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{NarrowTable}'") > 0;
        _wideTable = _hasNarrow ? "operations_wide" : "operations";
        Info = info;
        Location = path;
    }

    public RunInfo Info { get; }

    public string Location { get; }

    public IRunReader Reader => _reader ??= OpenReader();

    /// <summary>Memory of the file's rows while they are written; reading them may take what there is.</summary>
    private const string WriteMemory = "256MB";

    public static DuckRunWriter Create(string path, RunInfo info, ObjectTable objects)
    {
        var connection = Open(path + DuckResultStore.PartSuffix);
        Execute(connection, Resources.Text("Results/Embedded/tables.sql"));
        Execute(connection, Resources.Text("Results/views.sql"));
        Execute(connection, Resources.Text("Checks/checks.sql"));
        Execute(connection, Resources.Text("Checks/pins.sql"));
        Execute(connection, "CREATE MACRO pages_of(more) AS range(0, more + 1)");
        Execute(connection, Resources.Text("Checks/one_pass.sql"));
        Execute(connection, Resources.Text("Checks/overlaps.sql"));
        DuckRows.Append(connection, "runs", [Columns(info)]);
        return new(connection, info, path, objects, isCreator: true);
    }

    public static DuckRunWriter Resume(string path, string run)
    {
        var connection = Open(path + DuckResultStore.PartSuffix);
        var stored = DuckRunReader.ReadRun(connection, path)
            ?? throw new StorageException($"The file {path}.part holds no run {run}.");
        var writer = new DuckRunWriter(connection, stored.Info, path, new ObjectTable(), isCreator: false);
        DuckRunReader.ReadObjects(connection, writer._objects);
        writer._objectsWritten = writer._objects.LastId;
        foreach (var row in DuckRows.Read(connection, "SELECT id, value FROM texts"))
        {
            writer._texts.Add(row.GetString(1), row.GetInt32(0));
        }

        foreach (var row in DuckRows.Read(connection, "SELECT client, session, proc FROM clients"))
        {
            writer._clients.Add(row.GetInt32(0), (row.GetInt32(1), row.GetInt32(2)));
        }

        writer._findings = (int)DuckRows.Number(connection, "SELECT count(*) FROM findings");
        return writer;
    }

    public Task AddProcessAsync(ProcessInfo process, CancellationToken ct) => InsertAsync(
        "processes", [[process.Proc, process.Name, process.Clock, process.Host, process.Pid]], ct);

    public async Task<int> JoinAsync(string name, string clock, string host, int pid, CancellationToken ct)
    {
        var proc = (await ReadAsync("SELECT coalesce(max(proc), 0) + 1 FROM processes", r => r.GetInt32(0), ct))[0];
        await AddProcessAsync(new ProcessInfo(proc, name, clock, host, pid), ct);
        return proc;
    }

    public int AppendsMax => 1; // One file, one writer.

    /// <summary>A full row group is compressed once; anything less goes through the log, and is compressed again at the
    /// next checkpoint. Nobody reads the file before the run is over.</summary>
    public TimeSpan GatherMax => TimeSpan.FromSeconds(5);

    public async Task AppendAsync(HistoryBatch batch, CancellationToken ct)
    {
        if (batch.Rows == 0 && batch.Stretches.Count == 0)
        {
            return;
        }

        await _gate.WaitAsync(ct);
        try
        {
            Append(batch);
        }
        finally
        {
            _gate.Release();
        }
    }

    public Task<IReadOnlyList<SpoolStretch>> StretchesAsync(int proc, CancellationToken ct) => ReadAsync(
        $"SELECT proc, stripe, segment, from_offset, to_offset FROM batches WHERE proc = {proc}",
        r => new SpoolStretch(r.GetInt32(0), r.GetInt32(1), r.GetInt64(2), r.GetInt32(3), r.GetInt32(4)), ct);

    public async Task<(long Operations, long Events)> CountAsync(int proc, CancellationToken ct)
    {
        var operations = await ReadAsync(
            "SELECT count(*) FROM operations o JOIN clients c ON c.client = o.client "
            + $"WHERE coalesce(o.proc, c.proc) = {proc}", r => r.GetInt64(0), ct);
        var events = await ReadAsync(
            $"SELECT count(*) FROM events WHERE coalesce(from_proc, proc) = {proc}", r => r.GetInt64(0), ct);
        return (operations[0], events[0]);
    }

    public async Task<IReadOnlyList<long>> NumbersMissingAsync(
        IReadOnlyCollection<(long First, int Count)> ranges, CancellationToken ct) => ranges.Count == 0
        ? []
        : await ReadAsync(
            "SELECT n FROM (SELECT unnest(range(first, first + amount)) AS n FROM (VALUES "
            + string.Join(", ", ranges.Select(r => $"({r.First}, {r.Count})")) + ") AS r(first, amount)) AS asked "
            + "ANTI JOIN operations AS o ON o.number_code >> 10 = asked.n ORDER BY n",
            r => r.GetInt64(0), ct);

    public Task AddFindingsAsync(string checker, IReadOnlyList<Finding> findings, CancellationToken ct) => InsertAsync(
        "findings",
        findings.Select(f => new object?[]
        {
            ++_findings, checker, f.Rule, FindingRows.Name(f.Class), f.Object, f.Signature, f.Text,
            FindingRows.Join(f.Evidence), f.Count, f.Remedy,
        }),
        ct);

    public Task AddEvidenceAsync(IReadOnlyList<RuleEvidence> evidence, CancellationToken ct) => InsertAsync(
        "evidence", evidence.Select(e => new object?[] { e.Checker, e.Rule, e.Ok, e.Violated, e.Undecided }), ct);

    public Task AddProbesAsync(IReadOnlyList<ProbeCount> probes, CancellationToken ct) => InsertAsync(
        "probes", probes.Select(p => new object?[] { p.Name, p.Count, p.Required }), ct);

    public Task AddLatencyAsync(IReadOnlyList<LatencyBucket> buckets, CancellationToken ct) => InsertAsync(
        "latency", buckets.Select(b => new object?[] { b.Metric, b.Phase, b.LowNs, b.HighNs, b.Count }), ct);

    public Task AddMetricsAsync(IReadOnlyList<MetricPoint> points, CancellationToken ct) => InsertAsync(
        "metrics", points.Select(p => new object?[] { p.TimeNs, p.Name, p.Value }), ct);

    public Task AddFaultsAsync(IReadOnlyList<FaultRecord> faults, CancellationToken ct) => InsertAsync(
        "faults", faults.Select(f => new object?[] { f.TimeNs, f.Kind, f.Target, f.Expects, f.Text }), ct);

    public async Task<string> SealAsync(RunOutcome outcome, CancellationToken ct)
    {
        await _gate.WaitAsync(ct);
        try
        {
            using (var command = _connection.CreateCommand())
            {
                command.CommandText =
                    "UPDATE runs SET state = 'sealed', verdict = $1, exit_code = $2, complete = $3, quiescent = $4, "
                    + "ended_utc = $5, summary = $6, operations = (SELECT count(*) FROM operations), "
                    + "events = (SELECT count(*) FROM events), findings = (SELECT count(*) FROM findings)";
                object[] values =
                [
                    FindingRows.Name(outcome.Verdict), outcome.ExitCode, outcome.Complete, outcome.Quiescent,
                    outcome.EndedAt.UtcDateTime, outcome.Summary,
                ];
                foreach (var value in values)
                {
                    command.Parameters.Add(new DuckDBParameter(value));
                }

                command.ExecuteNonQuery();
            }

            Execute(_connection, "CHECKPOINT");
            await CloseAsync();
            File.Move(_partPath, Location);
            _sealed = true;
            return Location;
        }
        finally
        {
            _gate.Release();
        }
    }

    public void Keep() => _isKept = true;

    public async ValueTask DisposeAsync()
    {
        await _gate.WaitAsync();
        try
        {
            await CloseAsync();
            if (!_sealed && _isCreator && !_isKept)
            {
                File.Delete(_partPath);
                File.Delete(_partPath + ".wal");
            }
        }
        finally
        {
            _gate.Release();
        }
    }

    private static object?[] Columns(RunInfo info) =>
    [
        info.Run, info.Scenario, info.Profile, unchecked((long)info.Seed), info.Source, info.Order, info.Clock,
        info.ClockBoundNs, info.EpochNs, info.StartedAt.UtcDateTime, info.CommandLine, info.Settings, "running",
        null, null, null, null, null, null, null, null, null, HistoryTables.SchemaVersion,
    ];

    private static DuckDBConnection Open(string path)
    {
        var connection = new DuckDBConnection($"Data Source={path}");
        try
        {
            connection.Open();

            // A checkpoint rewrites the last row group; between batches that costs more than the rows themselves. What
            // is stored may be cached, but no more of it than this: a load of days must not fill the machine.
            // Of several threads one would only spin until the others have done its work. Runs of equal values are
            // constant groups to bit packing, and looking for them once more costs a tenth of a row.
            Execute(
                connection,
                $"SET checkpoint_threshold = '64MB'; SET memory_limit = '{WriteMemory}'; SET threads = 1; "
                + "SET disabled_compression_methods = 'rle'");
            return connection;
        }
        catch (DuckDBException e)
        {
            connection.Dispose();
            throw new StorageException(
                e.Message.Contains("lock", StringComparison.OrdinalIgnoreCase)
                    ? $"Another process is writing the run in {path}."
                    : $"The result file {path} cannot be written: {e.Message.Split('\n')[0]}",
                e);
        }
    }

    private DuckRunReader OpenReader()
    {
        Execute(_connection, "RESET memory_limit; RESET threads");
        return DuckRunReader.OfUnsealed(
            _partPath, new StoredRun(Info, RunState.Running, null, Location), _objects);
    }

    private static void Execute(DuckDBConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private async Task CloseAsync()
    {
        if (_reader is not null)
        {
            await _reader.DisposeAsync();
            _reader = null;
        }

        _connection.Dispose();
    }

    private async Task InsertAsync(string table, IEnumerable<object?[]> rows, CancellationToken ct)
    {
        await _gate.WaitAsync(ct);
        try
        {
            DuckRows.Append(_connection, table, rows);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async Task<IReadOnlyList<T>> ReadAsync<T>(
        string sql, Func<DuckDBDataReader, T> read, CancellationToken ct)
    {
        await _gate.WaitAsync(ct);
        try
        {
            return [.. DuckRows.Read(_connection, sql).Select(read)];
        }
        finally
        {
            _gate.Release();
        }
    }

    private void Append(HistoryBatch batch)
    {
        if (_failure is not null)
        {
            throw new StorageException("The result file took no more rows after an earlier failure.", _failure);
        }

        foreach (var stretch in batch.Stretches)
        {
            if (DuckRows.Number(
                _connection,
                $"SELECT count(*) FROM batches WHERE proc = {stretch.Proc} AND stripe = {stretch.Stripe} "
                + $"AND segment = {stretch.Segment} AND from_offset = {stretch.From}") > 0)
            {
                throw new StorageInvariantException($"The stretch {stretch} is stored already.");
            }
        }

        var map = MapOf(batch.Objects);
        Execute(_connection, "BEGIN TRANSACTION");
        try
        {
            AppendOperations(batch, map);
            AppendEvents(batch, map);
            if (_objects.LastId > _objectsWritten)
            {
                var last = _objects.LastId;
                DuckRows.Append(_connection, "objects", Enumerable.Range(_objectsWritten + 1, last - _objectsWritten)
                    .Select(id => new object?[]
                    {
                        id, _objects.Name(id), (short)_objects.Kind(id), _objects.DeviceOf(id),
                        SortKey.Of(id, _objects.DeviceOf(id), _objects.Kind(id)),
                    }));
                _objectsWritten = last;
            }

            DuckRows.Append(_connection, "batches", batch.Stretches
                .Select(s => new object?[] { s.Proc, s.Stripe, s.Segment, s.From, s.To }));
            Execute(_connection, "COMMIT");
        }
        catch (Exception e) when (e is DuckDBException or StorageException)
        {
            _failure = e;
            Execute(_connection, "ROLLBACK");
            throw;
        }
    }

    private void AppendOperations(HistoryBatch batch, ObjectMap map)
    {
        if (batch.OperationCount == 0)
        {
            return;
        }

        var newClients = new List<object?[]>();
        foreach (ref readonly var op in batch.Operations)
        {
            if (_clients.TryAdd(map[op.Client], (map[op.Session], batch.Proc)))
            {
                newClients.Add([map[op.Client], map[op.Session], batch.Proc]);
            }
        }

        if (ClassifyNarrow(batch, map))
        {
            using var narrow = new ChunkAppender(_connection, NarrowTable, NarrowTypes, hasNulls: false);
            var rows = narrow.DenseRows;
            for (var i = 0; i < batch.OperationCount; i++)
            {
                if (_isNarrow[i])
                {
                    ref readonly var op = ref batch.Operations[i];
                    Write(rows, HistoryRows.RowOf(op, batch, map, _clients[map[op.Client]]));
                }
            }

            narrow.Close();
        }

        using var wide = new ChunkAppender(_connection, _wideTable, WideTypes);
        var sink = wide.Rows;
        for (var i = 0; i < batch.OperationCount; i++)
        {
            if (!_isNarrow[i])
            {
                ref readonly var op = ref batch.Operations[i];
                HistoryRows.Write(ref sink, op, batch, map, _clients[map[op.Client]]);
            }
        }

        wide.Close();
        DuckRows.Append(_connection, "clients", newClients);
    }

    /// <summary>Says of every operation whether it goes into the narrow table; false when none does.</summary>
    /// <remarks>Of a batch that fills a row group one of the tables must get a whole one, since less goes through the
    /// log: with too many wide rows all go where those go.</remarks>
    private bool ClassifyNarrow(HistoryBatch batch, ObjectMap map)
    {
        var count = batch.OperationCount;
        if (_isNarrow.Length < count)
        {
            _isNarrow = new bool[count];
        }

        var narrow = 0;
        for (var i = 0; i < count; i++)
        {
            ref readonly var op = ref batch.Operations[i];
            var known = _clients[map[op.Client]];
            _isNarrow[i] = _hasNarrow && known.Proc == batch.Proc && HistoryRows.RowOf(op, batch, map, known).IsNarrow;
            narrow += _isNarrow[i] ? 1 : 0;
        }

        if (count >= RowGroup && narrow < RowGroup)
        {
            _isNarrow.AsSpan(0, count).Clear();
            return false;
        }

        return narrow > 0;
    }

    /// <summary>A row of which nothing is lost in the narrow columns.</summary>
    private static void Write(ChunkAppender.Dense rows, in OperationRow row)
    {
        rows.Long(row.NumberCode);
        rows.Long(row.SentNs);
        rows.Long(row.TagBits);
        rows.Int((int)row.Late);
        rows.Int((int)row.Took);
        rows.Int((int)row.Size);
        rows.Int((int)row.Seq);
        rows.Int((int)row.AllocNumber);
        rows.Int(row.Client);
        rows.Int(row.Obj ?? 0);
        rows.Int(row.Owner ?? 0);
        rows.Int(row.Page ?? 0);
        rows.Int((int)row.Pfn);
        rows.Int(row.Life ?? 0);
        rows.Int(row.Pages ?? 0);
        rows.Short(row.Err ?? 0);
        rows.EndRow();
    }

    private void AppendEvents(HistoryBatch batch, ObjectMap map)
    {
        if (batch.Events.Count == 0)
        {
            return;
        }

        var newTexts = new List<object?[]>();
        using (var rows = new ChunkAppender(_connection, "events", EventTypes))
        {
            var sink = rows.Rows;
            foreach (var e in batch.Events)
            {
                Number(e.Actor, newTexts);
                Number(e.Fn, newTexts);
                Number(e.Text, newTexts);
                HistoryRows.Write(ref sink, e, batch, map, _texts);
            }

            rows.Close();
        }

        using (var rows = new ChunkAppender(_connection, "event_after", AfterTypes))
        {
            var sink = rows.Rows;
            foreach (var e in batch.Events)
            {
                HistoryRows.WriteAfter(ref sink, e, map);
            }

            rows.Close();
        }

        DuckRows.Append(_connection, "texts", newTexts);
    }

    /// <summary>Gives a text its number at first mention.</summary>
    private void Number(string? value, List<object?[]> added)
    {
        if (value is not null && !_texts.ContainsKey(value))
        {
            _texts.Add(value, _texts.Count + 1);
            added.Add([_texts.Count, value]);
        }
    }

    private ObjectMap MapOf(ObjectTable source)
    {
        if (ReferenceEquals(source, _objects))
        {
            return new ObjectMap(null);
        }

        var last = source.LastId;
        var known = _maps.GetValueOrDefault(source, [0]);
        if (known.Length <= last)
        {
            var first = known.Length;
            Array.Resize(ref known, last + 1);
            for (var id = first; id <= last; id++)
            {
                known[id] = _objects.Intern(source.Name(id));
            }

            _maps[source] = known;
        }

        return new ObjectMap(known);
    }
}
