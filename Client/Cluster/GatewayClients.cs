using System.Collections.Concurrent;
using System.Net.Sockets;
using Fleet.Grains;
using Fleet.Silo.Cluster;
using Fleet.Silo.Tls;
using Fleet.Storage.Cluster;
using Orleans.Runtime;

namespace Fleet.Client.Cluster;

/// <summary>Clients whose only gateway is one silo's, for those silos on which devices live.</summary>
/// <remarks>
/// An Orleans client takes the gateway of a call by the hash of the grain's identity, so that with two silos half of
/// the calls arrive where their grain does not live, and hop. Where a device lives is asked for and may be wrong a
/// moment later: a call over another silo's gateway hops, and is answered as well. Concurrency: one caller;
/// <see cref="SiloOf"/> any thread.
/// </remarks>
/// <param name="first">Of the whole cluster: it finds another gateway when one is gone.</param>
/// <param name="keys">Of the fleet's devices, in its order.</param>
/// <param name="gateways">Asks which silos serve.</param>
public sealed class GatewayClients(
    IClusterClient first, string cluster, IReadOnlyList<string> keys, Func<Task<IReadOnlyList<SiloGateway>>> gateways)
    : IAsyncDisposable
{
    /// <summary>Each has connections, timers and caches of its own; devices of further silos keep to the first
    /// client.</summary>
    public const int ClientsMax = 8;

    private static readonly TimeSpan AskPatience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(10);

    /// <summary>Longer than Orleans waits for an answer: nobody waits for one through a client that ends.</summary>
    private static readonly TimeSpan EndsAfter = TimeSpan.FromSeconds(45);

    private readonly SiloDevices _devices = new(first, keys);
    private readonly ConcurrentDictionary<SiloAddress, GatewayClient> _clients = [];
    private readonly Queue<(GatewayClient Client, long Since)> _ending = [];
    private HashSet<SiloGateway> _silos = [];

    /// <summary>The silo whose gateway a client calls; null for the first client, which calls several.</summary>
    public SiloAddress? SiloOf(IGrainFactory client) =>
        _clients.FirstOrDefault(one => ReferenceEquals(one.Value.Grains, client)).Key;

    /// <summary>Looks which silos serve now.</summary>
    /// <returns>Null where they are the same as before; else the clients of those that are gone. They end some time
    /// later, when no call is under way any more.</returns>
    public async Task<IReadOnlyList<IGrainFactory>?> LookAsync()
    {
        while (_ending.TryPeek(out var oldest) && TimeProvider.System.GetElapsedTime(oldest.Since) > EndsAfter)
            await _ending.Dequeue().Client.DisposeAsync();

        var silos = (await gateways()).ToHashSet();
        if (silos.SetEquals(_silos))
            return null;

        _silos = silos;
        var gone = _clients.Where(one => !silos.Any(silo => silo.Silo.Equals(one.Key))).ToList();
        foreach (var (silo, client) in gone)
        {
            _clients.TryRemove(silo, out _);
            _ending.Enqueue((client, TimeProvider.System.GetTimestamp()));
        }

        return [.. gone.Select(one => one.Value.Grains)];
    }

    /// <summary>Asks the silos of the last look which devices live there, and connects to those that have
    /// any.</summary>
    /// <returns>The client for each device; null where no silo that answers has it, or it could not be connected
    /// to.</returns>
    public async Task<IReadOnlyList<IGrainFactory?>> ThroughAsync(CancellationToken ct)
    {
        var through = new IGrainFactory?[keys.Count];
        if (_silos.Count < 2)
        {
            Array.Fill(through, first);
            return through;
        }

        var found = await Task.WhenAll(_silos.Select(AskAsync));
        var missing = found.Where(one => one.Devices.Count > 0 && !_clients.ContainsKey(one.At.Silo)).ToList();
        var connected = await Task.WhenAll(
            missing.Take(ClientsMax - _clients.Count).Select(one => ConnectAsync(one.At, ct)));
        foreach (var (at, client) in connected)
        {
            if (client is not null)
                _clients[at.Silo] = client;
        }

        foreach (var (at, devices) in found)
        {
            var client = _clients.GetValueOrDefault(at.Silo)?.Grains ?? (_clients.Count < ClientsMax ? null : first);
            foreach (var device in devices)
                through[device] = client;
        }

        return through;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in _ending.Select(one => one.Client).Concat(_clients.Values))
            await client.DisposeAsync();
        _ending.Clear();
        _clients.Clear();
    }

    /// <remarks>Through the silo's own client where there is one: a way that is closed brings no answer.</remarks>
    private async Task<(SiloGateway At, IReadOnlyCollection<int> Devices)> AskAsync(SiloGateway at) => (
        at,
        await _devices.OnAsync(
            at.Silo.ToParsableString(), AskPatience, _clients.GetValueOrDefault(at.Silo)?.Grains));

    private async Task<(SiloGateway At, GatewayClient? Client)> ConnectAsync(SiloGateway at, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(ConnectPatience);
        try
        {
            return (at, await GatewayClient.ConnectAsync(cluster, at.Gateway, limit.Token));
        }
        catch (Exception e) when (e is SocketException or TlsFilesException || LostCall.Is(e, ct))
        {
            return (at, null); // Its devices are reached over other gateways, and asked for again.
        }
    }
}
