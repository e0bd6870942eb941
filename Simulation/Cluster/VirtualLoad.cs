using Fleet.Kernel.History;

namespace Fleet.Simulation.Cluster;

/// <summary>What the clients of a simulated run share: the mix, the phases, the numbers of operations.</summary>
internal sealed class VirtualLoad
{
    private readonly LoadPlan _plan;
    private readonly List<VirtualGenerator> _generators = [];
    private readonly TurnContext _reaper;
    private readonly TaskCompletionSource _never = new();
    private long _lastNumber;
    private TaskCompletionSource? _allDone;

    public VirtualLoad(VirtualCluster cluster)
    {
        (Cluster, _plan) = (cluster, cluster.Plan.Load);
        var objects = cluster.Objects;
        _reaper = new(cluster);
        DeviceIds = [.. cluster.Devices.Select(device => objects.Intern(device.Name))];
        MapIds = [.. cluster.Devices.Select(device => Enumerable.Range(0, device.Resources.Count)
            .Select(resource => objects.Intern(device.MapName(resource))).ToArray())];
        RefIds = [.. cluster.Devices.Select(device => Enumerable.Range(0, device.Resources.Count)
            .Select(resource => objects.Intern(device.RefName(resource))).ToArray())];
        Operations = new([_plan.AllocWeight, _plan.AccessWeight, _plan.FreeWeight, _plan.UnbindWeight]);
        DeviceChoice = new(_plan.DeviceWeights);
        Sizes = [.. _plan.Sizes.Select(size => size.Bytes)];
        SizeChoice = new(_plan.Sizes.Select(size => size.Weight));
        (Live, KnownGens) = (new int[DeviceIds.Length], new int[DeviceIds.Length]);
        KnownMapGens = [.. DeviceIds.Select(_ => 1)];
        Operators = new(this);
        for (var place = 0; place < cluster.Plan.Generators; place++)
        {
            var generator = new VirtualGenerator(cluster, place + 1, place);
            _generators.Add(generator);
            for (var index = place; index < _plan.Clients; index += cluster.Plan.Generators)
            {
                generator.Clients.Add(NewClient(generator, index, _plan.ArrivalsOf?.Invoke(index)));
            }
        }
    }

    public VirtualCluster Cluster { get; }

    /// <summary>Those that were killed included.</summary>
    public IReadOnlyList<VirtualGenerator> Generators => _generators;

    /// <summary>Of the first generator, which drives the run and unbinds devices.</summary>
    public int Session => _generators[0].Session;

    /// <summary>What sessions of killed generators held and was freed.</summary>
    public long ReapedOfKilled { get; private set; }

    public int[] DeviceIds { get; }

    public int[][] MapIds { get; }

    public int[][] RefIds { get; }

    public WeightedChoice Operations { get; }

    public WeightedChoice DeviceChoice { get; }

    public long[] Sizes { get; }

    public WeightedChoice SizeChoice { get; }

    /// <summary>Allocations that clients know of, by device: it only steers the load.</summary>
    public int[] Live { get; }

    /// <summary>The newest incarnation of each device that any client has heard of.</summary>
    public int[] KnownGens { get; }

    /// <summary>As <see cref="KnownGens"/>, of the page map in which pages of each device are pinned.</summary>
    /// <remarks>From 1, with which every object of a run begins: a first pin is protected too.</remarks>
    public int[] KnownMapGens { get; }

    public UnbindOperators Operators { get; }

    public LoadCounts Counts { get; } = new();

    public int Clients => _plan.Clients;

    /// <summary>Operations per call.</summary>
    public int VectorLength => _plan.VectorLength;

    public bool IsClosed => _plan.ArrivalsOf is null;

    public long BeginNs { get; private set; }

    public bool IsDraining { get; private set; }

    public int ClientsActive { get; private set; }

    public long DeadlineNs => RandomChoice.Nanoseconds(_plan.Deadline);

    /// <summary>Clients that never got to know what became of an operation.</summary>
    public int Unresolved => Living.Count(client => client.IsUnresolved);

    public bool IsDrained => Living.All(client => client.IsDone);

    private IEnumerable<VirtualClient> Living =>
        _generators.Where(generator => !generator.IsDead).SelectMany(generator => generator.Clients);

    public long NextNumber() => ++_lastNumber;

    public void Record(in Operation operation)
    {
        Counts.Count(operation);
        Cluster.History.Add(operation);
    }

    public long HoldNs(RandomChoice random)
    {
        var hold = _plan.Hold;
        return hold.Kind switch
        {
            HoldKind.Constant => RandomChoice.Nanoseconds(hold.First),
            HoldKind.Uniform => random.Between(hold.First, hold.Most),
            _ => Math.Min(random.Exponential(hold.First), RandomChoice.Nanoseconds(hold.Most)),
        };
    }

