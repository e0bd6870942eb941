namespace Fleet.Silo.Service;

/// <summary>Where a silo process stands between its start and its end.</summary>
internal enum SiloPhase
{
    Starting,

    /// <summary>A member of the idle cluster, until a run is announced.</summary>
    Waits,

    /// <summary>Between two clusters.</summary>
    Joins,
    Serves,
    Leaves,
}

/// <summary>What a silo process says of itself to health checks.</summary>
/// <remarks>Concurrency: any thread; written by the one loop of the process.</remarks>
internal sealed class SiloState(TimeProvider time)
{
    /// <summary>The loop looks at the store twice a second; joining a cluster whose members are gone takes
    /// longest.</summary>
    private static readonly TimeSpan Stuck = TimeSpan.FromMinutes(3);

    private readonly Lock _gate = new();
    private SiloMoment _now = new(SiloPhase.Starting, null, 0, null, null);
    private long _looked = time.GetTimestamp();
    private bool _storeAnswers = true;

    public SiloMoment Now
    {
        get
        {
            lock (_gate)
            {
                return _now;
            }
        }
    }

    public bool StoreAnswers => Volatile.Read(ref _storeAnswers);

    public bool IsAlive => time.GetElapsedTime(Interlocked.Read(ref _looked)) < Stuck;

    /// <summary>Null when it may be given work.</summary>
    public string? NotReadyBecause => Now.Phase switch
    {
        _ when !StoreAnswers => "the store does not answer",
        SiloPhase.Waits or SiloPhase.Serves => null,
        SiloPhase.Starting => "it starts",
        SiloPhase.Joins => "it joins the cluster of a run",
        _ => "it leaves",
    };

    public void Enter(SiloMoment moment)
    {
        lock (_gate)
        {
            _now = moment;
        }

        Looked(StoreAnswers);
    }

    public void Looked(bool storeAnswers)
    {
        Volatile.Write(ref _storeAnswers, storeAnswers);
        Interlocked.Exchange(ref _looked, time.GetTimestamp());
    }
}

/// <param name="Proc">Number of the process in the run; 0 without one.</param>
/// <param name="Services">Of the silo that is a member now.</param>
/// <param name="Report">What it did for the run.</param>
internal sealed record SiloMoment(
    SiloPhase Phase, string? Run, int Proc, IServiceProvider? Services, Func<Cluster.SiloReport>? Report);
