using System.Net;
using System.Net.Sockets;
using Fleet.Client.Faults;

namespace Fleet.Client.Tests.Faults;

// Goal: what goes through a proxy arrives, waits or ends as it is told. Method: an echo behind it, real sockets.
[Trait("tier", "fast")]
public sealed class TcpProxyTests : IAsyncLifetime
{
    private readonly Socket _echo = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private TcpProxy _proxy = null!;
    private Task _serving = Task.CompletedTask;
    private int _process = 7;

    public Task InitializeAsync()
    {
        _echo.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _echo.Listen();
        _serving = ServeAsync();
        _proxy = TcpProxy.Start(new(IPAddress.Loopback, 0), _echo.LocalEndPoint!, _ => _process);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _proxy.DisposeAsync();
        _echo.Dispose();
        await _serving;
    }

    [Fact]
    public async Task What_is_sent_comes_back()
    {
        using var client = await ConnectAsync();

        Assert.Equal(42, await EchoAsync(client, 42));
    }

    [Fact]
    public async Task What_is_stalled_arrives_once_it_opens_again()
    {
        using var client = await ConnectAsync();
        Assert.Equal(1, await EchoAsync(client, 1));
        _proxy.Set(Passage.Stalled);

        var echo = EchoAsync(client, 2);
        Assert.False(echo.IsCompleted);
        _proxy.Set(Passage.Open);

        Assert.Equal(2, await echo);
    }

    [Fact]
    public async Task A_cut_ends_what_is_connected_and_refuses_what_connects()
    {
        using var before = await ConnectAsync();
        Assert.Equal(1, await EchoAsync(before, 1));
        _proxy.Set(Passage.Cut);

        Assert.Equal(-1, await EchoAsync(before, 2));
        using var during = await ConnectAsync();
        Assert.Equal(-1, await EchoAsync(during, 3));
        _proxy.Set(Passage.Open);
        using var after = await ConnectAsync();
        Assert.Equal(4, await EchoAsync(after, 4));
    }

    [Fact]
    public async Task One_process_is_cut_off_and_another_is_not()
    {
        using var struck = await ConnectAsync();
        Assert.Equal(1, await EchoAsync(struck, 1));
        _process = 8;
        using var other = await ConnectAsync();
        Assert.Equal(2, await EchoAsync(other, 2));

        _proxy.Set(process => process == 7 ? Passage.Cut : Passage.Open);

        Assert.Equal(-1, await EchoAsync(struck, 3));
        Assert.Equal(4, await EchoAsync(other, 4));
    }

    [Fact]
    public void A_port_of_ours_is_found_by_its_process()
    {
        var port = ((IPEndPoint)_echo.LocalEndPoint!).Port;

        Assert.Equal(Environment.ProcessId, LocalPorts.ProcessOf(port, [1, Environment.ProcessId]));
        Assert.Equal(0, LocalPorts.ProcessOf(port, []));
    }

    private async Task<Socket> ConnectAsync()
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(_proxy.Address);
        return client;
    }

    /// <returns>-1 when the connection ended instead.</returns>
    private static async Task<int> EchoAsync(Socket client, byte value)
    {
        var buffer = new byte[] { value };
        try
        {
            await client.SendAsync(buffer);
            return await client.ReceiveAsync(buffer) == 1 ? buffer[0] : -1;
        }
        catch (SocketException)
        {
            return -1;
        }
    }

    private async Task ServeAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true)
                connections.Add(EchoAsync(await _echo.AcceptAsync()));
        }
        catch (SocketException)
        {
            await Task.WhenAll(connections);
        }

        static async Task EchoAsync(Socket connection)
        {
            var buffer = new byte[64];
            try
            {
                for (int bytes; (bytes = await connection.ReceiveAsync(buffer)) > 0;)
                    await connection.SendAsync(buffer.AsMemory(0, bytes));
            }
            catch (SocketException)
            {
                return;
            }
            finally
            {
                connection.Dispose();
            }
        }
    }
}
