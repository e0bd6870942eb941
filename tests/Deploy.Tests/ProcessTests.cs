using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Fleet.Storage.Server;
using Xunit.Abstractions;

namespace Fleet.Deploy.Tests;

/// <summary>What the deployments start, started as they start it: published programs, their variables, a private
/// PostgreSQL, mutual TLS, a generator, a signal to stop.</summary>
/// <remarks>
/// Ports are free ones instead of fixed ones, and addresses are this machine's; nothing else differs.
/// </remarks>
[Trait("tier", "cluster")]
public sealed partial class ProcessTests(ITestOutputHelper output) : IAsyncLifetime, IDisposable
{
    private static readonly TimeSpan ReadyPatience = TimeSpan.FromMinutes(5);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("fleet-deploy-");
    private readonly HttpClient _http = new();
    private PrivateServer? _server;
    private PrivateServerStatus _status = null!;

    public async Task InitializeAsync()
    {
        if (PrivateServer.FindBinaries() is null)
        {
            return;
        }

        File.SetUnixFileMode(_folder.FullName, (UnixFileMode)0b111_101_101); // The server's own user enters it.
        _server = PrivateServer.In(Path.Combine(_folder.FullName, "db"));
        _status = await _server.UpAsync(default);
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DownAsync(default);
        }

