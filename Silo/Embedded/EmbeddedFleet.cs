using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Fleet.Silo;

/// <summary>One silo in this process, with a client that calls it without a network.</summary>
/// <remarks>
/// Its ports are on the loopback interface only, and free ones: any number of fleets may run side by side.
/// </remarks>
public sealed class EmbeddedFleet : IAsyncDisposable
{
    private const int PortAttemptsMax = 5;

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

    /// <summary>Starts the silo and waits until it serves.</summary>
    public static async Task<EmbeddedFleet> StartAsync(EmbeddedFleetOptions options, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            var log = new SiloLogGate();
            var ports = FreePorts();
            var host = SiloHost.Build(options, ports.Silo, ports.Gateway, log, new GuestLifetime());
            try
            {
                await host.StartAsync(ct);
                return new(host, log);
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

    /// <summary>Stops the silo at once: what had to last is in the log already.</summary>
    public async ValueTask DisposeAsync()
    {
        _log.IsStopping = true;

        // An expired token skips the graceful part: deactivating every device one by one would serve nobody.
        await _host.StopAsync(new CancellationToken(canceled: true));
        await DisposeAsync(_host);
    }

    private static async ValueTask DisposeAsync(IHost host)
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
