using Fleet.Silo.Cluster;

namespace Fleet.Client.Faults;

/// <summary>One place for a silo of the run; when its process ends another one takes the place.</summary>
/// <remarks>Concurrency: <see cref="LocalSilos"/> changes it, one strike at a time has it.</remarks>
internal sealed class LocalSilo(int number, SiloProcess process, PeerProxies? peers)
{
    /// <summary>From 1, as a fault's target names it.</summary>
    public int Number => number;

    public SiloProcess Process { get; set; } = process;

    /// <summary>Of the present process; each is a process of the run's history under a name of its own.</summary>
    public string Name => Process.Name;

    /// <summary>Processes that had this place so far.</summary>
    public int Generation { get; set; } = 1;

    /// <summary>A strike is under way, which also sees to what comes after it.</summary>
    public bool IsStruck { get; set; }

    public bool IsPaused { get; set; }

    /// <summary>In front of the present process; null where no fault of the run needs them.</summary>
    public PeerProxies? Peers { get; set; } = peers;
}
