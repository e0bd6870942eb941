using System.Net;
using Fleet.Silo.Service;
using Fleet.Silo.Tls;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Hosting;

namespace Fleet.Silo.Cluster;

/// <summary>A further client of a cluster whose only gateway is one silo's: what lives there is called without a
/// hop.</summary>
/// <remarks>It finds no other gateway: once its silo is gone each call through it is lost.</remarks>
public sealed class GatewayClient : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly SiloLogGate _log;

    private GatewayClient(IHost host, SiloLogGate log)
    {
        (_host, _log) = (host, log);
        Grains = host.Services.GetRequiredService<IClusterClient>();
    }

    public IClusterClient Grains { get; }

    /// <exception cref="OrleansException">The gateway does not let this process in.</exception>
    /// <exception cref="OperationCanceledException">Orleans goes on trying until then.</exception>
    public static async Task<GatewayClient> ConnectAsync(string cluster, IPEndPoint gateway, CancellationToken ct)
    {
        // Whoever calls through it has another way: what befalls this one is no news.
        var log = new SiloLogGate { IsCaller = true, Least = LogLevel.Error };
        var host = ClusterFleet.Build(
            cluster, TlsFiles.FromEnvironment(), log, client => client.UseStaticClustering(gateway));
        try
        {
            await host.StartAsync(ct);
            return new(host, log);
        }
        catch
        {
            log.IsStopping = true;
            await SiloHost.DisposeAsync(host);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _log.IsStopping = true;
        await SiloHost.EndAsync(_host);
    }
}
