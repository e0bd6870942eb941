using System.Globalization;

namespace Fleet.Deploy.Tests;

/// <summary>The manifests: their form as kubectl knows it, their confinement, and that every reference leads
/// somewhere.</summary>
[Trait("tier", "fast")]
public sealed class KubernetesTests
{
    private static readonly string Folder = Checkout.In("deploy", "kubernetes");

    /// <summary>Secrets that an operator makes; README.md of the folder has the commands.</summary>
    private static readonly Dictionary<string, string[]> Secrets = new()
    {
        ["fleet-database"] = ["pgpass", "ca.crt"],
        ["fleet-tls"] = ["tls.crt", "tls.key", "ca.crt"],
    };

    private static readonly IReadOnlyList<Node> Documents =
    [
        .. Directory.EnumerateFiles(Folder, "*.yaml", SearchOption.AllDirectories)
            .Where(path => Path.GetFileName(path) != "kustomization.yaml").Order(StringComparer.Ordinal)
            .SelectMany(Node.Read),
    ];

    private static Node Silo => Of("StatefulSet", "fleet-silo");

    private static Node Job => Of("Job", "fleet-generator");

    private static IEnumerable<Node> Pods => [Silo["spec", "template", "spec"], Job["spec", "template", "spec"]];

    [Theory]
    [InlineData("StatefulSet")]
    [InlineData("Job")]
    [InlineData("PodDisruptionBudget")]
    [InlineData("NetworkPolicy")]
    [InlineData("Service")]
    [InlineData("ServiceAccount")]
    [InlineData("ConfigMap")]
    public void There_is_one_of_each_kind(string kind) =>
        Assert.Contains(Documents, document => document["kind"].Text == kind);

    // Goal: no field is misspelt. Method: kubectl decodes into its own types and prints them again; what it does not
    // know is gone. Only kinds with pods can be sent through it without a server.
    [ValidatorFact("kubectl")]
    public async Task Kubectl_knows_every_field_of_what_has_pods()
    {
        foreach (var (document, path) in new[] { (Silo, "silo.yaml"), (Job, "generator/job.yaml") })
        {
            var file = Path.Combine(Path.GetTempPath(), $"fleet-{Guid.NewGuid():n}.yaml");
            File.WriteAllText(file, File.ReadAllText(Path.Combine(Folder, path)).Split("\n---\n")
                .Single(text => text.Contains($"\nkind: {document["kind"].Text}\n", StringComparison.Ordinal)));
            try
            {
                var said = await Tool.RunAsync(
                    "kubectl", ["set", "image", "--local", "-f", file, "*=checked:1", "-o", "yaml"]);
                said.MustBeFine();
                File.WriteAllText(file, said.Output);
                var known = Node.Read(file)[0].Everything().Select(one => one.Path).ToHashSet(StringComparer.Ordinal);
                Assert.Empty(document.Everything().Select(one => one.Path).Where(path => !known.Contains(path)));
            }
            finally
            {
                File.Delete(file);
            }
        }
    }