        _folder.Delete(recursive: true);
    }

    public void Dispose() => _http.Dispose();

    // Goal: what is deployed runs: a silo as the unit starts it and one as the compose file does, as one cluster; a
    // generator as its unit starts it; every query of the dashboards against its run; every metric of dashboards and
    // alarms among those that a silo sends.
    [ServerFact]
    public async Task Published_programs_run_as_the_deployments_start_them()
    {
        await CertificatesAsync();
        var silo = await PublishAsync("Silo/Silo.csproj");
        var client = await PublishAsync("Client/Client.csproj");
        await using var collector = new MetricsListener();
        var unit = UnitVariables();
        var compose = ComposeVariables();
        unit["FLEET_OTLP"] = collector.Address;
        var started = DateTimeOffset.UtcNow;
        await using (var first = DeployedSilo.Start(Path.Combine(silo, "Fleet.Silo.dll"), unit, output.WriteLine))
        await using (var second = DeployedSilo.Start(Path.Combine(silo, "Fleet.Silo.dll"), compose, output.WriteLine))
        {
            await first.ReadyAsync(_http, ReadyPatience);
            await second.ReadyAsync(_http, ReadyPatience);
            output.WriteLine($"two silos ready after {(DateTimeOffset.UtcNow - started).TotalSeconds:0.0} s");
            await ProbeAsync(second.HealthPort);
            await GenerateAsync(client);
            await collector.SeenAsync("orleans-catalog-activations", ReadyPatience);
            await collector.SeenAsync("fleet.events.committed", ReadyPatience);

            // A counter that never counted is not sent; those have to be names that Orleans has.
            var known = collector.Names().Concat(OrleansNames()).Select(Prometheus.NameOf)
                .ToHashSet(StringComparer.Ordinal);
            Assert.Empty(DashboardTests.Metrics().Where(name => !known.Contains(name)));
            Assert.Equal(0, await first.StopAsync());
            Assert.Equal(0, await second.StopAsync());
        }

        await QueriesAsync();
    }

    /// <summary>Names of metrics among the literals of Orleans' assemblies.</summary>
    private static IEnumerable<string> OrleansNames() =>
        from path in Directory.EnumerateFiles(AppContext.BaseDirectory, "Orleans.*.dll")
        let bytes = File.ReadAllBytes(path)
        from shift in new[] { 0, 1 }
        from Match name in Name().Matches(Encoding.Unicode.GetString(bytes, shift, bytes.Length - shift))
        select name.Value;

    private async Task CertificatesAsync()
    {
        var folder = Path.Combine(_folder.FullName, "tls");
        var said = await Tool.RunAsync(Checkout.In("deploy", "tls", "certificates"), [folder]);
        said.MustBeFine();
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(folder, "tls.key")));
    }

    /// <summary>As the Dockerfiles do it, from what these tests were built with.</summary>
    private async Task<string> PublishAsync(string project)
    {
        var folder = Path.Combine(_folder.FullName, Path.GetFileNameWithoutExtension(project));
        var said = await Tool.RunAsync(
            "dotnet",
            [
                "publish", Checkout.In(project), "--configuration", Checkout.Configuration, "--no-build", "--output",
                folder,
            ]);
        said.MustBeFine();
        DemandBaseImage(project, folder);
        return folder;
    }

    /// <summary>The image that the program runs in has the frameworks that it asks for.</summary>
    private static void DemandBaseImage(string project, string folder)
    {
        var name = Path.GetFileNameWithoutExtension(project).ToLowerInvariant();
        var image = Dockerfile.Read(Checkout.In("deploy", "docker", name + ".Dockerfile")).Final[0].Text;
        using var wanted = JsonDocument.Parse(
            File.ReadAllText(Directory.EnumerateFiles(folder, "*.runtimeconfig.json").First(
                path => Path.GetFileName(path) == (name == "silo" ? "Fleet.Silo" : "fleet") + ".runtimeconfig.json")));
        if (wanted.RootElement.GetRawText().Contains("Microsoft.AspNetCore.App", StringComparison.Ordinal))
        {
            Assert.Contains("/dotnet/aspnet:", image, StringComparison.Ordinal);
        }
    }

    /// <summary>What the unit of the first silo sets, with this machine's files and free ports.</summary>
    private Dictionary<string, string> UnitVariables()
    {
        var folder = Checkout.In("deploy", "systemd");
        var variables = Checkout.Variables(Path.Combine(folder, "silo.env"));
        foreach (var (name, value) in Checkout.Variables(Path.Combine(folder, "silo-1.env")))
        {
            variables[name] = value;
        }

        variables["FLEET_NAME"] = Environment.MachineName + "-1";
        return Here(variables, "unit.json");
    }

    /// <summary>What image and compose file set for the first silo, likewise.</summary>
    private Dictionary<string, string> ComposeVariables()
    {
        var variables = Dockerfile.Read(Checkout.In("deploy", "docker", "silo.Dockerfile")).Variables();
        var silo = Node.Read(Checkout.In("deploy", "compose", "compose.yaml"))[0]["services", "silo-1", "environment"];
        foreach (var (name, value) in silo.Entries)
        {
            variables[name] = value.Text.StartsWith('$') ? "off" : value.Text;
        }

        variables["FLEET_ADVERTISE"] = "127.0.0.1";
        return Here(variables, "compose.json");
    }

    private Dictionary<string, string> Here(Dictionary<string, string> variables, string ports)
    {
        variables["FLEET_STORE"] = _status.Address;
        foreach (var name in variables.Keys.Where(name => name.EndsWith("_PORT", StringComparison.Ordinal)).ToList())
        {
            variables[name] = "0";
        }

        foreach (var (name, value) in Tls())
        {
            variables[name] = value;
        }

        variables["FLEET_PORTS_FILE"] = Path.Combine(_folder.FullName, ports);
        variables["OTEL_METRIC_EXPORT_INTERVAL"] = "1000";
        return variables;
    }

    private Dictionary<string, string> Tls()
    {
        var folder = Path.Combine(_folder.FullName, "tls");
        return new()
        {
            ["FLEET_TLS_CERT"] = Path.Combine(folder, "tls.crt"),
            ["FLEET_TLS_KEY"] = Path.Combine(folder, "tls.key"),
            ["FLEET_TLS_CA"] = Path.Combine(folder, "ca.crt"),
            ["FLEET_TLS_PEER"] = "fleet.internal",
        };
    }

    /// <summary>Asks as the compose file's health check does.</summary>
    private static async Task ProbeAsync(int port)
    {
        var compose = Node.Read(Checkout.In("deploy", "compose", "compose.yaml"))[0];
        var test = compose["services", "silo-1", "healthcheck", "test"].Items.Select(item => item.Text).Skip(1)
            .ToList();
        var own = port.ToString(CultureInfo.InvariantCulture);
        var words = test[^1].Replace("/8081", $"/{own}", StringComparison.Ordinal);
        (await Tool.RunAsync(test[0], [.. test[1..^1], words])).MustBeFine();
    }

    /// <summary>As the generator's unit: a run whose first unbind is a finding, so that no panel is empty.</summary>
    private async Task GenerateAsync(string client)
    {
        var line = File.ReadAllLines(Checkout.In("deploy", "systemd", "fleet-generator.service"))
            .Single(line => line.StartsWith("ExecStart=", StringComparison.Ordinal)).Split(' ');
        var variables = Checkout.Variables(Checkout.In("deploy", "systemd", "generator.env"));
        variables["FLEET_STORE"] = _status.Address;
        variables["FLEET_SILOS"] = "2";
        variables["FLEET_SCENARIO"] = "smoke";
        variables["FLEET_DURATION"] = "6s";
        var words = line[1..].Select(word => variables.Aggregate(
            word, (text, pair) => text.Replace($"${{{pair.Key}}}", pair.Value, StringComparison.Ordinal))).ToList();
        words[0] = Path.Combine(client, Path.GetFileName(words[0]));
        var work = Directory.CreateDirectory(Path.Combine(_folder.FullName, "state"));
        var said = await Tool.RunAsync(
            "dotnet", [.. words, "--profile", "V1", "--devices", "60", "--set", "probes={ require: [] }"],
            Tls(), work.FullName);
        output.WriteLine(said.Output);
        Assert.True(said.ExitCode == 1, $"exit {said.ExitCode}, expected 1 (invalid)\n{said.Output}\n{said.Error}");
    }

    /// <summary>Every query as Grafana sends it, by PostgreSQL's own client, in the analyst's role.</summary>
    private async Task QueriesAsync()
    {
        var run = (await PsqlAsync("SELECT max(run_id) FROM fleet.runs")).Trim();
        var empty = new List<string>();
        foreach (var (where, sql) in Dashboard.All().SelectMany(dashboard => dashboard.Queries()))
        {
            var rows = await PsqlAsync(sql.Replace("${run}", run, StringComparison.Ordinal));
            if (rows.Trim().Length == 0)
            {
                empty.Add(where);
            }
        }

        // Of a run without faults, and with a closed load, which is never late.
        Assert.Empty(empty.Except(["Faults", "annotations", "Schedule lag p99"]));
    }

    private async Task<string> PsqlAsync(string sql)
    {
        var said = await Tool.RunAsync(
            Tool.Server("psql"),
            [
                "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                _status.Port.ToString(CultureInfo.InvariantCulture), "-U", "fleet_analyst", "-d", "fleet", "-c", sql,
            ],
            [new("PGPASSFILE", Path.Combine(Path.GetDirectoryName(_status.DataDirectory)!, "pgpass"))]);
        Assert.True(said.ExitCode == 0, $"{sql}\n{said.Error}");
        return said.Output;
    }

    [GeneratedRegex("orleans-[a-z][a-z-]+")]
    private static partial Regex Name();
}
