using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Fleet.Tests;
using Npgsql;

namespace Fleet.Silo.Tests.Service;

// Goal: a silo process behaves as a service manager, a probe, a collector and an attacker expect.
// Method: real processes on a server of our own, asked through what they listen on.
[Trait("tier", "cluster")]
public sealed class SiloServiceTests(ServerFixture server) : IClassFixture<ServerFixture>
{
    [ServerFact]
    public async Task Health_follows_the_silo_and_its_store_and_a_stop_is_graceful()
    {
        await using var silo = RunningSilo.Start(server.Place, server.Options("health", "silo-a"));
        await silo.AwaitAsync("/healthz", HttpStatusCode.OK, "alive");
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK, "ready");
        var status = await silo.StatusAsync();
        Assert.Equal(("silo-a", "health", "waits"), (status.Name, status.Cluster, status.State));
        Assert.StartsWith("127.0.0.1:", status.Silo, StringComparison.Ordinal);
        Assert.NotNull(status.Activations);
        await silo.AwaitAsync("/", HttpStatusCode.NotFound, "accepted: /healthz");

        Assert.True(await server.Server.KillAsync(CancellationToken.None));
        await silo.AwaitAsync("/readyz", HttpStatusCode.ServiceUnavailable, "the store does not answer");
        await silo.AwaitAsync("/healthz", HttpStatusCode.OK);
        await server.Server.UpAsync(CancellationToken.None);
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK);

        Assert.Equal(0, await silo.EndAsync());
        await silo.AwaitSaidAsync("silo-a: told to stop.");
        Assert.False(silo.HasPortsFile);
    }

    [ServerFact]
    public async Task A_silo_whose_store_is_gone_for_good_still_ends_when_told_to()
    {
        await using var silo = RunningSilo.Start(
            server.Place, server.Options("gone", "silo-a", "--stop-patience", "1s"));
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK, "ready");
        Assert.True(await server.Server.KillAsync(CancellationToken.None));
        try
        {
            await silo.AwaitAsync("/readyz", HttpStatusCode.ServiceUnavailable, "the store does not answer");

            // 0 when leaving came to an end by itself, 4 when it had to be ended.
            Assert.Contains(await silo.EndAsync(), (int[])[0, 4]);
        }
        finally
        {
            await server.Server.UpAsync(CancellationToken.None);
        }
    }

    [ServerFact]
    public async Task What_cannot_be_used_ends_the_process_with_one_sentence_and_64()
    {
        foreach (var (options, said) in ((string[], string)[])
            [
                (["--colour", "red"], "There is no option \"--colour\""),
                (["--cluster", "a", "--store", "ftp://x"], "The store address starts with ftp://"),
                (["--cluster", "a", "--store", server.Store, "--listen", "0.0.0.0"], "--listen 0.0.0.0 is every"),
                (
                    ["--cluster", "a", "--store", server.Store, "--tls-cert", server.Place + "/db/version", "--tls-key",
                        server.Place + "/db/version", "--tls-ca", server.Place + "/db/version"],
                    server.Place),
            ])
        {
            await using var silo = RunningSilo.Start(server.Place, options);
            Assert.Equal(64, await silo.AwaitExitAsync());
            Assert.StartsWith(said, Assert.Single(silo.Said), StringComparison.Ordinal);
        }
    }

    [ServerFact]
    public async Task Without_tls_an_open_listener_is_warned_of_and_logs_are_json_when_asked()
    {
        await using var silo = RunningSilo.Start(
            server.Place,
            server.Options(
                "open", "silo-a", "--listen", "0.0.0.0", "--advertise", "127.0.0.1", "--insecure", "--log-format",
                "json"));
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK);
        Assert.Equal(0, await silo.EndAsync("INT"));
        await silo.AwaitSaidAsync("told to stop");
        var lines = silo.Said.Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Contains(lines, line => line.GetProperty("LogLevel").GetString() == "Warning"
            && line.GetProperty("Message").GetString()!.Contains("without mutual TLS", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.GetProperty("Message").GetString()!.Contains(
            "waits for a run of cluster open", StringComparison.Ordinal));
    }

    // Goal: silos with certificates of one authority form a cluster; nobody else gets a word in.
    [ServerFact]
    public async Task Mutual_tls_joins_members_and_refuses_everybody_else()
    {
        using var ours = new Authority(server.Place, "ours");
        using var others = new Authority(server.Place, "others");
        await using var first = RunningSilo.Start(
            server.Place, server.Options("tls", "silo-a", ours.Options("silo-a")));
        await first.AwaitAsync("/readyz", HttpStatusCode.OK);
        await using var second = RunningSilo.Start(
            server.Place, server.Options("tls", "silo-b", ours.Options("silo-b")));
        await second.AwaitAsync("/readyz", HttpStatusCode.OK);
        var status = await first.StatusAsync();

        // Each asks the other for its statistics over the connections between them.
        Assert.True((await second.StatusAsync()).Activations > 0);
        foreach (var (listener, endpoint) in ((string, string)[])
            [("the gateway", status.Gateway!), ("the silo's listener", status.Silo!.Split('@')[0])])
        {
            await AwaitRefusalAsync(IPEndPoint.Parse(endpoint), null, isTls: false);
            await first.AwaitSaidAsync($"at {listener}: it does not speak TLS");
            await AwaitRefusalAsync(IPEndPoint.Parse(endpoint), null, isTls: true);
            await first.AwaitSaidAsync($"at {listener}: it showed no certificate.");
            await AwaitRefusalAsync(IPEndPoint.Parse(endpoint), others.Issue("stranger"), isTls: true);
            await first.AwaitSaidAsync($"at {listener}: its certificate CN=stranger is not one of the authority's");
        }

        Assert.Equal(0, await second.EndAsync());
        Assert.Equal(0, await first.EndAsync());
    }

    [ServerFact]
    public async Task A_certificate_of_the_authority_without_the_name_that_is_asked_for_is_refused()
    {
        using var ours = new Authority(server.Place, "named");
        await using var silo = RunningSilo.Start(
            server.Place, server.Options("named", "silo-a", [.. ours.Options("members"), "--tls-peer", "members"]));
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK);
        var gateway = IPEndPoint.Parse((await silo.StatusAsync()).Gateway!);
        await AwaitRefusalAsync(gateway, ours.Issue("guest"), isTls: true);
        await silo.AwaitSaidAsync("its certificate CN=guest does not carry the name members.");
    }

    [ServerFact]
    public async Task The_way_to_the_database_is_encrypted_with_certificates_from_files()
    {
        using var authority = new Authority(server.Place, "database");
        var (cert, key) = authority.Issue("localhost");
        await EncryptAsync(cert, key);
        var store = $"{server.Store}&sslmode=verify-full&sslrootcert={Uri.EscapeDataString(authority.File)}";
        await using var silo = RunningSilo.Start(
            server.Place, ["--cluster", "encrypted", "--name", "silo-a"], ("FLEET_STORE", store));
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK);
        await using var admin = await AdminAsync();
        await using var count = new NpgsqlCommand(
            "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl s "
            + "JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'fleet_owner'", admin);
        await using var rows = await count.ExecuteReaderAsync();
        Assert.True(await rows.ReadAsync());
        Assert.True(rows.GetInt64(0) > 0);

        using var strangers = new Authority(server.Place, "strangers");
        await using var misled = RunningSilo.Start(
            server.Place, ["--cluster", "encrypted", "--name", "silo-b"],
            ("FLEET_STORE", store.Replace(
                Uri.EscapeDataString(authority.File), Uri.EscapeDataString(strangers.File), StringComparison.Ordinal)));
        Assert.Equal(64, await misled.AwaitExitAsync());
    }

    [ServerFact]
    public async Task Metrics_and_traces_go_to_a_collector_when_one_is_named()
    {
        using var collector = new Collector();
        await using var silo = RunningSilo.Start(
            server.Place, server.Options("told", "silo-a", "--otlp", collector.Url, "--trace-share", "1"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "300"), ("OTEL_BSP_SCHEDULE_DELAY", "300"));
        await collector.AwaitAsync("/v1/metrics", "fleet.silo.ready");
        await collector.AwaitAsync("/v1/metrics", "orleans-");
        await collector.AwaitAsync("/v1/metrics", "Fleet.Silo");
        await collector.AwaitAsync("/v1/traces", "silo joins");
        Assert.Equal(0, await silo.EndAsync());
        await collector.AwaitAsync("/v1/traces", "silo leaves");
    }

    [ServerFact]
    public async Task The_dashboard_is_off_and_asks_for_its_password_when_it_is_on()
    {
        var password = Path.Combine(server.Place, "password");
        await File.WriteAllTextAsync(password, "open sesame\n");
        var port = FreePort();
        await using var silo = RunningSilo.Start(
            server.Place,
            server.Options(
                "shown", "silo-a", "--dashboard-port", $"{port}", "--dashboard-password-file", password));
        await silo.AwaitAsync("/readyz", HttpStatusCode.OK);
        using var http = new HttpClient();
        var url = $"http://127.0.0.1:{port}/";
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(url)).StatusCode);
        Authorize("fleet:wrong");
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(url)).StatusCode);
        Authorize("fleet:open sesame");
        Assert.Contains("Orleans", await http.GetStringAsync(url), StringComparison.OrdinalIgnoreCase);

        void Authorize(string who) => http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
            "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(who)));
    }

    /// <summary>Connects as a stranger: the other end closes without a word of its own.</summary>
    private static async Task AwaitRefusalAsync(IPEndPoint to, (string Cert, string Key)? own, bool isTls)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        using var client = new TcpClient();
        await client.ConnectAsync(to, patience.Token);
        Stream stream = client.GetStream();
        try
        {
            if (isTls)
            {
                using var certificate = own is { } files
                    ? X509Certificate2.CreateFromPemFile(files.Cert, files.Key) : null;
                var tls = new SslStream(stream);
                stream = tls;
                await tls.AuthenticateAsClientAsync(
                    new SslClientAuthenticationOptions
                    {
                        TargetHost = "",
                        ClientCertificates = certificate is null ? [] : [certificate],
                        RemoteCertificateValidationCallback = (_, _, _, _) => true,
                    },
                    patience.Token);
            }
            else
            {
                await stream.WriteAsync(new byte[64], patience.Token);
            }

            Assert.Equal(0, await stream.ReadAsync(new byte[16], patience.Token));
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            return; // Closed in the middle, as it should be.
        }
        finally
        {
            await stream.DisposeAsync();
        }
    }

    private async Task EncryptAsync(string cert, string key)
    {
        var data = Path.Combine(server.Folder, "data");
        var (ownCert, ownKey) = (Path.Combine(data, "server.crt"), Path.Combine(data, "server.key"));
        File.Copy(cert, ownCert, overwrite: true);
        File.Copy(key, ownKey, overwrite: true);
        File.SetUnixFileMode(ownKey, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        if (Environment.IsPrivilegedProcess)
        {
            using var own = Process.Start("chown", [$"--reference={data}", ownCert, ownKey]);
            await own.WaitForExitAsync();
        }

        await using var admin = await AdminAsync();
        await using var set = new NpgsqlCommand("ALTER SYSTEM SET ssl = on", admin);
        await set.ExecuteNonQueryAsync();
        await using var reload = new NpgsqlCommand("SELECT pg_reload_conf()", admin);
        await reload.ExecuteNonQueryAsync();
    }

    private async Task<NpgsqlConnection> AdminAsync()
    {
        var line = (await File.ReadAllLinesAsync(Path.Combine(server.Folder, "pgpass")))
            .Select(one => one.Split(':')).Single(one => one[3] == "fleet_admin");
        var connection = new NpgsqlConnection(
            $"Host=127.0.0.1;Port={line[1]};Username=fleet_admin;Password={line[4]};Database=postgres;Pooling=false");
        await connection.OpenAsync();
        return connection;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Takes what is posted to it, as an OpenTelemetry collector does.</summary>
    private sealed class Collector : IDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly ConcurrentQueue<(string Path, string Text)> _taken = new();

        public Collector()
        {
            Url = $"http://127.0.0.1:{FreePort()}";
            _listener.Prefixes.Add(Url + "/");
            _listener.Start();
            _ = TakeAsync();
        }

        public string Url { get; }

        /// <summary>Names stand in protobuf as they are.</summary>
        public async Task AwaitAsync(string path, string text)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
            while (!_taken.Any(one => one.Path == path && one.Text.Contains(text, StringComparison.Ordinal)))
            {
                await timer.WaitForNextTickAsync(patience.Token);
            }
        }

        public void Dispose() => _listener.Close();

        private async Task TakeAsync()
        {
            while (_listener.IsListening)
            {
                try
                {
                    var context = await _listener.GetContextAsync();
                    using var body = new MemoryStream();
                    await context.Request.InputStream.CopyToAsync(body);
                    _taken.Enqueue((context.Request.Url!.AbsolutePath, Encoding.Latin1.GetString(body.ToArray())));
                    context.Response.Close();
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    return; // The test is over.
                }
            }
        }
    }
}
