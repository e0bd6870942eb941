using Fleet.Kernel.History;
using Fleet.Storage.Query;

namespace Fleet.Storage.Results;

/// <summary>
/// Where runs are kept: a directory of DuckDB files, or a PostgreSQL database. Same tables, same views.
/// </summary>
/// <remarks>Concurrency: any thread. Errors for people: <see cref="StorageException"/>, one sentence.</remarks>
public interface IResultStore : IAsyncDisposable
{
    /// <summary>The address as it may be printed: without a password.</summary>
    string Address { get; }

    /// <summary>Starts the results of a run.</summary>
    /// <param name="objects">Names of this process; the embedded store takes them over, so that numbers stay
    /// equal.</param>
    /// <exception cref="StorageException">There is such a run already, or the store cannot be written.</exception>
    Task<IRunWriter> CreateRunAsync(RunInfo info, ObjectTable objects, CancellationToken ct);

    /// <summary>Goes on writing a run that is not sealed: another process of it, or a recovery.</summary>
    /// <exception cref="StorageException">There is no such run, it is sealed, or another process holds its
    /// file.</exception>
    Task<IRunWriter> ResumeRunAsync(string run, CancellationToken ct);

    /// <summary>Opens a sealed run for reading.</summary>
    /// <exception cref="StorageException">There is no such run, or it is not sealed.</exception>
    Task<IRunReader> OpenRunAsync(string run, CancellationToken ct);

    /// <summary>Returns all runs, the newest first.</summary>
    Task<IReadOnlyList<StoredRun>> ListRunsAsync(CancellationToken ct);

    /// <summary>Removes a run with everything that it stored.</summary>
    /// <exception cref="StorageException">There is no such run.</exception>
    Task DropRunAsync(string run, CancellationToken ct);
}

/// <summary>Takes the records of one run.</summary>
/// <remarks>
/// Concurrency: any thread; up to <see cref="AppendsMax"/> batches are stored side by side, all else is serialised.
/// Disposed without <see cref="SealAsync"/>, the creator's run is removed: no half written result stays behind. One
/// that has records worth a resumption is kept (<see cref="Keep"/>), and so is that of a process that is killed.
/// </remarks>
public interface IRunWriter : IAsyncDisposable
{
    RunInfo Info { get; }

    /// <summary>Where the results will be once sealed, printable.</summary>
    string Location { get; }

    /// <summary>Reads what is stored so far, for the last check before the seal.</summary>
    IRunReader Reader { get; }

    /// <summary>From here on a run that is not sealed stays when this is disposed, as one that was cut off.</summary>
    void Keep();

    Task AddProcessAsync(ProcessInfo process, CancellationToken ct);

    /// <summary>Adds a process that joins a run that others write too, under the next free number.</summary>
    /// <returns>Its number in the run; a process that comes back gets a new one.</returns>
    Task<int> JoinAsync(string name, string clock, string host, int pid, CancellationToken ct);

    /// <summary>Batches that the store takes at the same time; more wait.</summary>
    int AppendsMax { get; }

    /// <summary>How long rows may be gathered for a full batch; zero where small ones cost little more.</summary>
    TimeSpan GatherMax { get; }

    /// <summary>Stores a batch as a whole or not at all, each stretch of a spool once.</summary>
    /// <exception cref="StorageInvariantException">A stretch was stored before: the caller did not read
    /// back.</exception>
    Task AppendAsync(HistoryBatch batch, CancellationToken ct);

    /// <summary>Returns the stretches of a process's spool that are stored, when nothing that a dead process of this
    /// number sent can come any more.</summary>
    /// <exception cref="StorageException">A process of this number goes on storing.</exception>
    Task<IReadOnlyList<SpoolStretch>> StretchesAsync(int proc, CancellationToken ct);

    /// <summary>Counts the rows that came from a process, in the tables themselves.</summary>
    Task<(long Operations, long Events)> CountAsync(int proc, CancellationToken ct);

