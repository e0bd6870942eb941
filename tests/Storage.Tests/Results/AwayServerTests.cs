using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

// Goal: a server that starts, or is gone, is no defect of Fleet: it is waited for, or named in one sentence.
[NeedsServer]
[Trait("tier", "pg")]
public sealed class AwayServerTests
{
    [StoreFact]
    public async Task What_a_server_that_is_gone_is_asked_is_refused_in_a_sentence_and_what_belongs_to_a_run_waits()
    {
        await using var own = await OwnServer.StartAsync();
        await using var store = await ResultStores.OpenAsync(own.Address, default);
        await using var writer = await store.CreateRunAsync(new RunInfo("away"), Samples.Objects(), default);
        await writer.AddProcessAsync(new(1, "p", "c", "h", 1), default);
        Assert.True(await own.Server.KillAsync(default));

        foreach (var ask in (Func<Task>[])[
            () => store.CreateRunAsync(new RunInfo("other"), Samples.Objects(), default),
            () => store.ResumeRunAsync("away", default),
            () => store.OpenRunAsync("away", default),
            () => store.ListRunsAsync(default),
            () => store.DropRunAsync("away", default),
        ])
        {
            var refused = await Assert.ThrowsAsync<StorageException>(ask);
            Assert.StartsWith($"The store {own.Address.Text} ", refused.Message, StringComparison.Ordinal);
        }

        await Assert.ThrowsAsync<StoreLostException>(() => writer.Reader.StreamUnplacedAsync(new Collected(), default));
        var processes = writer.Reader.ProcessesAsync(default);
        Assert.False(processes.IsFaulted);
        await own.Server.UpAsync(default);
        Assert.Equal("p", Assert.Single(await processes.WaitAsync(TimeSpan.FromMinutes(5))).Name);
    }

    // Method: the first connections are answered as a server answers that recovers; later ones reach the real one.
    [StoreFact]
    public async Task A_server_that_is_starting_is_waited_for()
    {
        await using var own = await OwnServer.StartAsync();
        var owner = (await File.ReadAllLinesAsync(Path.Combine(own.Directory, "pgpass")))
            .Select(line => line.Split(':')).Single(parts => parts[3] == "fleet_owner");
        await using var starting = new StartingServer(
            int.Parse(owner[1], System.Globalization.CultureInfo.InvariantCulture), refusals: 2);
        await using var store = await ResultStores.OpenAsync(
            StoreAddress.Parse($"postgres://fleet_owner:{owner[4]}@127.0.0.1:{starting.Port}/fleet"), default);
        Assert.Empty(await store.ListRunsAsync(default));
        Assert.True(starting.Connections > 2);
    }

    /// <summary>Says to its first visitors that it is starting, and leads all others to the server behind it.</summary>
    private sealed class StartingServer : IAsyncDisposable
    {
        private const int RequestSsl = 80877103;
        private const int RequestGss = 80877104;

        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly int _portBehind;
        private readonly int _refusals;
        private readonly List<TcpClient> _visitors = [];
        private readonly List<Task> _visits = [];
        private readonly Task _accepting;
        private int _connections;

        public StartingServer(int portBehind, int refusals)
        {
            (_portBehind, _refusals) = (portBehind, refusals);
            _listener.Start();
            _accepting = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int Connections => Volatile.Read(ref _connections);

        public async ValueTask DisposeAsync()
        {
            _listener.Stop();
            await _accepting;
            foreach (var visitor in _visitors)
            {
                visitor.Dispose();
            }

            await Task.WhenAll(_visits);
        }

        private async Task AcceptAsync()
        {
            while (true)
            {
                TcpClient visitor;
                try
                {
                    visitor = await _listener.AcceptTcpClientAsync();
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    return; // Stopped.
                }

                _visitors.Add(visitor);
                _visits.Add(Interlocked.Increment(ref _connections) <= _refusals
                    ? RefuseAsync(visitor)
                    : LeadAsync(visitor));
            }
        }

        private static async Task RefuseAsync(TcpClient visitor)
        {
            using (visitor)
            {
                try
                {
                    await SayStartingAsync(visitor.GetStream());
                }
                catch (IOException)
                {
                    return; // It did not wait for the answer.
                }
            }
        }

        private static async Task SayStartingAsync(NetworkStream stream)
        {
            var head = new byte[8];
            await stream.ReadExactlyAsync(head);
            while (BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(4)) is RequestSsl or RequestGss)
            {
                await stream.WriteAsync("N"u8.ToArray());
                await stream.ReadExactlyAsync(head);
            }

            await stream.ReadExactlyAsync(new byte[BinaryPrimitives.ReadInt32BigEndian(head) - head.Length]);
            var fields = Encoding.ASCII.GetBytes(
                "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0");
            var answer = new byte[5 + fields.Length];
            answer[0] = (byte)'E';
            BinaryPrimitives.WriteInt32BigEndian(answer.AsSpan(1), 4 + fields.Length);
            fields.CopyTo(answer, 5);
            await stream.WriteAsync(answer);
        }

        private async Task LeadAsync(TcpClient visitor)
        {
            using (visitor)
            {
                using var behind = new TcpClient();
                await behind.ConnectAsync(IPAddress.Loopback, _portBehind);
                await Task.WhenAny(
                    visitor.GetStream().CopyToAsync(behind.GetStream()),
                    behind.GetStream().CopyToAsync(visitor.GetStream()));
            }
        }
    }
}
