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
}

/// <summary>Judges a history file, whatever its length and order.</summary>
public static class HistoryFile
{
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="HistoryFormatException">A line is malformed; there is no verdict.</exception>
    public static (HistoryHeader Header, CheckReport Report) Check(
        string path, ObjectTable objects, HistoryFileOptions options) =>
        Check(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan),
            objects, options);

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

    private static CheckReport Straight(
        HistoryReader reader, HistoryHeader header, ObjectTable objects, HistoryFileOptions options)
    {
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
        var checker = new HistoryChecker(header, objects, options.ProbesRequired, options.OnFinding);
        foreach (var record in sorter.Sorted())
        {
            checker.Add(record);
        }

        return checker.Finish();
    }
}
