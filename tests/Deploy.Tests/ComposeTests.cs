using System.Text.RegularExpressions;

namespace Fleet.Deploy.Tests;

/// <summary>The compose file: its form, and that everything in it leads somewhere.</summary>
[Trait("tier", "fast")]
public sealed partial class ComposeTests
{
    /// <summary>Source: the compose specification, chapters services, networks, volumes and secrets.</summary>
    private static readonly string[] TopLevel = ["name", "services", "networks", "volumes", "secrets", "configs"];

    private static readonly string[] OfService =
    [
        "build", "cap_add", "cap_drop", "command", "configs", "cpus", "depends_on", "deploy", "entrypoint", "env_file",
        "environment", "expose", "healthcheck", "hostname", "image", "init", "labels", "mem_limit", "networks",
        "pids_limit", "ports", "profiles", "read_only", "restart", "secrets", "security_opt", "shm_size",
        "stop_grace_period", "stop_signal", "tmpfs", "ulimits", "user", "volumes", "working_dir",
    ];

    private static readonly string[] OfHealthcheck =
        ["test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"];

    private static readonly Node Compose = Node.Read(Checkout.In("deploy", "compose", "compose.yaml"))[0];

    private static IReadOnlyDictionary<string, Node> Services => Compose["services"].Entries;

    private static IEnumerable<KeyValuePair<string, Node>> Silos =>
        Services.Where(service => service.Key.StartsWith("silo-", StringComparison.Ordinal));

    [Fact]
    public void Keys_are_those_of_the_specification()
    {
        Assert.Empty(
            Compose.Entries.Keys.Where(key => !key.StartsWith("x-", StringComparison.Ordinal)).Except(TopLevel));
        Assert.Empty(Services.Values.SelectMany(service => service.Entries.Keys).Except(OfService));
        Assert.Empty(
            Services.Values.SelectMany(service => service["healthcheck"].Entries.Keys).Except(OfHealthcheck));
        Assert.All(Services.Values, service => Assert.False(service["image"].IsMissing));
    }

    // Method: the client alone reads and resolves the file; no engine is asked.
    [ValidatorFact("docker-compose")]
    public async Task The_program_docker_compose_takes_it()
    {
        var folder = Checkout.In("deploy", "compose");
        var said = await Tool.RunAsync(
            Tool.Find("docker-compose")!, ["--env-file", ".env.example", "config", "--quiet"], folder: folder);
        said.MustBeFine();
    }

    [Fact]
    public void Images_are_pinned_and_own_ones_are_built_from_the_Dockerfiles()
    {
        foreach (var (name, service) in Services)
        {
            var image = service["image"].Text;
            Assert.True(Pinned().IsMatch(image), $"{name}: {image}");
            if (image.StartsWith("fleet/", StringComparison.Ordinal))
            {
                var context = Checkout.In("deploy", "compose", service["build", "context"].Text);
                Assert.True(File.Exists(Path.Combine(context, service["build", "dockerfile"].Text)), name);
            }
        }
    }

    [Fact]
    public void Secrets_volumes_networks_and_services_that_are_named_exist()
    {
        foreach (var (name, service) in Services)
        {
            foreach (var kind in new[] { "secrets", "networks" })
            {
                Assert.Empty(
                    Names(service[kind]).Except(Compose[kind].Entries.Keys).Select(one => $"{name}: {kind} {one}"));
            }

            foreach (var (other, how) in service["depends_on"].Entries)
            {
                Assert.True(Services.ContainsKey(other), $"{name} depends on {other}");
                Assert.Equal("service_healthy", how["condition"].Text);
                Assert.False(Services[other]["healthcheck"].IsMissing);
            }

            foreach (var source in service["volumes"].Items.Select(volume => volume.Text.Split(':')[0]))
            {
                Assert.True(
                    source.StartsWith("..", StringComparison.Ordinal)
                        ? Path.Exists(Checkout.In("deploy", "compose", source))
                        : Compose["volumes"].Entries.ContainsKey(source),
                    $"{name}: {source}");
            }
        }
    }

