using Fleet.Kernel;
using Fleet.Kernel.History;
using Npgsql;
using NpgsqlTypes;
using Polly;

namespace Fleet.Storage.Results.Postgres;

/// <summary>Fills one run of a database; each batch is one transaction of COPYs, and stored once.</summary>
/// <remarks>
/// A lost connection is waited for without end: the spool holds what comes meanwhile. A batch whose COMMIT went
/// unanswered is looked for before it is sent again, and its key in <c>batches</c> refuses a second copy.
/// </remarks>
internal sealed class PostgresRunWriter : IRunWriter
{
    private readonly NpgsqlDataSource _source;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly ResiliencePipeline _patient = Transience.Patient();
    private readonly int _runId;
    private readonly bool _isCreator;
    private readonly CopyBuffer _operationRows = new();
    private readonly CopyBuffer _eventRows = new();
    private readonly CopyBuffer _afterRows = new();
    private readonly Dictionary<string, int> _texts = new(StringComparer.Ordinal);
    private readonly Dictionary<int, (int Session, int Proc)> _clients = [];
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
                + "SELECT $1, coalesce(max(proc), 0) + 1, $2, $3, $4, $5 FROM processes WHERE run_id = $1 RETURNING proc",
                connection);
            Fill(insert, [_runId, name, clock, host, pid]);
            var proc = (int)(await insert.ExecuteScalarAsync(token))!;
            await transaction.CommitAsync(token);
            return proc;
        },
        ct);

    public Task AppendAsync(HistoryBatch batch, CancellationToken ct) => AppendAsync(batch, null, ct);

    /// <summary>Runs what may be done twice until the server answers.</summary>
    public async Task<T> PatientlyAsync<T>(Func<CancellationToken, Task<T>> act, CancellationToken ct) =>
        await _patient.ExecuteAsync(async token => await act(token), ct);

    /// <param name="within">Runs in the batch's own transaction, before its rows; its errors undo the batch.</param>
    public async Task AppendAsync(
        HistoryBatch batch, Func<NpgsqlConnection, CancellationToken, Task>? within, CancellationToken ct)
    {
        if (batch.Rows == 0 && batch.Stretches.Count == 0)
        {
            return;
        }

        await _gate.WaitAsync(ct);
        try
        {
            var map = await _patient.ExecuteAsync(async token => await MapAsync(batch, token), ct);
            EncodeOperations(batch, map);
            EncodeEvents(batch, map);
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

                    await SendAsync(connection, batch, within, ct);
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
                catch (PostgresException) when (isRepeat && within is not null)
                {
                    // The first try may have been on its way still when it was looked for, and then refuses the second.
                    if (!await IsStoredAfterAllAsync(batch, ct))
                    {
                        throw;
                    }

                    return;
                }
                catch (PostgresException e) when (within is null)
                {
                    throw new StorageException($"The store refused a batch of {batch.Rows} rows: {e.MessageText}.", e);
                }
            }
        }
        finally
        {
            _gate.Release();
        }
    }

    public Task<IReadOnlyList<SpoolStretch>> StretchesAsync(int proc, CancellationToken ct) => ReadAsync(
        $"SELECT proc, stripe, segment, from_offset, to_offset FROM batches WHERE run_id = {_runId} AND proc = {proc}",
        r => new SpoolStretch(r.GetInt32(0), r.GetInt32(1), r.GetInt64(2), r.GetInt32(3), r.GetInt32(4)), ct);

    public async Task<(long Operations, long Events)> CountAsync(int proc, CancellationToken ct)
    {
        var operations = await ReadAsync(
            $"SELECT count(*) FROM operations_{_runId} o JOIN clients_{_runId} c ON c.client = o.client "
            + $"WHERE coalesce(o.proc, c.proc) = {proc}", r => r.GetInt64(0), ct);
        var events = await ReadAsync(
            $"SELECT count(*) FROM events_{_runId} WHERE coalesce(from_proc, proc) = {proc}", r => r.GetInt64(0), ct);
        return (operations[0], events[0]);
    }

    public Task<IReadOnlyList<long>> NumbersStoredAsync(long first, int count, CancellationToken ct) => ReadAsync(
        $"SELECT number FROM operations_{_runId} WHERE number BETWEEN {first} AND {first + count - 1}",
        r => r.GetInt64(0), ct);

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

    public async ValueTask DisposeAsync()
    {
        if (_sealed || !_isCreator)
        {
            return;
        }

        try
        {
            await using var command = _source.CreateCommand($"SELECT drop_run({_runId})");
            await command.ExecuteNonQueryAsync();
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return; // Nobody to ask: it stays as a run that was cut off, to be resumed or dropped.
        }
    }

    private async Task SendAsync(
        NpgsqlConnection connection, HistoryBatch batch, Func<NpgsqlConnection, CancellationToken, Task>? within,
        CancellationToken ct)
    {
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (within is not null)
        {
            await within(connection, ct);
        }

        await CopyAsync(connection, "operations", HistoryTables.OperationColumns, _operationRows, ct);
        await CopyAsync(connection, "events", HistoryTables.EventColumns, _eventRows, ct);
        await CopyAsync(connection, "event_after", HistoryTables.AfterColumns, _afterRows, ct);
        if (batch.Stretches.Count > 0)
        {
            await using var insert = new NpgsqlCommand(
                "INSERT INTO batches (run_id, proc, stripe, segment, from_offset, to_offset) "
                + "SELECT $1, * FROM unnest($2, $3, $4, $5, $6)", connection);
            insert.Parameters.Add(new NpgsqlParameter { Value = _runId });
            Add(insert, batch.Stretches.Select(s => s.Proc), NpgsqlDbType.Integer);
            Add(insert, batch.Stretches.Select(s => s.Stripe), NpgsqlDbType.Integer);
            Add(insert, batch.Stretches.Select(s => s.Segment), NpgsqlDbType.Bigint);
            Add(insert, batch.Stretches.Select(s => s.From), NpgsqlDbType.Integer);
            Add(insert, batch.Stretches.Select(s => s.To), NpgsqlDbType.Integer);
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

    /// <summary>Gives names, texts and clients their numbers in the store; doing it twice changes nothing.</summary>
    private async Task<ObjectMap> MapAsync(HistoryBatch batch, CancellationToken ct)
    {
        var map = _maps.GetValueOrDefault(batch.Objects, [0]);
        var last = batch.Objects.LastId;
        if (map.Length <= last)
        {
            var names = Enumerable.Range(map.Length, last + 1 - map.Length).Select(batch.Objects.Name).ToArray();
            var first = map.Length;
            var numbers = await NumbersAsync("objects", "name", names, ct, (id, i) =>
            {
                Array.Resize(ref map, Math.Max(map.Length, first + i + 1));
                map[first + i] = id;
            }, (id, i) =>
            {
                var local = first + i;
                var device = batch.Objects.DeviceOf(local);
                var storedDevice = device == local ? id : device == 0 ? 0 : map[device];
                var kind = batch.Objects.Kind(local);
                return (storedDevice, (short)kind, SortKey.Of(id, storedDevice, kind));
            });
            _maps[batch.Objects] = map;
        }

        var texts = batch.Events.SelectMany(e => new[] { e.Actor, e.Fn, e.Text }).OfType<string>()
            .Where(t => !_texts.ContainsKey(t)).Distinct(StringComparer.Ordinal).ToArray();
        if (texts.Length > 0)
        {
            await NumbersAsync("texts", "value", texts, ct, (id, i) => _texts[texts[i]] = id, null);
        }

        await AddClientsAsync(batch, new ObjectMap(map), ct);
        return new ObjectMap(map);
    }

    private async Task<int> NumbersAsync(
        string table, string column, string[] names, CancellationToken ct, Action<int, int> found,
        Func<int, int, (int Device, short Kind, long SortKey)>? describe)
    {
        await using var connection = await _source.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var serialise = new NpgsqlCommand(
            $"SELECT pg_advisory_xact_lock(hashtext('fleet.{table}'), {_runId})", connection))
        {
            await serialise.ExecuteNonQueryAsync(ct);
        }

        var known = new Dictionary<string, int>(StringComparer.Ordinal);
        await using (var select = new NpgsqlCommand(
            $"SELECT {column}, id FROM {table}_{_runId} WHERE {column} = ANY($1)", connection))
        {
            Add(select, names, NpgsqlDbType.Text);
            await using var rows = await select.ExecuteReaderAsync(ct);
            while (await rows.ReadAsync(ct))
            {
                known.Add(rows.GetString(0), rows.GetInt32(1));
            }
        }

        int next;
        await using (var max = new NpgsqlCommand($"SELECT coalesce(max(id), 0) FROM {table}_{_runId}", connection))
        {
            next = (int)(await max.ExecuteScalarAsync(ct))!;
        }

        var added = new List<(int Id, string Name, int Device, short Kind, long SortKey)>();
        for (var i = 0; i < names.Length; i++)
        {
            if (!known.TryGetValue(names[i], out var id))
            {
                id = ++next;
                known.Add(names[i], id);
                var (device, kind, key) = describe?.Invoke(id, i) ?? default;
                added.Add((id, names[i], device, kind, key));
            }

            found(id, i);
        }

        if (added.Count > 0)
        {
            var extra = describe is null ? ("", "") : (", device, kind, sort_key", ", $4, $5, $6");
            await using var insert = new NpgsqlCommand(
                $"INSERT INTO {table}_{_runId} (run_id, id, {column}{extra.Item1}) SELECT $1, * "
                + $"FROM unnest($2, $3{extra.Item2})",
                connection);
            insert.Parameters.Add(new NpgsqlParameter { Value = _runId });
            Add(insert, added.Select(a => a.Id), NpgsqlDbType.Integer);
            Add(insert, added.Select(a => a.Name), NpgsqlDbType.Text);
            if (describe is not null)
            {
                Add(insert, added.Select(a => a.Device), NpgsqlDbType.Integer);
                Add(insert, added.Select(a => a.Kind), NpgsqlDbType.Smallint);
                Add(insert, added.Select(a => a.SortKey), NpgsqlDbType.Bigint);
            }

            await insert.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        return added.Count;
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
            Add(insert, added.Keys, NpgsqlDbType.Integer);
            Add(insert, added.Values, NpgsqlDbType.Integer);
            insert.Parameters.Add(new NpgsqlParameter { Value = batch.Proc });
            await insert.ExecuteNonQueryAsync(ct);
        }

        await using var select = new NpgsqlCommand(
            $"SELECT client, session, proc FROM clients_{_runId} WHERE client = ANY($1)", connection);
        Add(select, added.Keys, NpgsqlDbType.Integer);
        await using var rows = await select.ExecuteReaderAsync(ct);
        while (await rows.ReadAsync(ct))
        {
            _clients[rows.GetInt32(0)] = (rows.GetInt32(1), rows.GetInt32(2));
        }
    }

    private void EncodeOperations(HistoryBatch batch, ObjectMap map)
    {
        var rows = _operationRows;
        rows.Start();
        foreach (ref readonly var op in batch.Operations)
        {
            var known = _clients[map[op.Client]];
            var row = new OperationRow(
                op, map, op.At.IsNone ? 0 : batch.Objects.DeviceOf(op.At.Obj),
                !op.At.IsNone && batch.Objects.Kind(op.At.Obj) is ObjectKind.Map, known.Session);
            rows.Row(29);
            rows.Long(row.Number);
            rows.Long(row.SentNs);
            rows.Long(row.Address);
            rows.Long(row.Pfn);
            rows.Long(row.Tag);
            rows.Long(row.Of);
            rows.Long(row.LateNs);
            rows.Long(RowPacking.Large(row.Took));
            rows.Long(RowPacking.Large(row.Size));
            rows.Long(RowPacking.Large(row.Seq));
            rows.Long(RowPacking.Large(row.AllocNumber));
            rows.Int(RowPacking.Small(row.Took));
            rows.Int(RowPacking.SmallOrNone(row.Size));
            rows.Int(RowPacking.SmallOrNone(row.Seq));
            rows.Int(RowPacking.SmallOrNone(row.AllocNumber));
            rows.Int(row.Client);
            rows.Int(row.Obj);
            rows.Int(row.Gen);
            rows.Int(row.Life);
            rows.Int(row.Owner);
            rows.Int(row.Map);
            rows.Int(row.Device);
            rows.Int(row.Session);
            rows.Int(row.AllocGen);
            rows.Int(row.Pages);
            rows.Short(known.Proc == batch.Proc ? null : (short)batch.Proc);
            rows.Short(row.Code);
            rows.Short(row.Err);
            rows.Int(_runId);
        }

        rows.End();
    }

    private void EncodeEvents(HistoryBatch batch, ObjectMap map)
    {
        var rows = _eventRows;
        var after = _afterRows;
        rows.Start();
        after.Start();
        foreach (var e in batch.Events)
        {
            rows.Row(23);
            rows.Long(e.At.Seq);
            rows.Long(e.TimeNs);
            rows.Long(RowPacking.Some(unchecked((long)e.Start)));
            rows.Long(RowPacking.Some(unchecked((long)e.SizeBytes)));
            rows.Long(RowPacking.Some(unchecked((long)e.Pfn)));
            rows.Long(RowPacking.Some(e.Count));
            rows.Long(RowPacking.Some(e.Alloc.Number));
            rows.Int(map[e.At.Obj]);
            rows.Int(e.At.Gen);
            rows.Int(e.At.Life);
            rows.Int(Text(e.Actor));
            rows.Int(e.Other == 0 ? null : map[e.Other]);
            rows.Int(e.Node < 0 ? null : e.Node);
            rows.Int(Text(e.Fn));
            rows.Int(Text(e.Text));
            rows.Int(e.Alloc.IsNone ? null : map[e.Alloc.Device]);
            rows.Int(e.Alloc.IsNone ? null : e.Alloc.Gen);
            rows.Short((short)e.Proc);
            rows.Short(e.Proc == batch.Proc ? null : (short)batch.Proc);
            rows.Short((short)e.Kind);
            rows.Short(e.Err is Errno.OK ? null : (short)e.Err);
            rows.Short(e.After.Count == 0 ? null : (short)e.After.Count);
            rows.Int(_runId);
            for (var n = 0; n < e.After.Count; n++)
            {
                after.Row(9);
                after.Long(e.At.Seq);
                after.Long(e.After[n].Seq);
                after.Int(map[e.At.Obj]);
                after.Int(e.At.Gen);
                after.Int(map[e.After[n].Obj]);
                after.Int(e.After[n].Gen);
                after.Int(e.After[n].Life);
                after.Short((short)n);
                after.Int(_runId);
            }
        }

        rows.End();
        after.End();
    }

    private int? Text(string? value) => value is null ? null : _texts[value];

    private static void Add<T>(NpgsqlCommand command, IEnumerable<T> values, NpgsqlDbType type) =>
        command.Parameters.Add(
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
}
