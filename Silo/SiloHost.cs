using System.Net;
using System.Net.Sockets;
using Fleet.Silo.Dashboard;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Fleet.Silo;

/// <summary>Starts one silo, on loopback unless told otherwise.</summary>
internal static class SiloHost
{
    private const int PortAttemptsMax = 5;

    /// <param name="configure">What the silo is, and how it finds the others: builder, silo port, gateway
    /// port.</param>
    /// <param name="settings">Ports, each 0 for a free one, and who may see the dashboard.</param>
    public static async Task<IHost> StartAsync(
        SiloLogGate log, Action<ISiloBuilder, int, int> configure, SiloSettings settings, CancellationToken ct)
    {
        var ports = (Silo: settings.SiloPort, Gateway: settings.GatewayPort);
        for (var attempt = 1; ; attempt++)
        {
            var free = FreePorts();
            var host = Build(
                log,
                silo => configure(
                    silo, ports.Silo == 0 ? free.Silo : ports.Silo, ports.Gateway == 0 ? free.Gateway : ports.Gateway),
                settings);
            try
            {
                await host.StartAsync(ct);
                return host;
            }
            catch (Exception e) when (attempt < PortAttemptsMax && IsAddressInUse(e))
            {
                // Another process took the port between its choice and its use.
                await DisposeAsync(host);
            }
            catch (Exception e) when (settings is not { SiloPort: 0, GatewayPort: 0 } && IsAddressInUse(e))
            {
                await DisposeAsync(host);
                throw new SiloConfigurationException(
                    $"--silo-port {settings.SiloPort}, --gateway-port {settings.GatewayPort} or --dashboard-port "
                    + $"{settings.DashboardPort} is in use on {settings.Listen}; accepted: ports that are free.");
            }
            catch
            {
                await DisposeAsync(host);
                throw;
            }
        }
    }

    /// <summary>Endpoints where the settings want them, in a cluster of a name.</summary>
    public static void UseEndpoints(
        this ISiloBuilder silo, string cluster, SiloSettings settings, int siloPort, int gatewayPort)
    {
        silo.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, cluster));
        silo.Configure<EndpointOptions>(options =>
        {
            options.AdvertisedIPAddress = settings.Advertise ?? settings.Listen;
            options.SiloPort = siloPort;
            options.GatewayPort = gatewayPort;
            options.SiloListeningEndpoint = new(settings.Listen, siloPort);
            options.GatewayListeningEndpoint = new(settings.Listen, gatewayPort);
        });
    }

    /// <summary>Ends a host at once: the graceful part would serve nobody.</summary>
    /// <remarks>What Orleans then says of messages and connections that were cut short is nobody's error.</remarks>
    public static async ValueTask EndAsync(IHost host)
    {
        try
        {
            await host.StopAsync(new CancellationToken(canceled: true));
        }
        catch (Exception e) when (IsCutShort(e))
        {
            await DisposeAsync(host);
            return;
        }

        await DisposeAsync(host);
    }

    private static bool IsCutShort(Exception e) => e switch
    {
        AggregateException several => several.InnerExceptions.All(IsCutShort),
        _ => e is OperationCanceledException or OrleansException or TimeoutException or ObjectDisposedException
            or SocketException,
    };

    public static async ValueTask DisposeAsync(IHost host)
    {
        if (host is IAsyncDisposable disposable)
        {
            await disposable.DisposeAsync();
        }
        else
        {
            host.Dispose();
        }
    }

    /// <summary>A host that says nothing on standard output, which may be promised to carry one JSON object.</summary>
    public static HostApplicationBuilder QuietBuilder(SiloLogGate log, LogForm form = LogForm.Text)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        SiloLog.Configure(builder.Logging, form, log);
        builder.Services.AddSingleton<IHostLifetime, GuestLifetime>();
        return builder;
    }

    private static IHost Build(SiloLogGate log, Action<ISiloBuilder> configure, SiloSettings settings)
    {
        if (settings.DashboardPort is not null)
        {
            return DashboardHost.Build(log, configure, settings);
        }

        var builder = QuietBuilder(log, settings.LogForm);
        builder.UseOrleans(configure);
        return builder.Build();
    }

    private static (int Silo, int Gateway) FreePorts()
    {
        using var first = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        using var second = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        first.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        second.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return (((IPEndPoint)first.LocalEndPoint!).Port, ((IPEndPoint)second.LocalEndPoint!).Port);
    }

    private static bool IsAddressInUse(Exception e)
    {
        for (var cause = e; cause is not null; cause = cause.InnerException)
        {
            if (cause is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>Of a silo within another program: signals are that program's.</summary>
internal sealed class GuestLifetime : IHostLifetime
{
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
