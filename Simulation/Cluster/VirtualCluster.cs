using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;

namespace Fleet.Simulation.Cluster;

/// <summary>Silos, their directory and the network between everybody, on one virtual clock.</summary>
/// <remarks>
/// A grain is registered once; a message goes to the process where the sender believes it to live, may be late, lost or
/// there twice, and is answered at most once. Nothing here knows what the agents decide. Concurrency: one thread.
/// </remarks>
internal sealed class VirtualCluster : IEventClock
{
    /// <summary>Share of the calls that a client with an old route sends along it.</summary>
    private const double StaleRouteShare = 0.3;

    private static readonly TimeSpan TurnMost = TimeSpan.FromMicroseconds(4);

    private int _thread = Environment.CurrentManagedThreadId;
    private readonly RandomChoice _network;
    private readonly RandomChoice _turns;
    private readonly RandomChoice _liveness;
    private readonly Dictionary<string, Grain> _byKey = new(StringComparer.Ordinal);
    private readonly List<Silo> _placing = [];
    private readonly List<Silo> _silos = [];
    private readonly List<Cut> _cuts = [];
    private readonly List<(Silo? From, Silo? To, Occurrence What)> _stalled = [];
    private readonly IObjectStreams? _streams;
    private int _processes;

    public VirtualCluster(SimulationPlan plan, SimulatedHistory history, IObjectStreams? streams)
    {
        (Plan, History, _streams) = (plan, history, streams);
        _network = new(plan.Run.Seed, "network");
        _turns = new(plan.Run.Seed, "turns");
        _liveness = new(plan.Run.Seed, "liveness");
        GeneratorProcess = ++_processes;
        Objects.NameProcess(GeneratorProcess, "gen-1");
        Database = new(this, plan.Database, plan.Bug);
        Devices = [.. plan.Hosts.SelectMany(host => host.Devices)];
        for (var place = 0; place < Devices.Count; place++)
        {
            Register(place);
        }

        foreach (var host in plan.Hosts.Where(_ => plan.Run.SharesSections))
        {
            var placement = Hash(host.Name);
            _byKey.Add(
                "array:" + host.Name, new(GrainKind.PgmapArray, host.Name, 0, placement) { Spread = placement });
        }

        for (var number = 1; number <= plan.Silos; number++)
        {
            Join(number);
        }
    }

    public SimulationPlan Plan { get; }

    public SimulatedHistory History { get; }

    public ObjectTable Objects => History.Objects;

    public Timeline Time { get; } = new();

    public VirtualDatabase Database { get; }

    public MessageFaults Messages { get; } = new();

    public FaultCounts Counts { get; } = new();

    public IReadOnlyList<DevicePlan> Devices { get; }

    public IReadOnlyList<Silo> Silos => _silos;

    public int GeneratorProcess { get; }

    public long NowNs => Time.NowNs;

    /// <summary>Somebody has to know that a bound device lost its binding.</summary>
    public Action<int>? OnFenced { get; set; }

    /// <summary>Numbers of activations, for the ledgers of those that they call.</summary>
    public int LastActivation { get; set; }

    public Grain DeviceGrain(int place) => _byKey[Devices[place].Key];

    public Grain MapGrain(int place, int resource) => _byKey["map:" + Devices[place].ResourceKey(resource)];

    public Grain MapGrain(string key) => _byKey["map:" + key];

    public Grain PgmapArrayGrain(string host) => _byKey["array:" + host];

    public Grain ResourceGrain(string key) => _byKey["ref:" + key];

    /// <summary>The caller's thread is the only one from here on: nothing else runs between two calls.</summary>
    public void AdoptThread() => _thread = Environment.CurrentManagedThreadId;

