using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Fleet.Silo.Tls;
using Fleet.Storage;

namespace Fleet.Silo;

/// <summary>
/// A silo of its own: <c>--cluster NAME --store URL</c>. It waits until somebody drives a run on the cluster
/// (<c>fleet run --cluster NAME --store URL</c>), serves it, and waits for the next.
/// </summary>
internal static class Program
{
    private const int Infrastructure = 4;
    private const int Usage = 64;

    private static async Task<int> Main(string[] args)
    {
        if (args.Any(one => one is "--help" or "-h" or "-?"))
        {
            await Console.Out.WriteAsync(SiloOptionTable.ToHelp());
            return 0;
        }

        try
        {
            await SiloService.RunAsync(SiloConfiguration.Read(args, Environment.GetEnvironmentVariable));
            return 0;
        }
        catch (Exception e) when (e is SiloConfigurationException or StorageException or TlsFilesException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return Usage;
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or OrleansException
            or TimeoutException or OperationCanceledException)
        {
            await Console.Error.WriteLineAsync($"The silo cannot go on: {e.Message}");
            return Infrastructure;
        }
    }
}
