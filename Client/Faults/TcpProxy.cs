using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Fleet.Client.Faults;

/// <summary>How a proxy treats a connection at the moment.</summary>
internal enum Passage : byte
{
    Open,

    /// <summary>What is sent waits, as packets do that nobody acknowledges; nothing is lost when it opens
    /// again.</summary>
    Stalled,

    /// <summary>Connections end and new ones are refused.</summary>
    Cut,
}

/// <summary>A relay on loopback between one listener and one target, which can be slowed, stalled and cut without any
/// right on the machine.</summary>
/// <remarks>Concurrency: any thread changes how it treats connections; it holds for those that are open too.</remarks>
internal sealed class TcpProxy : IAsyncDisposable
{
    private const int ChunkBytes = 64 * 1024;

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(20);

    private readonly Socket _listener;
    private readonly EndPoint _target;
    private readonly CancellationTokenSource _over = new();
    private readonly ConcurrentDictionary<Relay, Task> _relays = new();
    private readonly Func<int, int>? _processOf;
    private readonly Task _accepting;
    private volatile Func<int, Passage> _passage = static _ => Passage.Open;
    private long _delayTicks;

    private TcpProxy(Socket listener, EndPoint target, Func<int, int>? processOf)
    {
        (_listener, _target, _processOf) = (listener, target, processOf);
        _accepting = Task.Run(AcceptAsync);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address => (IPEndPoint)_listener.LocalEndPoint!;

    /// <summary>How long each piece is held back, in both directions.</summary>
    public TimeSpan Delay
    {
        get => new(Interlocked.Read(ref _delayTicks));
        set => Interlocked.Exchange(ref _delayTicks, value.Ticks);
    }

    /// <param name="listen">Port 0 takes a free one.</param>
    /// <param name="processOf">Which process a local port belongs to, 0 for none known; null where nobody asks.</param>
    public static TcpProxy Start(IPEndPoint listen, EndPoint target, Func<int, int>? processOf = null)
    {
        var listener = new Socket(listen.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(listen);
        listener.Listen();
        return new(listener, target, processOf);
    }

    /// <summary>Treats every connection alike.</summary>
    public void Set(Passage passage) => Set(_ => passage);

    /// <param name="passageOf">By the process that connected, where it is known.</param>
    public void Set(Func<int, Passage> passageOf)
    {
        _passage = passageOf;
        foreach (var relay in _relays.Keys)
        {
            if (passageOf(relay.Process) is Passage.Cut)
                relay.End();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        _listener.Dispose();
        await _accepting;
        foreach (var relay in _relays.Keys)
            relay.End();
        await Task.WhenAll(_relays.Values);
        _over.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_over.IsCancellationRequested)
        {
            try
            {
                var from = await _listener.AcceptAsync(_over.Token);
                var relay = new Relay(from, _processOf?.Invoke(((IPEndPoint)from.RemoteEndPoint!).Port) ?? 0);
                if (_passage(relay.Process) is Passage.Cut)
                    relay.End();
                else
                    _relays[relay] = RelayAsync(relay);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                continue; // Over, or who connected is gone already.
            }
        }
    }

    private async Task RelayAsync(Relay relay)
    {
        await Task.Yield();
        try
        {
            await relay.To.ConnectAsync(_target, _over.Token);
            await Task.WhenAny(
                PumpAsync(relay, relay.From, relay.To), PumpAsync(relay, relay.To, relay.From));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            return; // The target is not there: who connected sees an end.
        }
        finally
        {
            relay.End();
            _relays.TryRemove(relay, out _);
        }
    }

    private async Task PumpAsync(Relay relay, Socket from, Socket to)
    {
        var buffer = new byte[ChunkBytes];
        try
        {
            for (int bytes; (bytes = await from.ReceiveAsync(buffer, _over.Token)) > 0;)
            {
                if (Delay is { Ticks: > 0 } delay)
                    await Task.Delay(delay, _over.Token);
                while (_passage(relay.Process) is Passage.Stalled)
                    await Task.Delay(Look, _over.Token);
                for (var left = buffer.AsMemory(0, bytes); left.Length > 0;)
                    left = left[await to.SendAsync(left, _over.Token)..];
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            return; // One side ended; the other one is ended with it.
        }
    }

    /// <param name="process">That connected; 0 where nobody knows.</param>
    private sealed class Relay(Socket from, int process)
    {
        public Socket From => from;

        public int Process => process;

        public Socket To { get; } = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

        public void End()
        {
            from.Dispose();
            To.Dispose();
        }
    }
}
