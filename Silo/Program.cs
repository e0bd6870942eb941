using System.Globalization;
using Fleet.Kernel.History;
using Fleet.Storage;
using Fleet.Storage.Spool;
using Microsoft.Extensions.Hosting;

namespace Fleet.Silo;

/// <summary>
/// A silo of its own: <c>--cluster NAME --spool DIR [--silo-port N] [--gateway-port N]</c>, on loopback, until it is
/// told to stop.
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
            var objects = new ObjectTable();
            using var spool = SpoolWriter.Create(
                new SpoolOptions(arguments.Spool, arguments.Cluster, 1, "silo-1", SpoolOptions.MonotonicClock()),
                objects);
            using var host = SiloHost.Build(
                new EmbeddedFleetOptions { Run = arguments.Cluster, Objects = objects, Log = new SpoolLog(spool) },
                arguments.SiloPort, arguments.GatewayPort, new SiloLogGate());
            await host.StartAsync();
            await Console.Error.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"silo of cluster {arguments.Cluster}: gateway 127.0.0.1:{arguments.GatewayPort}"));
            await host.WaitForShutdownAsync();
            return 0;
        }
        catch (StorageException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return Usage;
        }
    }
}
