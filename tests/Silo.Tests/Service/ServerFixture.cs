using Fleet.Storage.Server;

namespace Fleet.Silo.Tests.Service;

/// <summary>A server of our own for the tests of a class, and a directory beside it.</summary>
public sealed class ServerFixture : IAsyncLifetime
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("fleet-silo-service-");

    public PrivateServer Server { get; private set; } = null!;

    public string Store { get; private set; } = "";

    public string Folder => Path.Combine(_directory.FullName, "db");

    public string Place => _directory.FullName;

    public async Task InitializeAsync()
    {
        // The server's own user must be able to enter it.
        File.SetUnixFileMode(_directory.FullName, (UnixFileMode)0b111_101_101);
        if (PrivateServer.FindBinaries() is not null)
        {
            Server = PrivateServer.In(Folder);
            Store = (await Server.UpAsync(CancellationToken.None)).Address;
        }
    }

    public async Task DisposeAsync()
    {
        if (Server is not null)
        {
            await Server.DownAsync(CancellationToken.None);
        }

        _directory.Delete(recursive: true);
    }

    public string[] Options(string cluster, string name, params string[] further) =>
        ["--cluster", cluster, "--store", Store, "--name", name, .. further];
}
