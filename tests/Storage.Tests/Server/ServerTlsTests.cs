using System.Diagnostics;
using Fleet.Storage.Results;
using Fleet.Storage.Server;
using Fleet.Tests;
using Npgsql;

namespace Fleet.Storage.Tests.Server;

/// <summary>A server that lets in who shows a certificate of its authority, over TLS and not otherwise.</summary>
[NeedsServer]
[Trait("tier", "pg")]
public sealed class ServerTlsTests(ServerTlsTests.TlsServer server) : IClassFixture<ServerTlsTests.TlsServer>
{
    [StoreFact]
    public async Task Both_sides_show_certificates_and_the_connection_is_encrypted()
    {
        var address = StoreAddress.Parse(server.Address("verify-full", server.Ca, server.Cert, server.Key));
        await using var store = await ResultStores.OpenAsync(address, default);
        Assert.Empty(await store.ListRunsAsync(default));
        await using var source = NpgsqlDataSource.Create(address.ConnectionString!);
        await using var command = source.CreateCommand(
            "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        await using var row = await command.ExecuteReaderAsync();
        Assert.True(await row.ReadAsync());
        Assert.True(row.GetBoolean(0));
        Assert.Equal("/CN=fleet_owner", row.GetString(1));
    }

    [StoreTheory]
    [InlineData("disable", "ca", "own", "no encryption")]
    [InlineData("verify-full", "stranger", "own", "certificate was rejected")]
    [InlineData("verify-full", "ca", "none", "requires a valid client certificate")]
    [InlineData("verify-full", "ca", "stranger", "cannot be reached")] // TLS 1.3: an alert after the handshake.
    [InlineData("verify-full", "missing", "own", "/no/such/authority.pem")]
    [InlineData("verify-full", "ca", "missing", "/no/such/file.crt")]
    [InlineData("verify-full", "garbage", "own", "cannot be reached")]
    [InlineData("verify-full", "ca", "garbage", "names a certificate that cannot be used")]
    public async Task Whoever_is_not_believed_gets_one_sentence(
        string mode, string authority, string shown, string expected)
    {
        var (cert, key) = shown switch
        {
            "own" => (server.Cert, server.Key),
            "stranger" => (server.StrangerCert, server.StrangerKey),
            "none" => (null, null),
            "garbage" => (server.Garbage, server.Garbage),
            _ => ("/no/such/file.crt", "/no/such/file.key"),
        };
        var ca = authority switch
        {
            "ca" => server.Ca,
            "stranger" => server.StrangerCa,
            "garbage" => server.Garbage,
            _ => "/no/such/authority.pem",
        };
        var error = await Assert.ThrowsAsync<StorageException>(
            () => ResultStores.OpenAsync(StoreAddress.Parse(server.Address(mode, ca, cert, key)), default));
        Assert.DoesNotContain('\n', error.Message);
        Assert.Contains("/fleet?", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [StoreFact]
    public async Task A_server_of_another_name_is_refused()
    {
        var address = server.Address("verify-full", server.Ca, server.Cert, server.Key)
            .Replace("@127.0.0.1:", "@localhost:", StringComparison.Ordinal);
        var error = await Assert.ThrowsAsync<StorageException>(
            () => ResultStores.OpenAsync(StoreAddress.Parse(address), default));
        Assert.Contains("@localhost:", error.Message, StringComparison.Ordinal);
    }

    /// <summary>A private server with a certificate for <c>database</c> and the loopback address.</summary>
    public sealed class TlsServer : IAsyncLifetime
    {
        private readonly Folder _folder = new();
        private PrivateServer? _server;
        private string _address = "";

        public string Ca { get; private set; } = "";

        public string Cert { get; private set; } = "";

        public string Key { get; private set; } = "";

        public string StrangerCa { get; private set; } = "";

        public string StrangerCert { get; private set; } = "";

        public string StrangerKey { get; private set; } = "";

        public string Garbage => _folder.In("garbage.pem");

        public string Address(string mode, string ca, string? cert, string? key) =>
            $"{_address}&sslmode={mode}&sslrootcert={Uri.EscapeDataString(ca)}"
            + (cert is null ? "" : $"&sslcert={Uri.EscapeDataString(cert)}")
            + (key is null ? "" : $"&sslkey={Uri.EscapeDataString(key)}");

        public async Task InitializeAsync()
        {
            if (NeedsServerAttribute.Missing is not null)
            {
                return;
            }

            // The server's own user must be able to enter it.
            File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101);
            using var authority = new Authority(_folder.Path, "authority");
            using var stranger = new Authority(_folder.Path, "stranger");
            (Ca, StrangerCa) = (authority.File, stranger.File);
            (Cert, Key) = authority.Issue("fleet_owner");
            (StrangerCert, StrangerKey) = stranger.Issue("someone");
            var (cert, key) = authority.Issue("database");
            await File.WriteAllTextAsync(Garbage, "not a certificate\n");

            _server = PrivateServer.In(_folder.In("pg"));
            var status = await _server.UpAsync(default);
            _address = status.Address;
            await _server.DownAsync(default);
            var data = status.DataDirectory;
            await File.AppendAllTextAsync(
                Path.Combine(data, "postgresql.conf"),
                "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nssl_ca_file = 'authority.crt'\n");
            await File.WriteAllTextAsync(
                Path.Combine(data, "pg_hba.conf"),
                "host all fleet_admin 127.0.0.1/32 scram-sha-256\n"
                + "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n");
            File.Copy(cert, Path.Combine(data, "server.crt"));
            File.Copy(key, Path.Combine(data, "server.key"));
            File.Copy(Ca, Path.Combine(data, "authority.crt"));
            var secret = Path.Combine(data, "server.key");
            File.SetUnixFileMode(secret, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            string[] files = [secret, Path.Combine(data, "server.crt"), Path.Combine(data, "authority.crt")];
            using var own = Process.Start("chown", [$"--reference={data}", .. files]);
            await own.WaitForExitAsync();
            await _server.UpAsync(default);
        }

        public async Task DisposeAsync()
        {
            if (_server is not null)
            {
                await _server.DownAsync(default);
            }

            _folder.Dispose();
        }
    }
}
