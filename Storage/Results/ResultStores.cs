using Fleet.Storage.Results.Embedded;
using Fleet.Storage.Results.Postgres;

namespace Fleet.Storage.Results;

/// <summary>Opens the store that an address names.</summary>
public static class ResultStores
{
    /// <summary>Opens a store; a PostgreSQL one is brought to the schema of this version first.</summary>
    /// <exception cref="StorageException">It cannot be reached, is of another version, or a right is
    /// missing.</exception>
    public static async Task<IResultStore> OpenAsync(StoreAddress address, CancellationToken ct) =>
        address.ConnectionString is { } connection
            ? await PostgresResultStore.OpenAsync(connection, address.Text, ct)
            : new DuckResultStore(address.Directory!);
}

internal static class RunName
{
    /// <exception cref="StorageException">It is no name for a run.</exception>
    public static string Check(string run) =>
        run.Length is > 0 and <= 100 && run[0] is not '.' && run.All(
            c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_')
            ? run
            : throw new StorageException(
                "The name of a run has 1 to 100 letters, digits, dashes, dots and underscores, "
                + "and does not start with a dot.");
}