    public void DemandOwnThread()
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            throw new InvalidOperationException("Something of the simulation ran on a foreign thread.");
        }
    }

    public long TurnDelayNs() => 1 + (long)(_turns.Share() * RandomChoice.Nanoseconds(TurnMost));

    /// <summary>Sends a message to wherever a grain lives, or will.</summary>
    /// <param name="from">Null: from the clients' process.</param>
    public void Send(Silo? from, Grain grain, Letter letter)
    {
        if (Route(from, grain) is not { } to)
        {
            return;
        }

        letter.Address(this, to, grain);
        Carry(from, to, letter, static letter => letter.Repeat());
    }

    /// <summary>Takes a message from one process to another; null is the clients'.</summary>
    public void Carry<T>(Silo? from, Silo? to, T what, Func<T, T>? repeat = null)
        where T : Occurrence
    {
        var isLocal = ReferenceEquals(from, to);
        if (Messages.AreOn)
        {
            if (Messages.DropShare > 0 && _network.Share() < Messages.DropShare)
            {
                Counts.Dropped++;
                return;
            }

            if (repeat is not null && Messages.DuplicateShare > 0 && _network.Share() < Messages.DuplicateShare)
            {
                Counts.Duplicated++;
                Bring(from, to, isLocal, repeat(what), _network.Between(TimeSpan.Zero, Plan.Network.DelayMost));
            }
        }

        Bring(from, to, isLocal, what, 0);
    }

    private void Bring(Silo? from, Silo? to, bool isLocal, Occurrence what, long moreNs)
    {
        var hopNs = HopNs(isLocal) + moreNs;
        if (_cuts.Count > 0 && !isLocal && _cuts.Exists(cut => cut.Parts(from, to)))
        {
            Counts.Stalled++;
            _stalled.Add((from, to, what));
            return;
        }

        Time.After(hopNs, what);
    }

    /// <summary>Two silos do not reach each other; what they send arrives once it is healed.</summary>
    public void Partition(Silo one, Silo other, long forNs)
    {
        Counts.Partitions++;
        CutOff(new(one, other), forNs);

        // One that is suspected by a single other one is dropped only where that is half of the cluster.
        if (_placing.Count <= 2)
        {
            DeclareDeadLater(other, forNs);
        }
    }

    /// <summary>A silo reaches neither the others nor the database; its clients reach it.</summary>
    public void Isolate(Silo silo, long forNs)
    {
        Counts.Isolations++;
        CutOff(new(silo, null), forNs);
        CutFromDatabase(silo, forNs);
        DeclareDeadLater(silo, forNs);
    }

    /// <summary>A silo does not reach the database; transactions under way are answered once it is healed.</summary>
    public void CutFromDatabase(Silo silo, long forNs) =>
        silo.CutFromDatabaseUntilNs = Math.Max(silo.CutFromDatabaseUntilNs, Time.NowNs + forNs);

    public bool IsCutFromDatabase(Silo silo) => Time.NowNs < silo.CutFromDatabaseUntilNs;

    private void CutOff(Cut cut, long forNs)
    {
        _cuts.Add(cut);
        Time.After(forNs, () => Heal(cut));
    }

    private void Heal(Cut cut)
    {
        if (!_cuts.Remove(cut))
        {
            return;
        }

        foreach (var stalled in _stalled.ToArray())
        {
            if (!_cuts.Exists(other => other.Parts(stalled.From, stalled.To)))
            {
                _stalled.Remove(stalled);
                Time.After(HopNs(false), stalled.What);
            }
        }

        NoticeDeath(cut.One);
        if (cut.Other is { } second)
        {
            NoticeDeath(second);
        }
    }

    private void DeclareDeadLater(Silo silo, long forNs)
    {
        var detectNs = DetectNs();
        if (forNs > detectNs)
        {
            Time.After(detectNs, () => DeclareDead(silo));
        }
    }

    public void Deliver(Silo to, Grain grain, Letter letter)
    {
        if (!to.IsUp)
        {
            return;
        }

        if (to.IsPaused)
        {
            to.Held.Add(letter);
            return;
        }

        if (!to.Hosted.TryGetValue(grain, out var activation) || activation.IsOver)
        {
            if (grain.Current is { IsOver: false } elsewhere)
            {
                letter.Address(this, elsewhere.Silo, grain);
                Time.After(HopNs(false), letter);
                return;
            }

            if (to.IsDeclaredDead || grain.Current is { Silo: { IsUp: false, IsDeclaredDead: false } })
            {
                return;
            }

            activation = Activate(grain, to);
        }

        activation.Receive(letter);
    }

    /// <summary>Ends the activation of a device, so that the next one begins without its memory.</summary>
    public void Fence(Grain device)
    {
        if (device.Current is { IsOver: false } activation)
        {
            activation.Silo.Hosted.Remove(device);
            activation.End();
        }

        Wake(device);
    }

    /// <summary>The process is gone, with everything in it; the others find out later.</summary>
    public void Kill(Silo silo)
    {
        Counts.SiloKills++;
        Counts.KillsDuringTeardown += silo.Hosted.Keys.Any(IsTearingDown) ? 1 : 0;
        End(silo);
        Time.After(DetectNs(), () => DeclareDead(silo));
        Time.After(DetectNs() + RandomChoice.Nanoseconds(Plan.Liveness.RestartAfter), () => Rejoin(silo));
    }

    /// <summary>The process stands still, and does not know for how long.</summary>
    public void Pause(Silo silo, long forNs)
    {
        Counts.SiloPauses++;
        silo.IsPaused = true;
        DeclareDeadLater(silo, forNs);
        Time.After(forNs, () => Resume(silo));
    }

    /// <summary>A stop that tells the others; what it hosted is fenced at once.</summary>
    public void Restart(Silo silo)
    {
        Counts.SiloRestarts++;
        Database.Leave(silo);
        End(silo);
        DeclareDead(silo);
        Time.After(RandomChoice.Nanoseconds(Plan.Liveness.RestartAfter), () => Rejoin(silo));
    }

    /// <summary>Ends every fault that lasts: pauses, refusals, losses.</summary>
    public void Heal()
    {
        Messages.Clear();
        (Database.DownUntilNs, Database.SlowUntilNs) = (0, 0);
        foreach (var silo in _silos)
        {
            silo.CutFromDatabaseUntilNs = 0;
        }

        foreach (var cut in _cuts.ToArray())
        {
            Heal(cut);
        }

        foreach (var silo in _silos.Where(silo => silo.IsPaused).ToList())
        {
            Resume(silo);
        }
    }

    public bool IsServing(Silo silo) =>
        silo is { IsUp: true, IsPaused: false, IsDeclaredDead: false }
        && !IsCutFromDatabase(silo)
        && !_cuts.Exists(cut => cut.Hits(silo));

    private bool IsTearingDown(Grain grain) =>
        grain.Current is DeviceActivation { Agent: { Log.IsOpen: true } agent }
        && agent.Report().Open.Any(ticket => ticket.Kind == "unbind");

    private static uint Hash(ReadOnlySpan<char> key)
    {
        var hash = 2166136261u;
        foreach (var letter in key)
        {
            hash = unchecked((hash ^ letter) * 16777619u);
        }

        return hash;
    }

    private void Register(int place)
    {
        var device = Devices[place];
        var placement = Hash(device.Key);
        Add(device.Key, GrainKind.Device, device.Key);
        foreach (var key in device.RefKeys())
        {
            Add("ref:" + key, GrainKind.Resource, key);
        }

        for (var resource = 0; resource < device.Resources.Count && !device.HasPlainMapping; resource++)
        {
            var key = device.ResourceKey(resource);
            Add("map:" + key, GrainKind.Map, key);
        }

        void Add(string name, GrainKind kind, string key) =>
            _byKey.Add(name, new(kind, key, place, placement) { Spread = Plan.Run.IsSpread ? Hash(name) : placement });
    }

    private void Join(int number)
    {
        var process = ++_processes;
        var name = $"silo-{number}.{process - 1}";
        Objects.NameProcess(process, name);
        Silo? silo = null;
        silo = new(number, name, new(
            Objects, _streams, Database.LogOf(() => silo!), Database.IncarnationsOf(() => silo!), this, name, process));
        silo.Term = new(this, silo);
        _silos.Add(silo);
        _placing.Add(silo);
        _placing.Sort((left, right) => left.Number.CompareTo(right.Number));
        silo.Term.Begin();
    }

    private void Rejoin(Silo silo)
    {
        if (!_placing.Any(other => other.Number == silo.Number))
        {
            Join(silo.Number);
        }
    }

    private void End(Silo silo)
    {
        silo.IsUp = false;
        foreach (var activation in silo.Hosted.Values)
        {
            activation.End();
        }

        silo.Held.Clear();
    }

    private void DeclareDead(Silo silo)
    {
        if (silo.IsDeclaredDead || (silo.IsUp && !silo.IsPaused && !_cuts.Exists(cut => cut.Hits(silo))))
        {
            return;
        }

        silo.IsDeclaredDead = true;
        _placing.Remove(silo);
        foreach (var (grain, activation) in silo.Hosted)
        {
            if (!ReferenceEquals(grain.Current, activation))
            {
                continue;
            }

            grain.Current = null;
            if (silo.IsUp)
            {
                (grain.Stale, grain.StaleUntilNs) =
                    (silo, NowNs + RandomChoice.Nanoseconds(Plan.Liveness.RouteRefresh));
            }

            if (grain.Kind is GrainKind.Device)
            {
                Wake(grain);
            }
        }
    }

    private void Resume(Silo silo)
    {
        if (!silo.IsPaused)
        {
            return;
        }

        silo.IsPaused = false;
        var held = silo.Held.ToArray();
        silo.Held.Clear();
        foreach (var occurrence in held)
        {
            Time.After(0, occurrence);
        }

        NoticeDeath(silo);
    }

    /// <summary>A silo that was declared dead finds out once it reaches anybody.</summary>
    private void NoticeDeath(Silo silo)
    {
        if (silo is { IsDeclaredDead: true, IsUp: true })
        {
            Counts.Woken++;
            Time.After(_liveness.Between(TimeSpan.Zero, Plan.Liveness.NoticeMost), () =>
            {
                End(silo);
                Time.After(RandomChoice.Nanoseconds(Plan.Liveness.RestartAfter), () => Rejoin(silo));
            });
        }
    }

    /// <summary>A device that nobody calls finds out too that it was lost.</summary>
    private void Wake(Grain device)
    {
        if (Home(device) is { } to)
        {
            Time.After(HopNs(false), new WakeUp().Address(this, to, device));
        }
    }

    private Activation Activate(Grain grain, Silo silo)
    {
        Activation activation = grain.Kind switch
        {
            GrainKind.Device => new DeviceActivation(this, grain, silo),
            GrainKind.Resource => new ResourceActivation(this, grain, silo),
            GrainKind.PgmapArray => new PgmapArrayActivation(this, grain, silo),
            _ => new MapActivation(this, grain, silo),
        };
        silo.Hosted[grain] = activation;
        (grain.Current, grain.WasActive) = (activation, true);
        activation.Start();
        return activation;
    }

    private Silo? Route(Silo? from, Grain grain)
    {
        if (from is null && grain.Stale is { IsUp: true } stale && NowNs < grain.StaleUntilNs
            && _network.Share() < StaleRouteShare)
        {
            return stale;
        }

        if (from is not null && from.Hosted.TryGetValue(grain, out var own) && !own.IsOver)
        {
            return from;
        }

        return Home(grain);
    }

    /// <summary>Where the directory has it, or would place it.</summary>
    private Silo? Home(Grain grain)
    {
        if (grain.Current is { IsOver: false } activation)
        {
            return activation.Silo;
        }

        return grain.Current is { Silo: { IsDeclaredDead: false, IsUp: false } gone } ? gone
            : _placing.Count > 0 ? _placing[(int)(grain.NextPlacement % (uint)_placing.Count)]
            : null;
    }

    private long HopNs(bool isLocal)
    {
        var network = Plan.Network;
        var hop = isLocal
            ? _network.Between(network.LocalLeast, network.LocalMost)
            : _network.Between(network.RemoteLeast, network.RemoteMost);
        if (Messages.DelayShare > 0 && _network.Share() < Messages.DelayShare)
        {
            Counts.Delayed++;
            hop += _network.Between(TimeSpan.Zero, network.DelayMost);
        }

        return hop;
    }

    private long DetectNs() => _liveness.Between(Plan.Liveness.DetectLeast, Plan.Liveness.DetectMost);

    private sealed class WakeUp : Letter
    {
        public override void Arrive(Activation at)
        {
        }
    }
}

