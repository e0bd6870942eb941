using Fleet.Protocol.Streams;

namespace Fleet.Simulation.Cluster;

/// <summary>One process that hosts activations; a restart makes another one.</summary>
internal sealed class Silo(int number, string name, FleetContext context)
{
    /// <summary>From 1; a restarted silo keeps it.</summary>
    public int Number => number;

    /// <summary>Unique in the run.</summary>
    public string Name => name;

    public FleetContext Context => context;

    public bool IsUp { get; set; } = true;

    public bool IsPaused { get; set; }

    /// <summary>Given up by the cluster: what it hosted is placed elsewhere, whether it still runs or not.</summary>
    public bool IsDeclaredDead { get; set; }

    /// <summary>Until when it may answer for its objects; set once it joined.</summary>
    public SiloTerm Term { get; set; } = null!;

    /// <summary>The database is not reached before this instant.</summary>
    public long CutFromDatabaseUntilNs { get; set; }

    /// <summary>What it hosts, as far as it knows itself.</summary>
    public Dictionary<Grain, Activation> Hosted { get; } = [];

    /// <summary>What waits for it to run on.</summary>
    public List<Occurrence> Held { get; } = [];
}
