using Fleet.Protocol.Incarnations;

namespace Fleet.Simulation.Cluster;

/// <summary>Until when a silo may answer for its objects without asking the database, and the renewals of it.</summary>
/// <remarks>
/// As a live silo has it: renewed four times a term, counted from before the question was sent; whatever was taken from
/// the silo is ended before its term is prolonged. Source: docs/decisions/0021.
/// </remarks>
internal sealed class SiloTerm(VirtualCluster cluster, Silo silo) : ServingTerm
{
    public static readonly long LengthNs = RandomChoice.Nanoseconds(TimeSpan.FromSeconds(3));

    private static readonly long IntervalNs = RandomChoice.Nanoseconds(TimeSpan.FromMilliseconds(750));

    private readonly SiloContext _process = new(cluster, silo);
    private readonly Dictionary<string, Tenure> _tenures = new(StringComparer.Ordinal);
    private TaskCompletionSource _renewed = new();
    private long _untilNs;

    /// <summary>Off is for control runs: nobody falls silent.</summary>
    public bool IsBinding { get; set; } = true;

    public override bool Holds => cluster.NowNs < _untilNs || !IsBinding;

    public override ValueTask RenewedAsync() => Holds ? ValueTask.CompletedTask : new(_renewed.Task);

    public void Begin() => _process.Run(static self => self.Renew(), this);

    /// <summary>Another incarnation began here: an earlier one of this process is over.</summary>
    public void Add(string name, Tenure tenure)
    {
        if (IsBinding && _tenures.GetValueOrDefault(name) is { } known)
        {
            known.End();
        }

        _tenures[name] = tenure;
    }

    private async void Renew()
    {
        var askedNs = cluster.NowNs;
        var taken = await cluster.Database.Ask(() => cluster.Database.Renew(silo));
        foreach (var (name, gen) in taken)
        {
            if (IsBinding && _tenures.GetValueOrDefault(name) is { } tenure && tenure.Gen < gen)
            {
                tenure.End();
            }
        }

        _untilNs = askedNs + LengthNs;
        var renewed = _renewed;
        _renewed = new();
        renewed.TrySetResult();
        _process.After(IntervalNs, Renew);
    }
}

/// <summary>What a silo does beside its grains.</summary>
internal sealed class SiloContext(VirtualCluster cluster, Silo silo) : TurnContext(cluster)
{
    public override Silo? Process => silo;

    protected override bool Holds(Occurrence turn)
    {
        if (silo.IsPaused)
        {
            silo.Held.Add(turn);
        }

        return silo.IsPaused || !silo.IsUp;
    }
}