    [ValidatorFact("kubectl")]
    public async Task Kubectl_builds_both_folders()
    {
        foreach (var folder in new[] { Folder, Path.Combine(Folder, "generator") })
        {
            var said = await Tool.RunAsync("kubectl", ["kustomize", folder]);
            said.MustBeFine();
            Assert.Contains("namespace: fleet", said.Output, StringComparison.Ordinal);
            Assert.DoesNotContain(":latest", said.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Pods_are_confined()
    {
        foreach (var pod in Pods)
        {
            Assert.Equal("true", pod["securityContext", "runAsNonRoot"].Text);
            Assert.Equal("RuntimeDefault", pod["securityContext", "seccompProfile", "type"].Text);
            Assert.Equal("false", pod["automountServiceAccountToken"].Text);
            foreach (var container in pod["containers"].Items.Select(one => one["securityContext"]))
            {
                Assert.Equal("true", container["readOnlyRootFilesystem"].Text);
                Assert.Equal("false", container["allowPrivilegeEscalation"].Text);
                Assert.Equal(["ALL"], container["capabilities", "drop"].Items.Select(item => item.Text));
            }
        }
    }

    [Fact]
    public void Volumes_secrets_and_keys_that_are_named_exist()
    {
        foreach (var pod in Pods)
        {
            var volumes = pod["volumes"].Items.ToDictionary(volume => volume["name"].Text, StringComparer.Ordinal);
            var container = pod["containers"].Items[0];
            Assert.Empty(container["volumeMounts"].Items.Select(mount => mount["name"].Text).Except(volumes.Keys));
            Assert.Empty(volumes.Values.Select(volume => volume["secret", "secretName"].Text)
                .Where(name => name.Length > 0).Except(Secrets.Keys));
            var map = Of("ConfigMap", "fleet-silo")["data"].Entries;
            Assert.Empty(container["env"].Items.Select(variable => variable["valueFrom", "configMapKeyRef", "key"].Text)
                .Where(key => key.Length > 0).Except(map.Keys));
        }

        var readme = Checkout.Text("deploy", "README.md");
        Assert.All(Secrets, secret =>
        {
            Assert.Contains($"kubectl -n fleet create secret generic {secret.Key} ", readme, StringComparison.Ordinal);
            Assert.All(secret.Value, key => Assert.Contains($"--from-file={key}=", readme, StringComparison.Ordinal));
        });
    }

    [Fact]
    public void The_silo_gets_options_with_values_that_it_takes()
    {
        var container = Silo["spec", "template", "spec", "containers"].Items[0];
        Assert.Equal("fleet-silo", container["envFrom"].Items[0]["configMapRef", "name"].Text);
        var mounts = container["volumeMounts"].Items.ToDictionary(
            mount => mount["mountPath"].Text, mount => mount["name"].Text, StringComparer.Ordinal);
        var values = Of("ConfigMap", "fleet-silo")["data"].Entries.ToDictionary(
            pair => pair.Key, pair => pair.Value.Text, StringComparer.Ordinal);
        values["FLEET_NAME"] = "fleet-silo-0";
        values["FLEET_ADVERTISE"] = "10.1.2.3";
        Assert.Equal(["FLEET_ADVERTISE", "FLEET_NAME"], container["env"].Items.Select(one => one["name"].Text).Order());
        Assert.Empty(values.Select(pair => ProductOptions.Refusal(pair.Key, pair.Value, FileOf)).OfType<string>());

        string? FileOf(string path) => mounts.TryGetValue(Path.GetDirectoryName(path)!, out var volume)
            && Secrets["fleet-" + volume].Contains(Path.GetFileName(path))
            ? Checkout.In("Fleet.sln")
            : null;
    }

    [Fact]
    public void Ports_are_the_same_in_configuration_container_service_probes_and_policies()
    {
        var map = Of("ConfigMap", "fleet-silo")["data"];
        var container = Silo["spec", "template", "spec", "containers"].Items[0];
        var ports = container["ports"].Items.ToDictionary(
            port => port["name"].Text, port => port["containerPort"].Text, StringComparer.Ordinal);
        Assert.Equal(map["FLEET_SILO_PORT"].Text, ports["silo"]);
        Assert.Equal(map["FLEET_GATEWAY_PORT"].Text, ports["gateway"]);
        Assert.Equal(map["FLEET_HEALTH_PORT"].Text, ports["health"]);
        Assert.All(Of("Service", "fleet-silo")["spec", "ports"].Items, port =>
        {
            Assert.Equal(ports[port["targetPort"].Text], port["port"].Text);
        });
        foreach (var (probe, path) in new[]
        {
            ("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"),
        })
        {
            Assert.Equal(path, container[probe, "httpGet", "path"].Text);
            Assert.Equal("health", container[probe, "httpGet", "port"].Text);
        }

        Assert.Empty(Of("NetworkPolicy", "fleet-silo").Everything()
            .Where(one => one.Path.EndsWith("/port", StringComparison.Ordinal))
            .Select(one => one.Node.Text).Except([ports["silo"], ports["gateway"]]));
        Assert.Equal("0.0.0.0", map["FLEET_HEALTH_LISTEN"].Text);
    }

    [Fact]
    public void Selectors_find_the_pods()
    {
        var labels = Silo["spec", "template", "metadata", "labels"];
        foreach (var selector in new[]
        {
            Silo["spec", "selector", "matchLabels"],
            Of("PodDisruptionBudget", "fleet-silo")["spec", "selector", "matchLabels"],
            Of("Service", "fleet-silo")["spec", "selector"],
            Of("NetworkPolicy", "fleet-silo")["spec", "podSelector", "matchLabels"],
        })
        {
            Assert.All(selector.Entries, pair => Assert.Equal(pair.Value.Text, labels[pair.Key].Text));
            Assert.NotEmpty(selector.Entries);
        }

        Assert.Equal(
            Job["spec", "template", "metadata", "labels", "app.kubernetes.io/name"].Text,
            Of("NetworkPolicy", "fleet-silo")["spec", "ingress"].Items[1]["from"].Items[0]
                ["podSelector", "matchLabels", "app.kubernetes.io/name"].Text);
    }

    [Fact]
    public void The_generator_is_called_with_options_that_it_has()
    {
        var container = Job["spec", "template", "spec", "containers"].Items[0];
        var store = Of("ConfigMap", "fleet-silo")["data", "FLEET_STORE"].Text;
        var words = container["args"].Items
            .Select(item => item.Text.Replace("$(FLEET_STORE)", store, StringComparison.Ordinal)).ToList();
        Assert.Empty(ProductOptions.Refusals(words));
        Assert.Equal(Silo["spec", "replicas"].Text, words[words.IndexOf("--silos") + 1]);
        Assert.Empty(
            container["env"].Items.Select(one => one["name"].Text)
                .Except([.. ProductOptions.ClientVariables, "FLEET_STORE"]));
    }

    [Fact]
    public void A_silo_gets_longer_to_stop_than_its_own_patience()
    {
        var patience = Of("ConfigMap", "fleet-silo")["data", "FLEET_STOP_PATIENCE"].Text.TrimEnd('s');
        var grace = Silo["spec", "template", "spec", "terminationGracePeriodSeconds"].Text;
        Assert.True(int.Parse(grace, CultureInfo.InvariantCulture) > int.Parse(patience, CultureInfo.InvariantCulture));
    }

    private static Node Of(string kind, string name) => Documents.Single(
        document => document["kind"].Text == kind && document["metadata", "name"].Text == name);
}
