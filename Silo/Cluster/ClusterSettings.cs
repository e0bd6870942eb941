using System.Text.Json;
using System.Text.Json.Serialization;
using Fleet.Silo.Faults;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;

namespace Fleet.Silo.Cluster;

/// <summary>How soon a cluster takes a silent silo for dead.</summary>
public enum LivenessProfile : byte
{
    /// <summary>Orleans' own values: about 14 s after a kill.</summary>
    Default,

    /// <summary>Probes of 1 s, three missed; docs/chaos.md has how soon a fleet was back.</summary>
    Tuned,

    /// <summary>Probes of 0.5 s, two missed; a busy machine gives false alarms.</summary>
    Fast,
}

/// <summary>Which directory knows where a grain is.</summary>
public enum DirectoryKind : byte
{
    /// <summary>Orleans' default: fails over at once, and may know two activations while members change.</summary>
    Local,

    /// <summary>Linearizable; grains of a silo that died wait for the lease of its range.</summary>
    Distributed,
}

/// <summary>What every process of a run's cluster has to do alike; it stands in the run's settings, so that a silo
/// that somebody started by hand obeys it too.</summary>
public sealed record ClusterSettings
{
    /// <summary>Under which key of the run's settings it stands.</summary>
    public const string Key = "clusterSettings";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) },
    };

    public LivenessProfile Liveness { get; init; }

    public DirectoryKind Directory { get; init; }

    /// <summary>For how long nobody else may register a dead silo's grains; of the distributed directory.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>False for a control run: a stale incarnation's transitions are stored too.</summary>
    public bool IsFenced { get; init; } = true;

    /// <summary>How often clients ask which gateways there are: until then they call through one that was declared
    /// dead, where it answers.</summary>
    /// <remarks>Orleans' own value is a minute; silos come and go here, and a client would run out of those it
    /// knows.</remarks>
    public TimeSpan Gateways { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>What befalls messages between clients and grains; nothing where the list is empty.</summary>
    public IReadOnlyList<MessageFault> Messages { get; init; } = [];

    /// <summary>Reads them from a run's settings; a run that has none gets the defaults.</summary>
    public static ClusterSettings Of(string runSettings)
    {
        using var document = JsonDocument.Parse(runSettings);
        return document.RootElement.TryGetProperty(Key, out var own) && own.ValueKind is JsonValueKind.Object
            ? own.Deserialize<ClusterSettings>(Json) ?? new()
            : new();
    }

    internal void Apply(ISiloBuilder silo)
    {
        silo.Services.Configure<ClusterMembershipOptions>(Apply);
        if (Directory is DirectoryKind.Distributed)
        {
#pragma warning disable ORLEANSEXP003 // The directory is experimental, and here on trial.
            silo.AddDistributedGrainDirectory();
#pragma warning restore ORLEANSEXP003
            silo.Services.Configure<GrainDirectoryOptions>(directory => directory.RangeLeaseDuration = Lease);
        }
    }

    private void Apply(ClusterMembershipOptions membership)
    {
        if (Liveness is LivenessProfile.Default)
        {
            return;
        }

        var probe = TimeSpan.FromSeconds(Liveness is LivenessProfile.Fast ? 0.5 : 1);
        membership.ProbeTimeout = probe;
        membership.MinProbeTimeout = probe / 2;
        membership.MaxProbeTimeout = probe * 1.5;
        membership.NumMissedProbesLimit = Liveness is LivenessProfile.Fast ? 2 : 3;

        // A third silo that is asked to probe for another one is not believed while it is itself behind, and it is
        // whenever the fleet loses one of few silos: each such question costs a further period. Two votes still have to
        // agree, and incarnations are fenced by the database, whoever was declared dead.
        membership.EnableIndirectProbes = false;
        membership.ExtendProbeTimeoutDuringDegradation = false;
        membership.TableRefreshTimeout = TimeSpan.FromSeconds(5);
        membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(5);
    }
}
