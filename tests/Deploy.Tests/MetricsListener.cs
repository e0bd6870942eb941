using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Fleet.Deploy.Tests;

/// <summary>Stands where a collector stands, and keeps the names of the metrics that are sent to it.</summary>
/// <remarks>Names are read as text out of the binary messages: good enough to tell that one is there.</remarks>
internal sealed partial class MetricsListener : IAsyncDisposable
{
    private readonly HttpListener _listener = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _more = new(0);
    private readonly Task _serving;

    public MetricsListener()
    {
        Address = $"http://127.0.0.1:{FreePort()}";
        _listener.Prefixes.Add(Address + "/");
        _listener.Start();
        _serving = ServeAsync();
    }

    public string Address { get; }

    public IReadOnlyList<string> Names()
    {
        lock (_gate)
        {
            return [.. _names];
        }
    }

    public async Task SeenAsync(string name, TimeSpan patience)
    {
        using var over = new CancellationTokenSource(patience);
        while (!Names().Contains(name))
        {
            await _more.WaitAsync(over.Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        await _serving;
        _listener.Close();
        _more.Dispose();
    }

    private async Task ServeAsync()
    {
        while (_listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }

            using var body = new MemoryStream();
            await context.Request.InputStream.CopyToAsync(body);
            if (context.Request.Url!.AbsolutePath.EndsWith("/v1/metrics", StringComparison.Ordinal))
            {
                lock (_gate)
                {
                    _names.UnionWith(
                        Name().Matches(Encoding.Latin1.GetString(body.ToArray())).Select(match => match.Value));
                }

                _more.Release();
            }

            context.Response.Close();
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [GeneratedRegex(@"(fleet\.|orleans-|dotnet\.)[a-z0-9_.-]+")]
    private static partial Regex Name();
}