/// <summary>Silos that do not reach each other.</summary>
/// <param name="Other">Null for all others.</param>
internal sealed record Cut(Silo One, Silo? Other)
{
    public bool Hits(Silo silo) => ReferenceEquals(One, silo) || ReferenceEquals(Other, silo);

    public bool Parts(Silo? from, Silo? to) =>
        from is not null && to is not null
        && (Other is null ? Hits(from) || Hits(to) : Hits(from) && Hits(to));
}

/// <summary>What the network does to messages at the moment.</summary>
internal sealed class MessageFaults
{
    public double DelayShare { get; private set; }

    public double DropShare { get; private set; }

    public double DuplicateShare { get; private set; }

    public bool AreOn => DropShare > 0 || DuplicateShare > 0;

    public void Add(SimulatedFault kind, double share)
    {
        DelayShare += kind is SimulatedFault.MessageDelay ? share : 0;
        DropShare += kind is SimulatedFault.MessageDrop ? share : 0;
        DuplicateShare += kind is SimulatedFault.MessageDuplicate ? share : 0;
    }

    public void Remove(SimulatedFault kind, double share)
    {
        DelayShare = kind is SimulatedFault.MessageDelay ? Math.Max(0, DelayShare - share) : DelayShare;
        DropShare = kind is SimulatedFault.MessageDrop ? Math.Max(0, DropShare - share) : DropShare;
        DuplicateShare = kind is SimulatedFault.MessageDuplicate ? Math.Max(0, DuplicateShare - share) : DuplicateShare;
    }

    public void Clear() => (DelayShare, DropShare, DuplicateShare) = (0, 0, 0);
}

/// <summary>What struck, and what the cluster did about it.</summary>
internal sealed class FaultCounts
{
    public long SiloKills { get; set; }

    public long KillsDuringTeardown { get; set; }

    public long SiloPauses { get; set; }

    public long SiloRestarts { get; set; }

    public long Woken { get; set; }

    public long Removals { get; set; }

    public long DatabaseFaults { get; set; }

    public long Dropped { get; set; }

    public long Duplicated { get; set; }

    public long Delayed { get; set; }

    /// <summary>Messages that a cut held back until it was healed.</summary>
    public long Stalled { get; set; }

    public long GeneratorKills { get; set; }

    public long Partitions { get; set; }

    public long Isolations { get; set; }

    public long Failovers { get; set; }

    public long Fenced { get; set; }

    public long Repeats { get; set; }

    public long Recalled { get; set; }
}