    /// <summary>A generator is gone with its clients; its session ends when another goes on with its share, or its
    /// lease is over.</summary>
    /// <param name="awayNs">How long its share is nobody's.</param>
    public void Kill(VirtualGenerator generator, long awayNs)
    {
        Cluster.Counts.GeneratorKills++;
        generator.IsDead = true;
        foreach (var client in generator.Clients)
        {
            client.Die();
        }

        ClientDone();
        var leaseNs = RandomChoice.Nanoseconds(TimeSpan.FromSeconds(Cluster.Plan.Run.LeaseSeconds));
        Cluster.Time.After(Math.Min(awayNs, leaseNs), () => _reaper.Run(
            static one => one.self.FollowTurn(one.generator, one.goesOnNs),
            (self: this, generator, goesOnNs: Cluster.NowNs + Math.Max(0, awayNs - leaseNs))));
    }

    /// <summary>Ends a session: it is refused everywhere, and what it holds is freed.</summary>
    /// <returns>What was freed.</returns>
    public async Task<long> ReapAsync(VirtualGenerator generator)
    {
        generator.IsReaped = true;
        var reaped = 0L;
        await EachDeviceAsync(async place =>
        {
            var here = await AskAsync(place, at => at.Agent.ReapSession(generator.Session, generator.SessionName));
            reaped += here;
        });
        return reaped;
    }

    public async Task EachDeviceAsync(Func<int, Task> work)
    {
        var open = new List<Task>();
        for (var place = 0; place < Cluster.Devices.Count; place++)
        {
            open.Add(work(place));
        }

        foreach (var task in open)
        {
            await task;
        }
    }

    /// <summary>Asks a device until it answers.</summary>
    public async Task<T> AskAsync<T>(int place, Func<DeviceActivation, ValueTask<T>> ask)
        where T : struct
    {
        while (true)
        {
            if (await Ask<T>.SendAsync(Cluster, _reaper, Cluster.DeviceGrain(place), _never.Task, ask) is { } reply)
            {
                return reply;
            }
        }
    }

    /// <summary>The first phase begins.</summary>
    public void Begin() => BeginNs = Cluster.NowNs;

    public void Enter(PhasePlan phase)
    {
        ClientsActive = (int)Math.Ceiling(Math.Min(1, phase.RateShare) * _plan.Clients);
        Poke();
    }

    /// <summary>Nothing new from here on: everybody frees what he holds.</summary>
    /// <returns>Completes when all have.</returns>
    public Task Drain()
    {
        IsDraining = true;
        _allDone = new();
        Poke();
        ClientDone();
        return _allDone.Task;
    }

    public void ClientDone()
    {
        if (_allDone is { } done && IsDrained)
        {
            done.TrySetResult();
        }
    }

    private void Poke()
    {
        foreach (var client in Living.ToList())
        {
            client.Poke();
        }
    }

    private async void FollowTurn(VirtualGenerator killed, long goesOnNs)
    {
        var reaped = await ReapAsync(killed);
        ReapedOfKilled += reaped;
        await _reaper.Delay(goesOnNs - Cluster.NowNs);
        if (IsDraining)
        {
            return;
        }

        var heir = new VirtualGenerator(Cluster, _generators.Count + 1, killed.Place);
        _generators.Add(heir);
        foreach (var dead in killed.Clients)
        {
            var client = NewClient(heir, dead.Index, dead.Arrivals);
            heir.Clients.Add(client);
            if (Cluster.Plan.Bug is PlantedBug.HeirUsesWhatWasReaped)
            {
                client.TakeOver(dead);
            }

            client.Poke();
        }
    }

    private VirtualClient NewClient(VirtualGenerator generator, int index, IArrivals? arrivals) => new(
        this, generator, index,
        Cluster.Objects.Intern($"client:{generator.Name}-{(index / Cluster.Plan.Generators) + 1}"), arrivals);
}

/// <summary>Operations by kind and outcome, and what became of the unanswered ones.</summary>
internal sealed class LoadCounts
{
    private readonly long[] _byKind = new long[Enum.GetValues<OperationKind>().Length * 3];

    /// <summary>Hot operations without an answer in time.</summary>
    public long Unknown { get; set; }

    public long ResolvedExecuted { get; set; }

    public long ResolvedNotSeen { get; set; }

    public long TagMismatches { get; set; }

    public long UnbindsWithHolders { get; set; }

    public void Count(in Operation operation) => _byKind[((int)operation.Kind * 3) + (int)operation.Outcome]++;

    public long Of(OperationKind kind, OperationOutcome outcome) => _byKind[((int)kind * 3) + (int)outcome];
}
