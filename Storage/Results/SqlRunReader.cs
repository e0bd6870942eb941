using System.Data.Common;
using Fleet.Kernel.History;
using Fleet.Storage.Query;

namespace Fleet.Storage.Results;

/// <summary>Reads a run by the SQL that both stores understand.</summary>
internal abstract class SqlRunReader(StoredRun run, ObjectTable objects) : IRunReader
{
    private static readonly string[] ExportedViews =
    [
        "v_run", "v_processes", "v_objects", "v_operations", "v_events", "v_event_after", "v_findings", "v_evidence",
        "v_probes", "v_latency", "v_metrics", "v_faults",
    ];

    /// <summary>Columns that rows are sorted by, before those of their table: where they stand behind columns with
    /// nulls PostgreSQL walks over those in each comparison of two rows of one object.</summary>
    private const int Placed = 3;

    public StoredRun Run { get; } = run;

    public ObjectTable Objects { get; } = objects;

    public Task StreamAsync(IHistorySink sink, CancellationToken ct) =>
        AnsweredAsync(() => StreamPlacedAsync(sink, ct));

    public Task StreamUnplacedAsync(IHistorySink sink, CancellationToken ct) =>
        AnsweredAsync(() => StreamWithoutPlaceAsync(sink, ct));

    public Task<IReadOnlyList<ProcessInfo>> ProcessesAsync(CancellationToken ct) => ListAsync(
        $"SELECT proc, name, clock, host, pid FROM {Table("processes")}{Where} ORDER BY proc",
        r => new ProcessInfo(r.GetInt32(0), r.GetString(1), r.GetString(2), r.GetString(3), r.GetInt32(4)), ct);

    public Task<IReadOnlyList<StoredFinding>> FindingsAsync(CancellationToken ct) => ListAsync(
        "SELECT id, checker, rule, class, object, signature, text, evidence, count, remedy "
        + $"FROM {Table("findings")}{Where} ORDER BY id", RunRows.Finding, ct);

    public Task<IReadOnlyList<RuleEvidence>> EvidenceAsync(CancellationToken ct) => ListAsync(
        $"SELECT checker, rule, ok, violated, undecided FROM {Table("evidence")}{Where} ORDER BY checker, rule",
        r => new RuleEvidence(r.GetString(0), r.GetString(1), r.GetInt64(2), r.GetInt64(3), r.GetInt64(4)), ct);

    public Task<IReadOnlyList<ProbeCount>> ProbesAsync(CancellationToken ct) => ListAsync(
        $"SELECT name, count, required FROM {Table("probes")}{Where} ORDER BY name",
        r => new ProbeCount(r.GetString(0), r.GetInt64(1), r.GetBoolean(2)), ct);

    public Task<IReadOnlyList<LatencyBucket>> LatencyAsync(CancellationToken ct) => ListAsync(
        $"SELECT metric, phase, low_ns, high_ns, count FROM {Table("latency")}{Where} ORDER BY metric, phase, low_ns",
        r => new LatencyBucket(r.GetString(0), r.GetString(1), r.GetInt64(2), r.GetInt64(3), r.GetInt64(4)), ct);

    public Task<IReadOnlyList<MetricPoint>> MetricsAsync(CancellationToken ct) => ListAsync(
        $"SELECT time_ns, name, value FROM {Table("metrics")}{Where} ORDER BY time_ns, name",
        r => new MetricPoint(r.GetInt64(0), r.GetString(1), r.GetDouble(2)), ct);

    public Task<IReadOnlyList<FaultRecord>> FaultsAsync(CancellationToken ct) => ListAsync(
        $"SELECT time_ns, kind, target, expects, text FROM {Table("faults")}{Where} ORDER BY time_ns",
        r => new FaultRecord(r.GetInt64(0), r.GetString(1), r.GetString(2), r.GetString(3), r.GetString(4)), ct);

    public async Task<IReadOnlyList<string>> ExportAsync(string directory, ExportFormat format, CancellationToken ct)
    {
        try
        {
            Directory.CreateDirectory(directory);
            var files = new List<string>();
            foreach (var view in ExportedViews)
            {
                var file = Path.Combine(directory, $"{view[2..]}.{(format is ExportFormat.Csv ? "csv" : "parquet")}");
                await ExportViewAsync(view, file, format, ct);
                files.Add(file);
            }

            return files;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DbException)
        {
            throw new StorageException($"The run cannot be exported to {directory}: {e.Message.Split('\n')[0]}", e);
        }
    }

    public abstract Task<SqlTable> QueryAsync(string sql, SqlLimits limits, CancellationToken ct);

    public abstract ValueTask DisposeAsync();

    /// <summary>Restricts a small table to this run; empty where the store holds one run.</summary>
    protected virtual string Where => "";

    /// <summary>Name of the table, or of this run's part of it.</summary>
    protected virtual string Table(string name) => name;

    /// <summary>True when the server is gone or stopping, which says nothing about what was asked.</summary>
    protected virtual bool IsLost(Exception e) => false;

    /// <summary>Runs what may be asked twice; beside a writer a server that is away is waited for.</summary>
    protected virtual Task PatientlyAsync(Func<CancellationToken, Task> read, CancellationToken ct) => read(ct);

    protected abstract Task ExportViewAsync(string view, string file, ExportFormat format, CancellationToken ct);

    /// <summary>Runs one query on a connection of its own.</summary>
    protected abstract Task<RowLease> OpenAsync(string sql, CancellationToken ct);

    private static string Prefixed(string alias, string columns) =>
        $"{alias}." + columns.Replace(", ", $", {alias}.", StringComparison.Ordinal);

