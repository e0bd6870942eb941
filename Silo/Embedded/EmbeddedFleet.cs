using System.Net;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Fleet.Silo;

/// <summary>One silo in this process, with a client that calls it without a network.</summary>
/// <remarks>
/// Its ports are on the loopback interface only, and free ones: any number of fleets may run side by side.
/// </remarks>
public sealed class EmbeddedFleet : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly SiloLogGate _log;

    private EmbeddedFleet(IHost host, SiloLogGate log)
    {
        _host = host;
        _log = log;
        Grains = host.Services.GetRequiredService<IClusterClient>();
    }

    /// <summary>The way to the fleet's grains.</summary>
    public IClusterClient Grains { get; }

    /// <summary>Where other silos of the run find this one.</summary>
    public IPEndPoint SiloEndpoint => new(IPAddress.Loopback, Endpoints.SiloPort);

    /// <summary>Where clients of other processes find it.</summary>
    public IPEndPoint GatewayEndpoint => new(IPAddress.Loopback, Endpoints.GatewayPort);

    private EndpointOptions Endpoints => _host.Services.GetRequiredService<IOptions<EndpointOptions>>().Value;

    /// <summary>Starts the silo and waits until it serves.</summary>
    public static async Task<EmbeddedFleet> StartAsync(EmbeddedFleetOptions options, CancellationToken ct)
    {
        var log = new SiloLogGate();
        var host = await SiloHost.StartAsync(
            log,
            (silo, siloPort, gatewayPort) =>
            {
                silo.UseLocalhostClustering(siloPort, gatewayPort, options.FirstSilo, options.Run, options.Run);
                silo.AddMemoryGrainStorage(SiloSetup.Storage);
                silo.AddFleet(options);
            },
            new SiloSettings(), ct);
        return new(host, log);
    }

    /// <summary>Stops the silo at once: what had to last is in the log already.</summary>
    public async ValueTask DisposeAsync()
    {
        _log.IsStopping = true;

        // An expired token skips the graceful part: deactivating every device one by one would serve nobody.
        await SiloHost.EndAsync(_host);
    }
}
