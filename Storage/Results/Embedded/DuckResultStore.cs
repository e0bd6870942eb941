using Fleet.Kernel.History;

namespace Fleet.Storage.Results.Embedded;

/// <summary>A directory with one DuckDB file for each run.</summary>
internal sealed class DuckResultStore(string directory) : IResultStore
{
    /// <summary>Of a file that is still written; taken off when the run is sealed.</summary>
    public const string PartSuffix = ".part";

    private const string Suffix = ".duckdb";

    public string Address => directory;

    public Task<IRunWriter> CreateRunAsync(RunInfo info, ObjectTable objects, CancellationToken ct)
    {
        var path = PathOf(info.Run);
        try
        {
            Directory.CreateDirectory(directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"The result directory {directory} cannot be created: {e.Message}", e);
        }

        if (File.Exists(path) || File.Exists(path + PartSuffix))
        {
            throw new StorageException($"There is a run {info.Run} in {directory} already; choose another name.");
        }

        return Task.FromResult<IRunWriter>(DuckRunWriter.Create(path, info, objects));
    }

    public Task<IRunWriter> ResumeRunAsync(string run, CancellationToken ct)
    {
        var path = PathOf(run);
        if (File.Exists(path))
        {
            throw new StorageException($"The run {run} is sealed; only one that was cut off can be resumed.");
        }

        return File.Exists(path + PartSuffix)
            ? Task.FromResult<IRunWriter>(DuckRunWriter.Resume(path, run))
            : throw NoSuchRun(run);
    }

    public Task<IRunReader> OpenRunAsync(string run, CancellationToken ct)
    {
        var path = PathOf(run);
        if (File.Exists(path))
        {
            return Task.FromResult<IRunReader>(DuckRunReader.OfSealed(path));
        }

        throw File.Exists(path + PartSuffix)
            ? new StorageException(
                $"The run {run} is still going, or was cut off and waits for `fleet resume {run}`: "
                + $"{path} appears when it is sealed.")
            : NoSuchRun(run);
    }

    public Task<IReadOnlyList<StoredRun>> ListRunsAsync(CancellationToken ct)
    {
        var runs = new List<StoredRun>();
        if (Directory.Exists(directory))
        {
            foreach (var path in Directory.EnumerateFiles(directory, "*" + Suffix))
            {
                runs.Add(DuckRunReader.Describe(path));
            }

            foreach (var path in Directory.EnumerateFiles(directory, "*" + Suffix + PartSuffix))
            {
                var name = Path.GetFileName(path)[..^(Suffix.Length + PartSuffix.Length)];
                var info = new RunInfo(name) { StartedAt = new DateTimeOffset(File.GetCreationTimeUtc(path)) };
                runs.Add(new StoredRun(info, RunState.Running, null, path));
            }
        }

        return Task.FromResult<IReadOnlyList<StoredRun>>([.. runs.OrderByDescending(r => r.Info.StartedAt)]);
    }

    public Task DropRunAsync(string run, CancellationToken ct)
    {
        var path = PathOf(run);
        if (!File.Exists(path) && !File.Exists(path + PartSuffix))
        {
            throw NoSuchRun(run);
        }

        File.Delete(path);
        File.Delete(path + PartSuffix);
        File.Delete(path + PartSuffix + ".wal");
        return Task.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private string PathOf(string run) => Path.Combine(directory, RunName.Check(run) + Suffix);

    private StorageException NoSuchRun(string run) => new($"There is no run {run} in {directory}.");
}
