using System.Collections.Concurrent;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Npgsql;
using NpgsqlTypes;
using Polly;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Fills one run of a database; each batch is one transaction of COPYs, and stored once.</summary>
/// <remarks>
/// Batches of operations go over several connections side by side; those of lifecycle events one after another.
/// A lost connection is waited for without end: the spool holds what comes meanwhile. A batch whose COMMIT went
/// unanswered is looked for before it is sent again, and its key in <c>batches</c> refuses a second copy.
/// </remarks>
internal sealed class PostgresRunWriter : IRunWriter
{
    private const int LockTimeoutMs = 30_000;

    /// <summary>One does what psql's own copy does; two fill two cores; more wait for the same log.</summary>
    private const int ConnectionsMax = 2;

    private const string InsertStretches =
        "INSERT INTO batches (run_id, proc, stripe, segment, from_offset, to_offset) "
        + "SELECT $1, * FROM unnest($2, $3, $4, $5, $6)";

    private readonly NpgsqlDataSource _source;
    private readonly SemaphoreSlim _naming = new(1, 1);
    private readonly SemaphoreSlim _lifecycle = new(1, 1);
    private readonly SemaphoreSlim _freeLanes = new(ConnectionsMax, ConnectionsMax);
    private readonly ConcurrentBag<Lane> _lanes = [];
    private readonly ResiliencePipeline _patient = Transience.Patient();
    private readonly int _runId;
    private readonly bool _isCreator;
    private volatile bool _isKept;
    private readonly ColumnArrays _lifecycleRows = new(longs: 7, ints: 10, shorts: 5);
    private readonly ColumnArrays _lifecycleAfterRows = new(longs: 2, ints: 5, shorts: 1);
    private readonly ConcurrentDictionary<string, int> _texts = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, (int Session, int Proc)> _clients = new();
    private readonly Dictionary<ObjectTable, int[]> _maps = new(ReferenceEqualityComparer.Instance);
    private PostgresRunReader? _reader;
    private bool _sealed;

    public PostgresRunWriter(NpgsqlDataSource source, RunInfo info, int runId, string location, bool isCreator)
    {
        _source = source;
        _runId = runId;
        _isCreator = isCreator;
        Info = info;
        Location = location;
    }

    public int AppendsMax => ConnectionsMax;

    public TimeSpan GatherMax => TimeSpan.Zero;

    public RunInfo Info { get; }

    public string Location { get; }

    public IRunReader Reader => _reader ??= PostgresRunReader.OfUnsealed(
        _source, new StoredRun(Info, RunState.Running, null, Location), _runId);

    public Task AddProcessAsync(ProcessInfo process, CancellationToken ct) => ExecuteAsync(
        "INSERT INTO processes (run_id, proc, name, clock, host, pid) VALUES ($1, $2, $3, $4, $5, $6) "
        + "ON CONFLICT DO NOTHING",
        [_runId, process.Proc, process.Name, process.Clock, process.Host, process.Pid], ct);

    /// <remarks>Asked twice after a lost answer it adds a process that never says anything: harmless.</remarks>
    public Task<int> JoinAsync(string name, string clock, string host, int pid, CancellationToken ct) => PatientlyAsync(
        async token =>
        {
            await using var connection = await _source.OpenConnectionAsync(token);
            await using var transaction = await connection.BeginTransactionAsync(token);
            await using (var oneAtATime = new NpgsqlCommand(
                $"SELECT 1 FROM runs WHERE run_id = {_runId} FOR NO KEY UPDATE", connection))
            {
                await oneAtATime.ExecuteNonQueryAsync(token);
            }

            await using var insert = new NpgsqlCommand(
                "INSERT INTO processes (run_id, proc, name, clock, host, pid) "
                + "SELECT $1, coalesce(max(proc), 0) + 1, $2, $3, $4, $5 FROM processes WHERE run_id = $1 "
                + "RETURNING proc",
                connection);
            Fill(insert, [_runId, name, clock, host, pid]);
            var proc = (int)(await insert.ExecuteScalarAsync(token))!;
            await transaction.CommitAsync(token);
            return proc;
        },
        ct);