    /// <summary>Returns those of some ranges of operation numbers that have no row, in one pass over the
    /// rows.</summary>
    Task<IReadOnlyList<long>> NumbersMissingAsync(
        IReadOnlyCollection<(long First, int Count)> ranges, CancellationToken ct);

    /// <summary>Adds findings; their numbers count up from 1 in the order of adding.</summary>
    Task AddFindingsAsync(string checker, IReadOnlyList<Finding> findings, CancellationToken ct);

    Task AddEvidenceAsync(IReadOnlyList<RuleEvidence> evidence, CancellationToken ct);

    Task AddProbesAsync(IReadOnlyList<ProbeCount> probes, CancellationToken ct);

    Task AddLatencyAsync(IReadOnlyList<LatencyBucket> buckets, CancellationToken ct);

    Task AddMetricsAsync(IReadOnlyList<MetricPoint> points, CancellationToken ct);

    Task AddFaultsAsync(IReadOnlyList<FaultRecord> faults, CancellationToken ct);

    /// <summary>Ends the run: builds what reading needs, and makes it visible to everybody.</summary>
    /// <returns>Where the results are, printable.</returns>
    Task<string> SealAsync(RunOutcome outcome, CancellationToken ct);
}

/// <summary>Sees the records of a stored run in the order that a checker needs.</summary>
public interface IHistorySink
{
    void Observe(HistoryEvent record);

    /// <param name="record">Valid during the call only.</param>
    void Observe(in Operation record);
}

/// <summary>Form of an exported view; JSON Lines is the history format and has its own writer.</summary>
public enum ExportFormat
{
    /// <summary>RFC 4180 with a header; an empty field is null.</summary>
    Csv,
    Parquet,
}

/// <summary>Reads one run.</summary>
/// <remarks>Concurrency: one call at a time.</remarks>
public interface IRunReader : IAsyncDisposable
{
    StoredRun Run { get; }

    /// <summary>Names of the object numbers in the records; the numbers are those of the store.</summary>
    ObjectTable Objects { get; }

    /// <summary>
    /// Passes on every record with a position: grouped by device (its maps, refs, pool, then the device itself), each
    /// object in (gen, seq) order.
    /// </summary>
    /// <exception cref="StoreLostException">The server went away; what was passed on until then is part of
    /// it.</exception>
    Task StreamAsync(IHistorySink sink, CancellationToken ct);

    /// <summary>Passes on the operations that no object gave a position, by their numbers.</summary>
    Task StreamUnplacedAsync(IHistorySink sink, CancellationToken ct);

    Task<IReadOnlyList<ProcessInfo>> ProcessesAsync(CancellationToken ct);

    Task<IReadOnlyList<StoredFinding>> FindingsAsync(CancellationToken ct);

    Task<IReadOnlyList<RuleEvidence>> EvidenceAsync(CancellationToken ct);

    Task<IReadOnlyList<ProbeCount>> ProbesAsync(CancellationToken ct);

    Task<IReadOnlyList<LatencyBucket>> LatencyAsync(CancellationToken ct);

    Task<IReadOnlyList<MetricPoint>> MetricsAsync(CancellationToken ct);

    Task<IReadOnlyList<FaultRecord>> FaultsAsync(CancellationToken ct);

    /// <summary>Writes the run's views as one file each into a directory, for other tools.</summary>
    /// <returns>The files.</returns>
    /// <exception cref="StorageException">The directory cannot be written.</exception>
    Task<IReadOnlyList<string>> ExportAsync(string directory, ExportFormat format, CancellationToken ct);

    /// <summary>Runs one query that cannot write, nor reach files, networks or extensions.</summary>
    /// <exception cref="StorageException">The query is wrong, not allowed or over a limit; says which.</exception>
    Task<SqlTable> QueryAsync(string sql, SqlLimits limits, CancellationToken ct);
}
