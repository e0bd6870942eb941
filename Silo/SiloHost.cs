using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Orleans.Configuration;

namespace Fleet.Silo;

/// <summary>Starts one silo on loopback.</summary>
internal static class SiloHost
{
    private const int PortAttemptsMax = 5;

    /// <param name="clustering">How the silo finds the others: builder, silo port, gateway port.</param>
    /// <param name="ports">Each 0 for a free one.</param>
    /// <param name="lifetime">Who hears of signals.</param>
    public static async Task<IHost> StartAsync(
        EmbeddedFleetOptions options, SiloLogGate log, Action<ISiloBuilder, int, int> clustering,
        (int Silo, int Gateway) ports, IHostLifetime lifetime, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            var free = FreePorts();
            var host = Build(
                options, log,
                silo => clustering(
                    silo, ports.Silo == 0 ? free.Silo : ports.Silo, ports.Gateway == 0 ? free.Gateway : ports.Gateway),
                lifetime);
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
            catch
            {
                await DisposeAsync(host);
                throw;
            }
        }
    }

    /// <summary>Endpoints on the loopback interface only, in a cluster of a name.</summary>
    public static void UseLoopback(this ISiloBuilder silo, string cluster, int siloPort, int gatewayPort)
    {
        silo.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, cluster));
        silo.Configure<EndpointOptions>(options =>
        {
            options.AdvertisedIPAddress = IPAddress.Loopback;
            options.SiloPort = siloPort;
            options.GatewayPort = gatewayPort;
            options.SiloListeningEndpoint = new(IPAddress.Loopback, siloPort);
            options.GatewayListeningEndpoint = new(IPAddress.Loopback, gatewayPort);
        });
    }

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
    public static HostApplicationBuilder QuietBuilder(SiloLogGate log)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Logging.AddFilter((category, level) => log.Lets(category, level));
        builder.Services.Configure<ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        return builder;
    }

    private static IHost Build(
        EmbeddedFleetOptions options, SiloLogGate log, Action<ISiloBuilder> clustering, IHostLifetime lifetime)
    {
        var builder = QuietBuilder(log);
        builder.UseOrleans(silo =>
        {
            clustering(silo);
            silo.AddFleet(options);
        });
        builder.Services.AddSingleton(lifetime);
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

/// <summary>
/// Keeps what is no news out of the log: retries, advice for servers, and the noise of an immediate stop.
/// </summary>
internal sealed class SiloLogGate
{
    public bool IsStopping { get; set; }

    public bool Lets(string? category, LogLevel level) => category switch
    {
        _ when IsStopping => level >= LogLevel.Critical,
        "Polly" or "Orleans.Runtime.Silo" or "Orleans.Runtime.Watchdog" => level >= LogLevel.Error,

        // A database that is away for a while is tried again; who cares asks the database.
        _ when category?.StartsWith("Orleans.Runtime.MembershipService", StringComparison.Ordinal) is true =>
            level >= LogLevel.Error,
        _ => level >= LogLevel.Warning,
    };
}
