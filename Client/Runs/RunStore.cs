using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>Finds the store that the options name, and runs in it by what a person types.</summary>
public static class RunStore
{
    public const string DefaultDirectory = "./fleet-results";

    /// <summary>The word that means the newest run.</summary>
    public const string Last = "last";

    private const string FileSuffix = ".duckdb";

    /// <param name="store">A store's address; null for files.</param>
    /// <param name="results">Directory of files; null for <see cref="DefaultDirectory"/>.</param>
    /// <exception cref="UsageException">Both are given.</exception>
    public static StoreAddress AddressOf(string? store, string? results) => (store, results) switch
    {
        (not null, not null) =>
            throw new UsageException("--store and --results name two stores; accepted: one of them."),
        _ => StoreAddress.Parse(store ?? results ?? DefaultDirectory),
    };

    /// <summary>Opens a run: its name, the beginning of one, the path of its file, or <see cref="Last"/>.</summary>
    /// <exception cref="UsageException">No run is meant, or several.</exception>
    public static async Task<(IResultStore Store, IRunReader Reader)> OpenRunAsync(
        string reference, string? store, string? results, CancellationToken ct)
    {
        var isFile = reference.EndsWith(FileSuffix, StringComparison.Ordinal) && File.Exists(reference);
        var address = isFile
            ? StoreAddress.Parse(Path.GetDirectoryName(Path.GetFullPath(reference))!)
            : AddressOf(store, results);
        var opened = await ResultStores.OpenAsync(address, ct);
        try
        {
            var name = isFile
                ? Path.GetFileName(reference)[..^FileSuffix.Length]
                : await NameOfAsync(reference, opened, ct);
            return (opened, await opened.OpenRunAsync(name, ct));
        }
        catch
        {
            await opened.DisposeAsync();
            throw;
        }
    }

    /// <exception cref="UsageException">No run is meant, or several.</exception>
    public static async Task<string> NameOfAsync(string reference, IResultStore store, CancellationToken ct)
    {
        var runs = await store.ListRunsAsync(ct);
        if (reference == Last)
        {
            return runs.FirstOrDefault(run => run.State is RunState.Sealed)?.Info.Run
                ?? throw new UsageException(
                    $"There is no finished run in {store.Address}; accepted: a store with one.");
        }

        var named = runs.Where(run => run.Info.Run == reference).ToList();
        if (named.Count == 0)
            named = [.. runs.Where(run => run.Info.Run.StartsWith(reference, StringComparison.Ordinal))];
        return named switch
        {
            [var one] => one.Info.Run,
            [] => throw new UsageException(
                $"There is no run {ForeignText.Quote(reference)} in {store.Address}; accepted: {Known(runs)}."),
            _ => throw new UsageException(
                $"{ForeignText.Quote(reference)} is the beginning of {named.Count} runs; accepted: {Known(named)}."),
        };
    }

    private static string Known(IReadOnlyList<StoredRun> runs)
    {
        const int shownMax = 5;
        if (runs.Count == 0)
            return "a run, and there is none yet: fleet run makes one";

        var names = runs.Take(shownMax).Select(run => run.Info.Run);
        return $"{Last}, {string.Join(", ", names)}{(runs.Count > shownMax ? ", …" : "")}";
    }
}

/// <summary>One finding, as commands name it: <c>RUN#NUMBER</c>, <c>FILE#NUMBER</c>, or a number alone for the
/// newest run.</summary>
public sealed record FindingReference(string Run, int Number)
{
    /// <exception cref="UsageException">It names no finding.</exception>
    public static FindingReference Parse(string text)
    {
        var mark = text.LastIndexOf('#') is var hash and >= 0 ? hash : text.LastIndexOf('/');
        var number = text.AsSpan(mark + 1);
        return int.TryParse(number, System.Globalization.NumberStyles.None, null, out var value) && value > 0
            ? new(mark > 0 ? text[..mark] : RunStore.Last, value)
            : throw new UsageException(
                $"{ForeignText.Quote(text)} names no finding; accepted: RUN#NUMBER as fleet findings lists them, "
                + "FILE#NUMBER as fleet check --history does, or NUMBER for the newest run.");
    }

    public override string ToString() => $"{Run}#{Number}";
}