    /// <summary>Runs what may be done twice until the server answers.</summary>
    public async Task<T> PatientlyAsync<T>(Func<CancellationToken, Task<T>> act, CancellationToken ct) =>
        await _patient.ExecuteAsync(async token => await act(token), ct);

    /// <summary>Stores a few events together with the transitions that they belong to: one packet, one
    /// commit.</summary>
    /// <param name="transition">Makes the statement that the database may refuse; then nothing is stored.</param>
    /// <exception cref="PostgresException">The transition was refused.</exception>
    public async Task AppendAsync(HistoryBatch batch, Func<NpgsqlBatchCommand> transition, CancellationToken ct)
    {
        await _lifecycle.WaitAsync(ct);
        try
        {
            var map = await NamedAsync(batch, ct);
            EncodeLifecycle(batch, map);
            var isRepeat = false;
            while (true)
            {
                await using var connection = await _patient.ExecuteAsync(
                    async token => await _source.OpenConnectionAsync(token), ct);
                try
                {
                    if (isRepeat && await IsStoredAsync(connection, batch, ct))
                    {
                        return;
                    }

                    await SendLifecycleAsync(connection, batch, transition(), ct);
                    return;
                }
                catch (Exception e) when (Transience.IsConnectionLoss(e) && !ct.IsCancellationRequested)
                {
                    isRepeat = true; // The packet ends with its commit: whether it was read is not known.
                }
                catch (PostgresException) when (isRepeat)
                {
                    // The first try may have been on its way still when it was looked for, and then refuses the second.
                    if (!await IsStoredAfterAllAsync(batch, ct))
                    {
                        throw;
                    }

                    return;
                }
            }
        }
        finally
        {
            _lifecycle.Release();
        }
    }

