using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Storage.Tests.Server;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PrivateServerTests(ServerFixture fixture)
{
    [StoreFact]
    public async Task It_runs_unprivileged_on_loopback_with_a_secret_of_mode_0600()
    {
        var status = await fixture.Server.StatusAsync(default);
        Assert.True(status.IsRunning);
        Assert.Contains("PostgreSQL", status.Version, StringComparison.Ordinal);
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite,
            File.GetUnixFileMode(Path.Combine(fixture.Directory, "pg", "pgpass")));
        var pid = await fixture.Server.PidAsync(default);
        var owner = File.ReadAllLines($"/proc/{pid}/status")
            .Single(l => l.StartsWith("Uid:", StringComparison.Ordinal));
        Assert.NotEqual("0", owner.Split('\t')[1]);
        var again = await fixture.Server.UpAsync(default);
        Assert.Equal(status, again);
    }

    [StoreFact]
    public async Task It_stops_and_starts_again_with_its_data()
    {
        using var folder = new Folder();
        File.SetUnixFileMode(folder.Path, (UnixFileMode)0b111_101_101);
        var server = PrivateServer.In(folder.In("pg"));
        try
        {
            var first = await server.UpAsync(default);
            await server.DownAsync(default);
            Assert.False((await server.StatusAsync(default)).IsRunning);
            var down = await Assert.ThrowsAsync<StorageException>(
                () => ResultStores.OpenAsync(StoreAddress.Parse(first.Address), default));
            Assert.EndsWith("`fleet db up` starts this private server.", down.Message, StringComparison.Ordinal);
            var second = await server.UpAsync(default);
            Assert.True(second.IsRunning);
            Assert.Equal(first.DataDirectory, second.DataDirectory);
        }
        finally
        {
            await server.DownAsync(default);
        }
    }

    [StoreFact]
    public async Task A_directory_without_a_server_gives_one_sentence()
    {
        using var folder = new Folder();
        var error = await Assert.ThrowsAsync<StorageException>(
            () => PrivateServer.In(folder.In("none")).StatusAsync(default));
        Assert.EndsWith("`fleet db up` makes one.", error.Message, StringComparison.Ordinal);
    }
}
