using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Results;

namespace Fleet.Silo;

/// <summary>
/// A silo of its own: <c>--cluster NAME --store URL</c>. It waits until somebody drives a run on the cluster
/// (<c>fleet run --cluster NAME --store URL</c>), serves it on loopback, and ends with it.
/// </summary>
internal static class Program
{
    private const int Usage = 64;

    private static async Task<int> Main(string[] args)
    {
        if (!SiloArguments.TryParse(args, out var arguments, out var wrong))
        {
            await Console.Error.WriteLineAsync(wrong);
            return Usage;
        }

        try
        {
            var address = arguments.Store ?? Environment.GetEnvironmentVariable(SiloArguments.StoreVariable)
                ?? throw new StorageException(
                    $"A silo needs a store; accepted are --store URL and the variable {SiloArguments.StoreVariable}.");
            await ClusterSilo.ServeAsync(arguments, StoreAddress.Parse(address), Console.Error);
            return 0;
        }
        catch (StorageException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return Usage;
        }
    }
}