    [Fact]
    public void Variables_of_the_silos_are_options_with_values_that_a_silo_takes()
    {
        Assert.Equal(3, Silos.Count());
        foreach (var (name, silo) in Silos)
        {
            Assert.Empty(
                from pair in silo["environment"].Entries
                let refusal = ProductOptions.Refusal(pair.Key, WithDefaults(pair.Value.Text), FileOf)
                where refusal is not null
                select $"{name}: {refusal}");
        }
    }

    [Fact]
    public void Silos_have_names_and_addresses_of_their_own_that_the_network_gives_them()
    {
        Assert.Equal(3, Silos.Select(silo => silo.Value["environment", "FLEET_NAME"].Text).Distinct().Count());
        Assert.All(Silos, silo => Assert.Equal(
            silo.Value["networks", "fleet", "ipv4_address"].Text, silo.Value["environment", "FLEET_ADVERTISE"].Text));
        var subnet = Compose["networks", "fleet", "ipam", "config"].Items[0]["subnet"].Text.Split("0/24")[0];
        var addresses = Services.Values.Select(service => service["networks", "fleet", "ipv4_address"].Text)
            .Where(address => address.Length > 0).ToList();
        Assert.Equal(addresses.Count, addresses.Distinct().Count());
        Assert.All(addresses, address => Assert.StartsWith(subnet, address, StringComparison.Ordinal));
    }

    [Fact]
    public void Health_is_asked_for_at_the_port_of_the_image()
    {
        var port = Dockerfile.Read(Checkout.In("deploy", "docker", "silo.Dockerfile")).Variables()["FLEET_HEALTH_PORT"];
        Assert.All(Silos, silo => Assert.Contains(
            $"/dev/tcp/127.0.0.1/{port} ", silo.Value["healthcheck", "test"].Items[^1].Text, StringComparison.Ordinal));
    }

    [Fact]
    public void The_generator_is_called_with_options_that_it_has()
    {
        var generator = Services["generator"];
        Assert.Empty(ProductOptions.Refusals(generator["command"].Items.Select(item => WithDefaults(item.Text))));
        Assert.Empty(generator["environment"].Entries.Keys.Except(ProductOptions.ClientVariables));
        Assert.Equal(
            Silos.Count().ToString(System.Globalization.CultureInfo.InvariantCulture),
            generator["command"].Items.Select(item => item.Text).SkipWhile(word => word != "--silos").ElementAt(1));
    }

    [Fact]
    public void Own_containers_are_read_only_and_have_no_capabilities()
    {
        foreach (var (name, service) in Services.Where(
            service => service.Value["image"].Text.StartsWith("fleet/", StringComparison.Ordinal)))
        {
            Assert.True(service["read_only"].Text == "true", name);
            Assert.Equal(["ALL"], service["cap_drop"].Items.Select(item => item.Text));
            Assert.Contains("no-new-privileges:true", service["security_opt"].Items.Select(item => item.Text));
        }
    }

    private static string? FileOf(string path) =>
        path.StartsWith("/run/secrets/", StringComparison.Ordinal)
            && Compose["secrets"].Entries.ContainsKey(Path.GetFileName(path))
            ? Checkout.In("Fleet.sln")
            : null;

    private static IEnumerable<string> Names(Node node) =>
        node.Items.Count > 0 ? node.Items.Select(item => item.Text) : node.Entries.Keys;

    private static string WithDefaults(string text) => Default().Replace(text, "$1");

    [GeneratedRegex(@"\$\{\w+:-([^}]*)\}")]
    private static partial Regex Default();

    [GeneratedRegex(@"^[a-z0-9./-]+:(\$\{FLEET_VERSION:-\d+\.\d+\.\d+\}|v?\d+\.\d+(\.\d+)?(-\w+)?)$")]
    private static partial Regex Pinned();
}
