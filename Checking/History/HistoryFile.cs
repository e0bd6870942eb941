using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>How a file is to be judged.</summary>
public sealed record HistoryFileOptions
{
    /// <summary>Overrides the header's profile; null keeps it.</summary>
    public string? Profile { get; init; }

    /// <summary>Names of the probes that have to be above zero for a valid verdict.</summary>
    public IReadOnlyList<string> ProbesRequired { get; init; } = [];

    /// <summary>Records of an unsorted file that are kept in memory; more are sorted on disk.</summary>
    public int RecordsInMemory { get; init; } = 400_000;

    public Action<Finding>? OnFinding { get; init; }

    /// <summary>Threads that judge while one more reads; 1 judges on the reading one.</summary>
    public int Workers { get; init; } = 1;
}

/// <summary>Judges a history file, whatever its length and order.</summary>
public static class HistoryFile
{
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="HistoryFormatException">A line is malformed; there is no verdict.</exception>
    public static (HistoryHeader Header, CheckReport Report) Check(
        string path, ObjectTable objects, HistoryFileOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        try
        {
            return Check(Opened(path), objects, options);
        }
        catch (RecordOrderException) when (options.Workers > 1)
        {
            // Only the thread that reads knows the line.
            return Check(Opened(path), objects, options with { Workers = 1 });
        }
    }

    /// <param name="stream">Disposed when it was read.</param>
    /// <exception cref="HistoryFormatException">A line is malformed; there is no verdict.</exception>
    public static (HistoryHeader Header, CheckReport Report) Check(
        Stream stream, ObjectTable objects, HistoryFileOptions options)
    {
        using var reader = new HistoryReader(stream, objects);
        var header = options.Profile is { } profile ? reader.Header with { Profile = profile } : reader.Header;
        var report = header.SortedByObject
            ? Straight(reader, header, objects, options)
            : Sorted(reader, header, objects, options);
        return (header, report);
    }

    private static FileStream Opened(string path) =>
        new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);

    private static CheckReport Shared(
        IEnumerable<HistoryRecord> records, Func<bool> isTruncated, HistoryHeader header, ObjectTable objects,
        HistoryFileOptions options)
    {
        using var checker = new ParallelChecker(
            header, objects, options.ProbesRequired, options.Workers, options.OnFinding);
        foreach (var record in records)
        {
            checker.Add(record);
        }

        if (isTruncated())
        {
            checker.MarkIncomplete();
        }

        return checker.Finish();
    }

    private static IEnumerable<HistoryRecord> RecordsOf(HistoryReader reader)
    {
        while (reader.Read(out var record))
        {
            yield return record;
        }
    }

    private static CheckReport Straight(
        HistoryReader reader, HistoryHeader header, ObjectTable objects, HistoryFileOptions options)
    {
        if (options.Workers > 1)
        {
            return Shared(RecordsOf(reader), () => reader.Truncated, header, objects, options);
        }

        var checker = new HistoryChecker(header, objects, options.ProbesRequired, options.OnFinding);
        while (reader.Read(out var record))
        {
            try
            {
                checker.Add(record);
            }
            catch (RecordOrderException e)
            {
                throw new HistoryFormatException(
                    reader.Line, $"the header says \"sorted\":\"object\", but {e.Message}");
            }
        }

        if (reader.Truncated)
        {
            checker.MarkIncomplete();
        }

        return checker.Finish();
    }

    private static CheckReport Sorted(
        HistoryReader reader, HistoryHeader header, ObjectTable objects, HistoryFileOptions options)
    {
        using var sorter = new HistorySorter(objects, options.RecordsInMemory);
        while (reader.Read(out var record))
        {
            sorter.Add(record);
        }

        header = header with { SortedByObject = true, Complete = header.Complete && !reader.Truncated };
        if (options.Workers > 1)
        {
            return Shared(sorter.Sorted(), () => false, header, objects, options);
        }

        var checker = new HistoryChecker(header, objects, options.ProbesRequired, options.OnFinding);
        foreach (var record in sorter.Sorted())
        {
            checker.Add(record);
        }

        return checker.Finish();
    }
}
