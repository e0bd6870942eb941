using Fleet.LoadTests.Scaling;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.LoadTests.Measuring;

/// <summary>A PostgreSQL of a benchmark's own, in a folder of its own that goes with it.</summary>
internal sealed class MeasuredDatabase : IAsyncDisposable
{
    private readonly PrivateServer _server;
    private readonly DirectoryInfo _folder;
    private readonly int _pid;

    private MeasuredDatabase(PrivateServer server, DirectoryInfo folder, PrivateServerStatus status, int pid) =>
        (_server, _folder, Status, _pid) = (server, folder, status, pid);

    public PrivateServerStatus Status { get; }

    public string Address => Status.Address;

    /// <summary>Where else a benchmark may put files; they go with the server.</summary>
    public string Folder => _folder.FullName;

    /// <summary>Of every process of the server, those that ended included.</summary>
    public double CpuSeconds => ProcessTree.Read(_pid, _ => true).CpuSeconds;

    /// <summary>Of all its files now; those that go meanwhile count as nothing.</summary>
    public long DiskBytes => new DirectoryInfo(Status.DataDirectory).EnumerateFiles(
        "*", new EnumerationOptions { RecurseSubdirectories = true }).Sum(file => file.Exists ? file.Length : 0);

    public int Pid => _pid;

    /// <summary>Starts a server whose tables are those of this version.</summary>
    public static async Task<MeasuredDatabase> StartAsync(string benchmark, CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory($"fleet-bench-{benchmark}-");
        File.SetUnixFileMode(folder.FullName, (UnixFileMode)0b111_101_101); // The server's own user enters it.
        var server = PrivateServer.In(Path.Combine(folder.FullName, "db"));
        try
        {
            var status = await server.UpAsync(ct);
            await using (await ResultStores.OpenAsync(StoreAddress.Parse(status.Address), ct))
            {
                // Opening brings the tables to this version, outside of what is measured.
            }

            return new(
                server, folder, status,
                await server.PidAsync(ct) ?? throw new InvalidOperationException("The server does not run."));
        }
        catch
        {
            await server.DownAsync(CancellationToken.None);
            folder.Delete(recursive: true);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DownAsync(CancellationToken.None);
        _folder.Delete(recursive: true);
    }
}
