using System.Text.Json;
using Fleet.Client.Runs;
using Fleet.Silo.Cluster;
using Fleet.Silo.Faults;
using Fleet.Storage.Results;

namespace Fleet.Client.Tests.Runs;

[Trait("tier", "fast")]
public sealed class ClusterSettingsTests
{
    [Fact]
    public void A_silo_reads_from_a_run_what_its_scenario_asks_for()
    {
        var asked = new ClusterSettings
        {
            Liveness = LivenessProfile.Tuned,
            Directory = DirectoryKind.Distributed,
            Lease = TimeSpan.FromSeconds(3),
            IsFenced = false,
            Messages = [new(MessageFaultKind.Drop, 0.25)],
        };
        var read = ClusterSettings.Of(JsonSerializer.Serialize(new { cluster = "name", clusterSettings = asked }));

        Assert.Equal(asked.Messages, read.Messages);
        Assert.Equal(asked with { Messages = read.Messages }, read);
    }

    [Fact]
    public void A_run_without_settings_gets_the_defaults()
    {
        var read = ClusterSettings.Of("""{ "cluster": null }""");

        Assert.Equal(LivenessProfile.Default, read.Liveness);
        Assert.True(read.IsFenced);
    }

    [Fact]
    public void The_name_of_a_cluster_stands_beside_its_settings() =>
        Assert.Equal(
            "mine",
            JoinedRun.ClusterOf(new RunInfo("run")
            {
                Settings = """{ "cluster": "mine", "clusterSettings": { "liveness": "fast" } }""",
            }));
}
