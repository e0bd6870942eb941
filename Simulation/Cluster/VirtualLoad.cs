using Fleet.Kernel.History;

namespace Fleet.Simulation.Cluster;

/// <summary>What the clients of a simulated run share: the mix, the phases, the numbers of operations.</summary>
internal sealed class VirtualLoad
{
    private readonly LoadPlan _plan;
    private readonly List<VirtualClient> _clients = [];
    private long _lastNumber;
    private TaskCompletionSource? _allDone;

    public VirtualLoad(VirtualCluster cluster)
    {
        (Cluster, _plan) = (cluster, cluster.Plan.Load);
        var objects = cluster.Objects;
        Session = objects.Intern("session:gen-1");
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
        Operators = new(this);
        for (var index = 0; index < _plan.Clients; index++)
        {
            _clients.Add(new(this, index, objects.Intern($"client:gen-1-{index + 1}")));
        }
    }

    public VirtualCluster Cluster { get; }

    public int Session { get; }

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
    public int Unresolved => _clients.Count(client => client.IsUnresolved);

    public bool IsDrained => _clients.TrueForAll(client => client.IsDone);

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

    /// <summary>When the n-th client's operations are due; null in a closed loop.</summary>
    public IArrivals? ArrivalsOf(int client) => _plan.ArrivalsOf?.Invoke(client);

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
        foreach (var client in _clients)
        {
            client.Poke();
        }
    }
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
