using System.Globalization;
using System.Net;
using Fleet.Storage.Results;

// CA1416: file modes exist on Unix only; so does the private server that a proxy stands before.
#pragma warning disable CA1416

namespace Fleet.Client.Faults;

/// <summary>A proxy between each silo and the private server, so that a silo's database can be slow or away for it
/// alone.</summary>
/// <remarks>
/// The server's passwords are found by its port, so each proxy has a password file of its own, readable by its owner
/// and removed at the end.
/// </remarks>
internal sealed class StoreProxies : IAsyncDisposable
{
    private const string PassFileOption = "passfile=";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("fleet-store-");
    private readonly Dictionary<int, TcpProxy> _proxies = [];
    private readonly Uri _store;
    private readonly string _passFile;

    /// <param name="store">Of a private server.</param>
    public StoreProxies(StoreAddress store)
    {
        _store = new(store.Unredacted);
        _passFile = Uri.UnescapeDataString(
            _store.Query.TrimStart('?').Split('&')
                .First(option => option.StartsWith(PassFileOption, StringComparison.Ordinal))[PassFileOption.Length..]);
    }

    /// <summary>The proxy of a silo's place.</summary>
    public TcpProxy this[int silo] => _proxies[silo];

    /// <summary>Returns the store's address as the silo is to use it.</summary>
    public string AddressFor(int silo)
    {
        if (!_proxies.TryGetValue(silo, out var proxy))
        {
            proxy = TcpProxy.Start(new(IPAddress.Loopback, 0), new IPEndPoint(IPAddress.Loopback, _store.Port));
            _proxies.Add(silo, proxy);
            WritePassFile(PassFileOf(silo), proxy.Address.Port);
        }

        var port = proxy.Address.Port.ToString(CultureInfo.InvariantCulture);
        return $"postgres://{_store.UserInfo}@127.0.0.1:{port}{_store.AbsolutePath}"
            + $"?passfile={Uri.EscapeDataString(PassFileOf(silo))}";
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in _proxies.Values)
            await proxy.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private string PassFileOf(int silo) => Path.Combine(_directory.FullName, $"pgpass-{silo}");

    private void WritePassFile(string path, int port)
    {
        using var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        using var writer = new StreamWriter(file);
        foreach (var line in File.ReadLines(_passFile))
        {
            var fields = line.Split(':', 3); // Host, port, and what is secret.
            writer.WriteLine($"{fields[0]}:{port}:{fields[2]}");
        }
    }
}