    public async Task AppendAsync(HistoryBatch batch, CancellationToken ct)
    {
        if (batch.Rows == 0 && batch.Stretches.Count == 0)
        {
            return;
        }

        await _freeLanes.WaitAsync(ct);
        var lane = _lanes.TryTake(out var used) ? used : new Lane();
        try
        {
            var map = await NamedAsync(batch, ct);
            Encode(lane, batch, map);
            var isRepeat = false;
            while (true)
            {
                await using var connection = await _patient.ExecuteAsync(
                    async token => await _source.OpenConnectionAsync(token), ct);
                try
                {
                    if (isRepeat && await IsStoredAsync(connection, batch, ct))
                    {
                        return;
                    }

                    await SendAsync(connection, lane, batch, ct);
                    return;
                }
                catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UniqueViolation)
                {
                    if (!isRepeat)
                    {
                        throw new StorageInvariantException(
                            $"A stretch of {string.Join(", ", batch.Stretches)} is stored already.");
                    }
                }
                catch (OutcomeUnknownException) when (batch.Stretches.Count > 0 && !ct.IsCancellationRequested)
                {
                    isRepeat = true;
                }
                catch (Exception e) when (Transience.IsConnectionLoss(e) && !ct.IsCancellationRequested)
                {
                    isRepeat = batch.Stretches.Count > 0; // Cut off before the COMMIT was sent: nothing is stored.
                }
                catch (PostgresException e)
                {
                    throw new StorageException($"The store refused a batch of {batch.Rows} rows: {e.MessageText}.", e);
                }
            }
        }
        finally
        {
            _lanes.Add(lane);
            _freeLanes.Release();
        }
    }

    /// <remarks>
    /// A process that was killed may have a batch under way still, and its COMMIT in the server's hands: it holds the
    /// lock that is asked for here, so what is read then is all that ever comes.
    /// </remarks>
    public Task<IReadOnlyList<SpoolStretch>> StretchesAsync(int proc, CancellationToken ct) => PatientlyAsync(
        async token =>
        {
            await using var connection = await _source.OpenConnectionAsync(token);
            await using var transaction = await connection.BeginTransactionAsync(token);
            await using (var alone = new NpgsqlCommand(
                $"SET LOCAL lock_timeout = '{LockTimeoutMs}'; SELECT pg_advisory_xact_lock({SpoolKey(proc)})",
                connection))
            {
                try
                {
                    await alone.ExecuteNonQueryAsync(token);
                }
                catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.LockNotAvailable)
                {
                    throw new StorageException(
                        $"Another connection goes on storing process {proc} of run {Info.Run}; "
                        + "its spool can be recovered when that has ended.",
                        e);
                }
            }

            var stored = new List<SpoolStretch>();
            await using var select = new NpgsqlCommand(
                "SELECT proc, stripe, segment, from_offset, to_offset FROM batches "
                + $"WHERE run_id = {_runId} AND proc = {proc}",
                connection);
            await using var rows = await select.ExecuteReaderAsync(token);
            while (await rows.ReadAsync(token))
            {
                stored.Add(new(
                    rows.GetInt32(0), rows.GetInt32(1), rows.GetInt64(2), rows.GetInt32(3), rows.GetInt32(4)));
            }

            return (IReadOnlyList<SpoolStretch>)stored;
        },
        ct);

    public async Task<(long Operations, long Events)> CountAsync(int proc, CancellationToken ct)
    {
        var operations = await ReadAsync(
            $"SELECT count(*) FROM operations_{_runId} o JOIN clients_{_runId} c ON c.client = o.client "
            + $"WHERE coalesce(o.proc, c.proc) = {proc}", r => r.GetInt64(0), ct);
        var events = await ReadAsync(
            $"SELECT count(*) FROM events_{_runId} WHERE coalesce(from_proc, proc) = {proc}", r => r.GetInt64(0), ct);
        return (operations[0], events[0]);
    }

    public Task<IReadOnlyList<long>> NumbersMissingAsync(
        IReadOnlyCollection<(long First, int Count)> ranges, CancellationToken ct) => PatientlyAsync(
        async token =>
        {
            await using var connection = await _source.OpenConnectionAsync(token);
            await using var transaction = await connection.BeginTransactionAsync(token);
            await using var select = new NpgsqlCommand(
                "SELECT n FROM unnest($1, $2) AS r(first, amount), generate_series(first, first + amount - 1) AS n "
                + $"WHERE NOT EXISTS (SELECT FROM operations_{_runId} o WHERE o.number_code >> 10 = n) ORDER BY n",
                connection)
            { CommandTimeout = 0 };
            Add(select.Parameters, ranges.Select(r => r.First), NpgsqlDbType.Bigint);
            Add(select.Parameters, ranges.Select(r => r.Count), NpgsqlDbType.Integer);
            await using (var oneScan = new NpgsqlCommand("SET LOCAL enable_nestloop = off", connection))
            {
                await oneScan.ExecuteNonQueryAsync(token);
            }

            var missing = new List<long>();
            await using var rows = await select.ExecuteReaderAsync(token);
            while (await rows.ReadAsync(token))
            {
                missing.Add(rows.GetInt64(0));
            }

            return (IReadOnlyList<long>)missing;
        },
        ct);

    public Task AddFindingsAsync(string checker, IReadOnlyList<Finding> findings, CancellationToken ct) => InsertAsync(
        "INSERT INTO findings (run_id, id, checker, rule, class, object, signature, text, evidence, count, remedy) "
        + $"SELECT $1, (SELECT coalesce(max(id), 0) + 1 FROM findings WHERE run_id = $1), $2, $3, $4, $5, "
        + $"$6, $7, $8, $9, $10",
        findings.Select(f => new object?[]
        {
            checker, f.Rule, FindingRows.Name(f.Class), f.Object, f.Signature, f.Text,
            FindingRows.Join(f.Evidence), f.Count,
            f.Remedy,
        }),
        ct);

    public Task AddEvidenceAsync(IReadOnlyList<RuleEvidence> evidence, CancellationToken ct) => InsertAsync(
        "INSERT INTO evidence (run_id, checker, rule, ok, violated, undecided) VALUES ($1, $2, $3, $4, $5, $6)",
        evidence.Select(e => new object?[] { e.Checker, e.Rule, e.Ok, e.Violated, e.Undecided }), ct);

    public Task AddProbesAsync(IReadOnlyList<ProbeCount> probes, CancellationToken ct) => InsertAsync(
        "INSERT INTO probes (run_id, name, count, required) VALUES ($1, $2, $3, $4)",
        probes.Select(p => new object?[] { p.Name, p.Count, p.Required }), ct);

    public Task AddLatencyAsync(IReadOnlyList<LatencyBucket> buckets, CancellationToken ct) => InsertAsync(
        "INSERT INTO latency (run_id, metric, phase, low_ns, high_ns, count) VALUES ($1, $2, $3, $4, $5, $6)",
        buckets.Select(b => new object?[] { b.Metric, b.Phase, b.LowNs, b.HighNs, b.Count }), ct);

    public Task AddMetricsAsync(IReadOnlyList<MetricPoint> points, CancellationToken ct) => InsertAsync(
        "INSERT INTO metrics (run_id, time_ns, name, value) VALUES ($1, $2, $3, $4)",
        points.Select(p => new object?[] { p.TimeNs, p.Name, p.Value }), ct);

    public Task AddFaultsAsync(IReadOnlyList<FaultRecord> faults, CancellationToken ct) => InsertAsync(
        "INSERT INTO faults (run_id, time_ns, kind, target, expects, text) VALUES ($1, $2, $3, $4, $5, $6)",
        faults.Select(f => new object?[] { f.TimeNs, f.Kind, f.Target, f.Expects, f.Text }), ct);

    public async Task<string> SealAsync(RunOutcome outcome, CancellationToken ct)
    {
        await ExecuteAsync($"SELECT seal_run({_runId})", [], ct);
        await ExecuteAsync(
            "UPDATE runs SET state = 'sealed', verdict = $2, exit_code = $3, complete = $4, "
            + "quiescent = $5, ended_utc = $6, "
            + $"summary = $7, operations = (SELECT count(*) FROM operations_{_runId}), "
            + $"events = (SELECT count(*) FROM events_{_runId}), "
            + "findings = (SELECT count(*) FROM findings WHERE run_id = $1) WHERE run_id = $1",
            [
                _runId, FindingRows.Name(outcome.Verdict), outcome.ExitCode, outcome.Complete, outcome.Quiescent,
                DateTime.SpecifyKind(outcome.EndedAt.UtcDateTime, DateTimeKind.Unspecified), outcome.Summary,
            ],
            ct);
        _sealed = true;
        return Location;
    }

    public void Keep() => _isKept = true;

    public async ValueTask DisposeAsync()
    {
        if (_sealed || !_isCreator || _isKept)
        {
            return;
        }

        try
        {
            await using var command = _source.CreateCommand($"SELECT drop_run({_runId})");
            command.CommandTimeout = 0;
            await command.ExecuteNonQueryAsync();
        }
        catch (Exception e) when (
            Transience.IsConnectionLoss(e) || e is PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable })
        {
            return; // Nobody to ask: it stays as a run that was cut off, to be resumed or dropped.
        }
    }

    /// <summary>Without a transaction of its own a batch of statements is one.</summary>
    private async Task SendLifecycleAsync(
        NpgsqlConnection connection, HistoryBatch batch, NpgsqlBatchCommand transition, CancellationToken ct)
    {
        await using var all = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                transition,
                _lifecycleRows.Insert("events", HistoryTables.EventColumns, _runId),
            },
        };
        if (_lifecycleAfterRows.Rows > 0)
        {
            all.BatchCommands.Add(_lifecycleAfterRows.Insert("event_after", HistoryTables.AfterColumns, _runId));
        }

        var stretches = new NpgsqlBatchCommand(InsertStretches);
        FillStretches(stretches.Parameters, batch);
        all.BatchCommands.Add(stretches);
        await all.ExecuteNonQueryAsync(ct);
    }

    private async Task SendAsync(NpgsqlConnection connection, Lane lane, HistoryBatch batch, CancellationToken ct)
    {
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (batch.Stretches.Count > 0)
        {
            await using var storing = new NpgsqlCommand(
                $"SELECT pg_advisory_xact_lock_shared({SpoolKey(batch.Stretches[0].Proc)})", connection);
            await storing.ExecuteNonQueryAsync(ct);
        }

        await CopyAsync(connection, "operations", HistoryTables.OperationColumns, lane.Operations, ct);
        await CopyAsync(connection, "events", HistoryTables.EventColumns, lane.Events, ct);
        await CopyAsync(connection, "event_after", HistoryTables.AfterColumns, lane.After, ct);
        if (batch.Stretches.Count > 0)
        {
            await using var insert = new NpgsqlCommand(InsertStretches, connection);
            FillStretches(insert.Parameters, batch);
            await insert.ExecuteNonQueryAsync(ct);
        }

        try
        {
            await transaction.CommitAsync(ct);
        }
        catch (Exception e) when (e is not PostgresException || Transience.IsConnectionLoss(e))
        {
            throw new OutcomeUnknownException($"The COMMIT of {batch.Rows} rows went unanswered.", e);
        }
    }

    private string SpoolKey(int proc) => $"hashtextextended('fleet spool {_runId} {proc}', 0)";

    private void FillStretches(NpgsqlParameterCollection parameters, HistoryBatch batch)
    {
        parameters.Add(new NpgsqlParameter { Value = _runId });
        Add(parameters, batch.Stretches.Select(s => s.Proc), NpgsqlDbType.Integer);
        Add(parameters, batch.Stretches.Select(s => s.Stripe), NpgsqlDbType.Integer);
        Add(parameters, batch.Stretches.Select(s => s.Segment), NpgsqlDbType.Bigint);
        Add(parameters, batch.Stretches.Select(s => s.From), NpgsqlDbType.Integer);
        Add(parameters, batch.Stretches.Select(s => s.To), NpgsqlDbType.Integer);
    }

    private async Task CopyAsync(
        NpgsqlConnection connection, string table, string columns, CopyBuffer rows, CancellationToken ct)
    {
        if (rows.Rows == 0)
        {
            return;
        }

        // Straight into the partition: the parent would route every row.
        await using var copy = await connection.BeginRawBinaryCopyAsync(
            $"COPY {table}_{_runId} ({columns}, run_id) FROM STDIN (FORMAT BINARY)", ct);
        await copy.WriteAsync(rows.Written, ct);
        await copy.FlushAsync(ct);
    }

    private async Task<bool> IsStoredAsync(NpgsqlConnection connection, HistoryBatch batch, CancellationToken ct)
    {
        var first = batch.Stretches[0];
        await using var command = new NpgsqlCommand(
            "SELECT count(*) FROM batches WHERE run_id = $1 AND proc = $2 AND stripe = $3 AND segment = $4 "
            + "AND from_offset = $5",
            connection);
        foreach (var value in (object[])[_runId, first.Proc, first.Stripe, first.Segment, first.From])
        {
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        }

        return (long)(await command.ExecuteScalarAsync(ct))! > 0;
    }

    private async Task<bool> IsStoredAfterAllAsync(HistoryBatch batch, CancellationToken ct) =>
        await PatientlyAsync(
            async token =>
            {
                await using var connection = await _source.OpenConnectionAsync(token);
                return await IsStoredAsync(connection, batch, token);
            },
            ct);

    private async Task<ObjectMap> NamedAsync(HistoryBatch batch, CancellationToken ct)
    {
        await _naming.WaitAsync(ct);
        try
        {
            return await _patient.ExecuteAsync(async token => await MapAsync(batch, token), ct);
        }
        finally
        {
            _naming.Release();
        }
    }

    /// <summary>Gives names, texts and clients their numbers in the store; doing it twice changes nothing.</summary>
    private async Task<ObjectMap> MapAsync(HistoryBatch batch, CancellationToken ct)
    {
        var map = _maps.GetValueOrDefault(batch.Objects, [0]);
        var (first, last) = (map.Length, batch.Objects.LastId);
        if (first <= last)
        {
            var added = Enumerable.Range(first, last + 1 - first).ToArray();
            var numbers = await NumbersAsync(
                "SELECT name, id FROM number_objects($1, $2, $3, $4)", ct,
                (added.Select(batch.Objects.Name), NpgsqlDbType.Text),
                (added.Select(id => (short)batch.Objects.Kind(id)), NpgsqlDbType.Smallint),
                (added.Select(id => batch.Objects.Name(batch.Objects.DeviceOf(id))), NpgsqlDbType.Text));
            Array.Resize(ref map, last + 1);
            Array.ForEach(added, id => map[id] = numbers[batch.Objects.Name(id)]);
            _maps[batch.Objects] = map;
        }

        var texts = batch.Events.SelectMany(e => new[] { e.Actor, e.Fn, e.Text }).OfType<string>()
            .Where(t => !_texts.ContainsKey(t)).Distinct(StringComparer.Ordinal).ToArray();
        if (texts.Length > 0)
        {
            foreach (var (text, id) in await NumbersAsync(
                "SELECT value, id FROM number_texts($1, $2)", ct, (texts, NpgsqlDbType.Text)))
            {
                _texts[text] = id;
            }
        }

        await AddClientsAsync(batch, new ObjectMap(map), ct);
        return new ObjectMap(map);
    }

    private async Task<Dictionary<string, int>> NumbersAsync(
        string sql, CancellationToken ct, params (System.Collections.IEnumerable Values, NpgsqlDbType Type)[] arrays)
    {
        await using var command = _source.CreateCommand(sql);
        command.Parameters.Add(new NpgsqlParameter { Value = _runId });
        foreach (var (values, type) in arrays)
        {
            command.Parameters.Add(
                new NpgsqlParameter { Value = ToArray(values), NpgsqlDbType = NpgsqlDbType.Array | type });
        }

        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        await using var rows = await command.ExecuteReaderAsync(ct);
        while (await rows.ReadAsync(ct))
        {
            numbers.Add(rows.GetString(0), rows.GetInt32(1));
        }

        return numbers;

        static object ToArray(System.Collections.IEnumerable values) =>
            values is IEnumerable<short> shorts ? shorts.ToArray() : values.Cast<string>().ToArray();
    }

    private async Task AddClientsAsync(HistoryBatch batch, ObjectMap map, CancellationToken ct)
    {
        var added = new Dictionary<int, int>();
        foreach (ref readonly var op in batch.Operations)
        {
            if (!_clients.ContainsKey(map[op.Client]))
            {
                added.TryAdd(map[op.Client], map[op.Session]);
            }
        }

        if (added.Count == 0)
        {
            return;
        }

        // Another process may have named the client first: what is stored counts.
        await using var connection = await _source.OpenConnectionAsync(ct);
        await using (var insert = new NpgsqlCommand(
            $"INSERT INTO clients_{_runId} (run_id, client, session, proc) "
            + "SELECT $1, c, s, $4 FROM unnest($2, $3) AS t(c, s) ON CONFLICT DO NOTHING", connection))
        {
            insert.Parameters.Add(new NpgsqlParameter { Value = _runId });
            Add(insert.Parameters, added.Keys, NpgsqlDbType.Integer);
            Add(insert.Parameters, added.Values, NpgsqlDbType.Integer);
            insert.Parameters.Add(new NpgsqlParameter { Value = batch.Proc });
            await insert.ExecuteNonQueryAsync(ct);
        }

        await using var select = new NpgsqlCommand(
            $"SELECT client, session, proc FROM clients_{_runId} WHERE client = ANY($1)", connection);
        Add(select.Parameters, added.Keys, NpgsqlDbType.Integer);
        await using var rows = await select.ExecuteReaderAsync(ct);
        while (await rows.ReadAsync(ct))
        {
            _clients[rows.GetInt32(0)] = (rows.GetInt32(1), rows.GetInt32(2));
        }
    }

    private void EncodeLifecycle(HistoryBatch batch, ObjectMap map)
    {
        _lifecycleRows.Clear();
        _lifecycleAfterRows.Clear();
        var events = _lifecycleRows.Start();
        var after = _lifecycleAfterRows.Start();
        foreach (var e in batch.Events)
        {
            HistoryRows.Write(ref events, e, batch, map, _texts);
            HistoryRows.WriteAfter(ref after, e, map);
        }
    }

    private void Encode(Lane lane, HistoryBatch batch, ObjectMap map)
    {
        lane.Operations.Start();
        lane.Events.Start();
        lane.After.Start();
        var operations = lane.Operations.RowsOf(31, _runId);
        foreach (ref readonly var op in batch.Operations)
        {
            HistoryRows.Write(ref operations, op, batch, map, _clients[map[op.Client]]);
        }

        var events = lane.Events.RowsOf(23, _runId);
        var after = lane.After.RowsOf(9, _runId);
        foreach (var e in batch.Events)
        {
            HistoryRows.Write(ref events, e, batch, map, _texts);
            HistoryRows.WriteAfter(ref after, e, map);
        }

        lane.Operations.End();
        lane.Events.End();
        lane.After.End();
    }

    private static void Add<T>(NpgsqlParameterCollection parameters, IEnumerable<T> values, NpgsqlDbType type) =>
        parameters.Add(
            new NpgsqlParameter { Value = values.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type });

    /// <summary>Adds rows of a small table in one transaction; one that was cut off before its end is tried
    /// again.</summary>
    /// <exception cref="OutcomeUnknownException">The COMMIT went unanswered.</exception>
    private async Task InsertAsync(string sql, IEnumerable<object?[]> rows, CancellationToken ct)
    {
        var all = rows.ToList();
        if (all.Count > 0)
        {
            await _patient.ExecuteAsync(async token => await InsertOnceAsync(sql, all, token), ct);
        }
    }

    private async Task InsertOnceAsync(string sql, List<object?[]> rows, CancellationToken ct)
    {
        await using var connection = await _source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        foreach (var chunk in rows.Chunk(500))
        {
            await using var batch = new NpgsqlBatch(connection, transaction);
            foreach (var row in chunk)
            {
                var command = new NpgsqlBatchCommand(sql);
                Fill(command.Parameters, [_runId, .. row]);
                batch.BatchCommands.Add(command);
            }

            await batch.ExecuteNonQueryAsync(ct);
        }

        try
        {
            await transaction.CommitAsync(ct);
        }
        catch (Exception e) when (e is not PostgresException || Transience.IsConnectionLoss(e))
        {
            throw new OutcomeUnknownException($"The COMMIT of {rows.Count} small rows went unanswered.", e);
        }
    }

    private Task ExecuteAsync(string sql, object?[] values, CancellationToken ct) => _patient.ExecuteAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(sql);
            command.CommandTimeout = 0;
            Fill(command, values);
            await command.ExecuteNonQueryAsync(token);
        },
        ct).AsTask();

    private async Task<IReadOnlyList<T>> ReadAsync<T>(
        string sql, Func<NpgsqlDataReader, T> read, CancellationToken ct) =>
        await _patient.ExecuteAsync(
            async token =>
            {
                var list = new List<T>();
                await using var command = _source.CreateCommand(sql);
                command.CommandTimeout = 0;
                await using var rows = await command.ExecuteReaderAsync(token);
                while (await rows.ReadAsync(token))
                {
                    list.Add(read(rows));
                }

                return list;
            },
            ct);

    private static void Fill(NpgsqlCommand command, object?[] values) => Fill(command.Parameters, values);

    private static void Fill(NpgsqlParameterCollection parameters, object?[] values)
    {
        foreach (var value in values)
        {
            parameters.Add(value is null
                ? new NpgsqlParameter { Value = DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }
                : new NpgsqlParameter { Value = value });
        }
    }

    /// <summary>What one batch needs while it is under way.</summary>
    private sealed class Lane
    {
        public CopyBuffer Operations { get; } = new();

        public CopyBuffer Events { get; } = new();

        public CopyBuffer After { get; } = new();
    }
}
