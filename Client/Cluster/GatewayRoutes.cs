using Fleet.Client.Load;
using Fleet.Silo.Cluster;

namespace Fleet.Client.Cluster;

/// <summary>Keeps each device of a load on the way over the gateway of the silo where it lives.</summary>
/// <remarks>
/// Silos are looked at as often as the first client does. Devices are asked for where those changed, and where answers
/// were lost or a device was nowhere, then each time twice as long after the last time. Nothing waits for it but its
/// start, which gives up after seconds.
/// </remarks>
internal sealed class GatewayRoutes : IAsyncDisposable
{
    private static readonly TimeSpan PauseMin = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(64);

    private readonly CancellationTokenSource _over = new();
    private readonly GatewayClients _clients;
    private readonly GrainFleetPort _port;
    private Task _watching = Task.CompletedTask;
    private TimeSpan _pause;
    private long _askedAt;
    private bool _isAstray;

    private GatewayRoutes(GatewayClients clients, GrainFleetPort port) => (_clients, _port) = (clients, port);

    /// <summary>Routes every device that is found, and keeps to it until disposed.</summary>
    /// <param name="look">How often it looks which silos serve.</param>
    public static async Task<GatewayRoutes> StartAsync(
        ClusterFleet fleet, GrainFleetPort port, LoadFleet devices, TimeSpan look, CancellationToken ct)
    {
        var routes = new GatewayRoutes(
            new(fleet.Grains, fleet.Name, [.. devices.Devices.Select(one => one.Key)], fleet.GatewaysAsync), port);
        try
        {
            await routes.LookAsync(ct);
            routes._watching = routes.WatchAsync(look);
            return routes;
        }
        catch
        {
            await routes.DisposeAsync();
            throw;
        }
    }

    /// <summary>The silo whose gateway a device is called through; null for whichever the first client takes.</summary>
    public string? SiloOf(int device) => _clients.SiloOf(_port.Through(device))?.ToParsableString();

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _watching;
        await _clients.DisposeAsync();
        _over.Dispose();
    }

    private async Task WatchAsync(TimeSpan look)
    {
        using var timer = new PeriodicTimer(look);
        try
        {
            while (await timer.WaitForNextTickAsync(_over.Token))
                await LookAsync(_over.Token);
        }
        catch (OperationCanceledException) when (_over.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task LookAsync(CancellationToken ct)
    {
        if (await _clients.LookAsync() is { } gone)
        {
            foreach (var client in gone)
                _port.TakeBack(client);
            _pause = PauseMin;
        }
        else if ((_isAstray |= _port.WasTakenBack()) && TimeProvider.System.GetElapsedTime(_askedAt) >= _pause)
        {
            _pause = _pause * 2 < PauseMax ? _pause * 2 : PauseMax;
        }
        else
        {
            return;
        }

        _isAstray = false;
        var through = await _clients.ThroughAsync(ct);
        for (var device = 0; device < through.Count; device++)
        {
            if (through[device] is { } client)
                _port.Route(device, client);
            else
                _isAstray = true;
        }

        _askedAt = TimeProvider.System.GetTimestamp();
    }
}
