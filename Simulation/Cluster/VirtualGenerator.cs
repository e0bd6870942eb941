namespace Fleet.Simulation.Cluster;

/// <summary>A process of clients with a session of its own, or one that was killed.</summary>
/// <param name="number">From 1, unique in the run: its name and that of its session.</param>
/// <param name="place">Its share of the clients, from 0; another generator may have it after its death.</param>
internal sealed class VirtualGenerator(VirtualCluster cluster, int number, int place)
{
    public string Name => $"gen-{number}";

    public string SessionName => "session:" + Name;

    public int Place => place;

    /// <summary>Number of its session in the history.</summary>
    public int Session { get; } = cluster.Objects.Intern($"session:gen-{number}");

    public List<VirtualClient> Clients { get; } = [];

    public bool IsDead { get; set; }

    /// <summary>Its session is over, and what it held was freed.</summary>
    public bool IsReaped { get; set; }
}