    private static ((long, int, long) Key, HistoryEvent Record) Event(
        DbDataReader r, DbDataReader afters, IReadOnlyDictionary<int, string> texts)
    {
        var after = RunRows.AfterCount(r, Placed) is var count && count > 0 ? new Position[count] : [];
        for (var i = 0; i < count; i++)
        {
            if (!afters.Read())
            {
                throw new StorageInvariantException("An event names more positions than are stored.");
            }

            after[i] = new Position(afters.GetInt32(0), afters.GetInt32(1), afters.GetInt64(2), afters.GetInt32(3));
        }

        var record = RunRows.Event(r, Placed, texts, after);
        return ((r.GetInt64(0), record.At.Gen, record.At.Seq), record);
    }

    private async Task StreamPlacedAsync(IHistorySink sink, CancellationToken ct)
    {
        foreach (var process in await ProcessesAsync(ct))
        {
            Objects.NameProcess(process.Proc, process.Name);
        }

        var texts = await TextsAsync(ct);
        var sessions = await SessionsAsync(ct);
        await using var operations = await OpenAsync(
            "SELECT o.sort_key, coalesce(h.gen, 1), coalesce(h.seq_large, h.seq), "
            + $"{Prefixed("h", HistoryTables.OperationColumns)} "
            + $"FROM {Table("operations")} h JOIN {Table("objects")} o ON o.id = h.obj ORDER BY 1, 2, 3", ct);
        await using var events = await OpenAsync(
            $"SELECT o.sort_key, h.gen, h.seq, {Prefixed("h", HistoryTables.EventColumns)} "
            + $"FROM {Table("events")} h JOIN {Table("objects")} o ON o.id = h.obj ORDER BY 1, 2, 3", ct);
        await using var afters = await OpenAsync(
            $"SELECT h.after_obj, h.after_gen, h.after_seq, h.after_life FROM {Table("event_after")} h "
            + $"JOIN {Table("objects")} o ON o.id = h.obj ORDER BY o.sort_key, h.gen, h.seq, h.n", ct);

        var hasEvent = await events.Rows.ReadAsync(ct);
        var nextEvent = hasEvent ? Event(events.Rows, afters.Rows, texts) : default;
        var count = 0;
        while (operations.Rows.Read())
        {
            if ((++count & 0xFFF) == 0)
            {
                ct.ThrowIfCancellationRequested();
            }

            RunRows.Operation(operations.Rows, Placed, Objects, sessions, out var op);
            var at = (operations.Rows.GetInt64(0), op.At.Gen, op.At.Seq);
            while (hasEvent && nextEvent.Key.CompareTo(at) < 0)
            {
                sink.Observe(nextEvent.Record);
                hasEvent = events.Rows.Read();
                nextEvent = hasEvent ? Event(events.Rows, afters.Rows, texts) : default;
            }

            sink.Observe(op);
        }

        while (hasEvent)
        {
            sink.Observe(nextEvent.Record);
            hasEvent = events.Rows.Read();
            nextEvent = hasEvent ? Event(events.Rows, afters.Rows, texts) : default;
        }
    }

    private async Task StreamWithoutPlaceAsync(IHistorySink sink, CancellationToken ct)
    {
        var sessions = await SessionsAsync(ct);
        await using var operations = await OpenAsync(
            $"SELECT {HistoryTables.OperationColumns} FROM {Table("operations")} WHERE obj IS NULL "
            + "ORDER BY number_code",
            ct);
        while (await operations.Rows.ReadAsync(ct))
        {
            RunRows.Operation(operations.Rows, 0, Objects, sessions, out var op);
            sink.Observe(op);
        }
    }

    private async Task<Dictionary<int, string>> TextsAsync(CancellationToken ct)
    {
        var texts = new Dictionary<int, string>();
        await using var rows = await OpenAsync($"SELECT id, value FROM {Table("texts")}{Where}", ct);
        while (await rows.Rows.ReadAsync(ct))
        {
            texts.Add(rows.Rows.GetInt32(0), rows.Rows.GetString(1));
        }

        return texts;
    }

    private async Task<Dictionary<int, int>> SessionsAsync(CancellationToken ct)
    {
        var sessions = new Dictionary<int, int>();
        await using var rows = await OpenAsync($"SELECT client, session FROM {Table("clients")}{Where}", ct);
        while (await rows.Rows.ReadAsync(ct))
        {
            sessions.Add(rows.Rows.GetInt32(0), rows.Rows.GetInt32(1));
        }

        return sessions;
    }

    private async Task<IReadOnlyList<T>> ListAsync<T>(string sql, Func<DbDataReader, T> read, CancellationToken ct)
    {
        var list = new List<T>();
        await AnsweredAsync(() => PatientlyAsync(
            async token =>
            {
                list.Clear();
                await using var rows = await OpenAsync(sql, token);
                while (await rows.Rows.ReadAsync(token))
                {
                    list.Add(read(rows.Rows));
                }
            },
            ct));
        return list;
    }

    private async Task AnsweredAsync(Func<Task> read)
    {
        try
        {
            await read();
        }
        catch (Exception e) when (IsLost(e))
        {
            throw new StoreLostException(
                $"The store stopped answering while {Run.Info.Run} was read: {e.Message.Split('\n', 2)[0].Trim()}", e);
        }
    }
}

/// <summary>Rows of one query with what must be closed after them.</summary>
internal sealed class RowLease(DbDataReader rows, DbCommand command, DbConnection connection) : IAsyncDisposable
{
    public DbDataReader Rows { get; } = rows;

    public async ValueTask DisposeAsync()
    {
        await Rows.DisposeAsync();
        await command.DisposeAsync();
        await connection.DisposeAsync();
    }
}
