using System.Net.Sockets;
using Fleet.Storage.Results.Embedded;
using Fleet.Storage.Results.Postgres;
using Fleet.Storage.Server;
using Npgsql;

namespace Fleet.Storage.Results;

/// <summary>Opens the store that an address names.</summary>
public static class ResultStores
{
    /// <summary>Opens a store; a PostgreSQL one is brought to the schema of this version first.</summary>
    /// <exception cref="StorageException">It cannot be reached, is of another version, or a right is
    /// missing.</exception>
    public static async Task<IResultStore> OpenAsync(StoreAddress address, CancellationToken ct)
    {
        try
        {
            return address.ConnectionString is { } connection
                ? await PostgresResultStore.OpenAsync(connection, address.Text, ct)
                : new DuckResultStore(address.Directory!);
        }
        catch (StorageException e) when (
            e.InnerException is NpgsqlException { InnerException: SocketException }
            && PrivateServer.Behind(address) is not null)
        {
            throw new StorageException($"{e.Message}; `fleet db up` starts this private server.", e);
        }
    }
}

internal static class RunName
{
    /// <param name="what">What the name is of, for the sentence that refuses it.</param>
    /// <exception cref="StorageException">It is no such name.</exception>
    public static string Check(string run, string what = "run") =>
        run.Length is > 0 and <= 100 && run[0] is not '.' && run.All(
            c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_')
            ? run
            : throw new StorageException(
                $"The name of a {what} has 1 to 100 letters, digits, dashes, dots and underscores, "
                + "and does not start with a dot.");
}
