using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;

namespace Fleet.Simulation.Cluster;

internal enum GrainKind : byte { Device, Resource, Map, PgmapArray }

/// <summary>An identity that a message may be sent to, and where the directory says that it lives.</summary>
internal sealed class Grain(GrainKind kind, string key, int device, uint placement)
{
    public GrainKind Kind => kind;

    public string Key => key;

    /// <summary>Place of its device in the plan.</summary>
    public int Device => device;

    /// <summary>Equal for everything that belongs to one device.</summary>
    public uint Placement => placement;

    /// <summary>Where it lives at first in a fleet that spreads the objects of a device.</summary>
    public uint Spread { get; init; }

    public bool WasActive { get; set; }

    /// <summary>What is activated again after its silo died is placed with its device.</summary>
    public uint NextPlacement => WasActive ? Placement : Spread;

    /// <summary>The one activation that is registered; null for none.</summary>
    public Activation? Current { get; set; }

    /// <summary>The process that clients may still believe it to be in.</summary>
    public Silo? Stale { get; set; }

    public long StaleUntilNs { get; set; }
}

/// <summary>A message to a grain.</summary>
internal abstract class Letter : Occurrence
{
    private VirtualCluster? _cluster;
    private Silo? _to;
    private Grain? _grain;

    public Letter Address(VirtualCluster cluster, Silo to, Grain grain)
    {
        (_cluster, _to, _grain) = (cluster, to, grain);
        return this;
    }

    public override void Happen() => _cluster!.Deliver(_to!, _grain!, this);

    /// <summary>Its turn at the grain.</summary>
    public abstract void Arrive(Activation at);

    /// <summary>The same message once more, as a network that repeats it delivers it.</summary>
    public virtual Letter Repeat() => (Letter)MemberwiseClone();
}

/// <summary>One grain in the memory of one process.</summary>
internal abstract class Activation(VirtualCluster cluster, Grain grain, Silo silo) : TurnContext(cluster)
{
    private List<Letter>? _waiting = [];

    public Grain Grain => grain;

    public Silo Silo => silo;

    public override Silo? Process => silo;

    /// <summary>Its stream; null where nothing of it is recorded.</summary>
    protected abstract ObjectLog? Log { get; }

    /// <summary>Loads what is durable; messages wait until it is done.</summary>
    public void Start() => Run(static self => self.StartTurn(), this);

    public void Receive(Letter letter)
    {
        if (_waiting is { } waiting)
        {
            waiting.Add(letter);
            return;
        }

        Run(static pair => pair.letter.Arrive(pair.self), (letter, self: this));
    }

    /// <summary>Its memory is lost.</summary>
    public void End()
    {
        IsOver = true;
        _waiting = null;
    }

    /// <summary>Waits until this activation has an incarnation that may answer, or knows that it never will.</summary>
    /// <returns>False where a newer incarnation is known: this activation is over.</returns>
    public async ValueTask<bool> MayServe()
    {
        while (Log is { Serves: false, IsOpen: true } log)
        {
            if (log.IsOver)
            {
                Stop();
                return false;
            }

            await log.Tenure!.Term.RenewedAsync();
        }

        return true;
    }

    /// <summary>A newer incarnation is known, so this one answers nobody any more.</summary>
    public void Stop()
    {
        silo.Hosted.Remove(grain);
        End();
    }

    protected abstract ValueTask StartAsync();

    /// <summary>Whoever called an incarnation that ended meanwhile gets no answer, and asks again.</summary>
    protected override bool Takes(Exception failure)
    {
        if (failure is StaleIncarnationException)
        {
            Stop();
        }

        return failure is StaleIncarnationException or PartLostException;
    }

    protected override bool Holds(Occurrence turn)
    {
        if (silo.IsPaused)
        {
            silo.Held.Add(turn);
        }

        return silo.IsPaused;
    }

    private async void StartTurn()
    {
        await StartAsync();
        var waiting = _waiting ?? [];
        _waiting = null;
        foreach (var letter in waiting)
        {
            letter.Arrive(this);
        }
    }
}
