using System.Net;
using System.Net.Sockets;

namespace Fleet.Client.Faults;

/// <summary>Proxies in front of one silo process: others reach it through them, so that it can be cut off from some of
/// them.</summary>
/// <remarks>
/// The silo listens on 127.0.0.1 and says that it is at <see cref="Advertised"/>, where the proxies listen on the same
/// ports: Linux has the whole of 127/8 on loopback. Who connected is known by the port that it came from.
/// </remarks>
internal sealed class PeerProxies : IAsyncDisposable
{
    public static readonly IPAddress Advertised = IPAddress.Parse("127.0.0.2");

    private readonly TcpProxy _silo;
    private readonly TcpProxy _gateway;

    private PeerProxies(int siloPort, int gatewayPort, Func<int, int> processOf)
    {
        (SiloPort, GatewayPort) = (siloPort, gatewayPort);
        _silo = TcpProxy.Start(new(Advertised, siloPort), new IPEndPoint(IPAddress.Loopback, siloPort), processOf);
        _gateway = TcpProxy.Start(
            new(Advertised, gatewayPort), new IPEndPoint(IPAddress.Loopback, gatewayPort), processOf);
    }

    public int SiloPort { get; }

    public int GatewayPort { get; }

    /// <param name="processOf">Which process a local port belongs to, 0 for none of ours.</param>
    public static PeerProxies Start(Func<int, int> processOf)
    {
        using var first = Bound();
        using var second = Bound();
        return new(PortOf(first), PortOf(second), processOf);

        static Socket Bound()
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            return socket;
        }

        static int PortOf(Socket socket) => ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Stalls what these processes send to the silo, and what it answers them.</summary>
    public void CutOffFrom(IReadOnlySet<int> processes) =>
        _silo.Set(process => processes.Contains(process) ? Passage.Stalled : Passage.Open);

    /// <summary>Lets everybody through; what was stalled arrives now.</summary>
    public void Heal() => _silo.Set(Passage.Open);

    public async ValueTask DisposeAsync()
    {
        await _silo.DisposeAsync();
        await _gateway.DisposeAsync();
    }
}
